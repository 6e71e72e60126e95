"""Real servers for the demo, the tests and the benchmarks: Postgres 18 and Kafka 4.3.1.

Their programs come from package registries alone (the extra `demo`). The servers listen on
127.0.0.1 only and end with the process that started them.
"""
