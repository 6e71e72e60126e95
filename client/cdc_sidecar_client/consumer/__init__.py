"""Handles the events of topics, so that their effects in the database happen once."""

from cdc_sidecar_client.consumer.consumer import Consumer
from cdc_sidecar_client.consumer.errors import (
    ConfigurationInvalid,
    ConsumerError,
    KafkaFailed,
    OffsetLost,
    Park,
    TablesMissing,
    UnknownEventType,
)
from cdc_sidecar_client.consumer.handlers import Transaction
from cdc_sidecar_client.consumer.parked import ParkedEvent, Retried
from cdc_sidecar_client.consumer.policy import Policy, Retry
from cdc_sidecar_client.consumer.record import Event
from cdc_sidecar_client.consumer.registry import SchemaRegistry
from cdc_sidecar_client.consumer.session import Counts
from cdc_sidecar_client.consumer.tables import schema_sql

__all__ = [
    "ConfigurationInvalid",
    "Consumer",
    "ConsumerError",
    "Counts",
    "Event",
    "KafkaFailed",
    "OffsetLost",
    "Park",
    "ParkedEvent",
    "Policy",
    "Retried",
    "Retry",
    "SchemaRegistry",
    "TablesMissing",
    "Transaction",
    "UnknownEventType",
    "schema_sql",
]
