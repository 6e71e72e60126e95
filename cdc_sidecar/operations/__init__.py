"""Operators' work on a sidecar that may be down: inspection, moves of the position, teardown."""
