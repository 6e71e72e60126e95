"""Snapshots: rows that are older than the slot become events at exact places in the stream."""
