"""Payloads of outbox events: JSON text in, Avro out, by the schema of the event's type."""
