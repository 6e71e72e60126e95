"""Rows become Avro events: pure, bytes in and bytes out; no socket, no clock, no Kafka."""
