"""Promises that need a real Postgres or a real Kafka."""
