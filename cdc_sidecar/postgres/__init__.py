"""The wire and the catalog of Postgres; knows nothing of Avro or Kafka."""
