"""Kafka: transactions, the position, the schemas topic and other topics. It does not know rows."""
