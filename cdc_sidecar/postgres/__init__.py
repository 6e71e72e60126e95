"""The wire protocol and the catalog of Postgres. The package does not know Avro or Kafka."""
