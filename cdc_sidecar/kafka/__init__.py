"""Kafka: transactions, the position, the schemas topic and the topics; knows nothing of rows."""
