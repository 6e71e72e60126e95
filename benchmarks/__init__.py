"""Compares the sidecar with other programs on the same WAL and the same broker: `make bench`."""
