"""The settings that the brokers give to a new topic, as far as the sidecar may ask for them."""

from contextlib import suppress
from typing import Final

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from cdc_sidecar.errors import KafkaRefused
from cdc_sidecar.kafka.client import REQUEST_TIMEOUT, answer_of, translated

_OF_BROKER: Final = {
    "cleanup.policy": "log.cleanup.policy",
    "max.message.bytes": "message.max.bytes",
    "min.insync.replicas": "min.insync.replicas",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
}
"""The broker's name of each setting of a topic that matters here."""


def broker_defaults(admin: AdminClient) -> dict[str, str]:
    """Return the settings of a new topic; empty without the privilege DescribeConfigs.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """
    with translated():
        brokers = admin.list_topics(timeout=REQUEST_TIMEOUT).brokers
    settings: dict[str, str] = {}
    for number in sorted(brokers)[:1]:
        resource = ConfigResource(ResourceType.BROKER, str(number))
        answers = admin.describe_configs([resource], request_timeout=REQUEST_TIMEOUT)
        with suppress(KafkaRefused):
            entries = answer_of(answers[resource])
            found = {name: entries.get(theirs) for name, theirs in _OF_BROKER.items()}
            settings = {name: str(entry.value) for name, entry in found.items() if entry}
    return settings
