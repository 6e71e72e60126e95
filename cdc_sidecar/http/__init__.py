"""HTTP: metrics, health, status and the read-only schema registry, answered from memory."""
