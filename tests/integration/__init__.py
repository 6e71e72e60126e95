"""Tests of one layer against a real Postgres or a real Kafka."""
