"""What a person does to a sidecar that may be down: inspect it, move its position, remove it."""
