"""The demo, and the real servers that it, the tests and the benchmarks start."""
