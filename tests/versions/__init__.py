"""Other versions of Postgres, Kafka, Python and the dependencies: `make test-versions`."""
