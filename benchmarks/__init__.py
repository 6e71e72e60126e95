"""How this sidecar stands against others, on the same WAL and the same broker: `make bench`."""
