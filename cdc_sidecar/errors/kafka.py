"""Errors 4xx: Kafka."""

from cdc_sidecar.errors.tree import Disposition, HaltError, RetryError, SidecarError, UsageError


class KafkaUnavailable(RetryError, code="CDC-401", title="Kafka is not available"):
    """The brokers cannot be reached or do not answer in time."""

    advice = (
        "start the brokers, or correct kafka.bootstrap_servers and the network; a running sidecar"
        " retries by itself"
    )


class KafkaRefused(HaltError, code="CDC-402", title="Kafka refuses the client"):
    """The brokers refuse our credentials, our ids or our settings."""


class KafkaSettingInvalid(UsageError, code="CDC-403", title="Kafka client setting is not valid"):
    """librdkafka does not accept a setting of `[kafka.client]`."""


class TopicMissing(HaltError, code="CDC-404", title="topic is missing"):
    """A topic does not exist and `[topics] create` is not set."""


class TopicUnfit(HaltError, code="CDC-405", title="topic is not suitable"):
    """A topic has settings under which events or positions would be lost."""


class TransactionFailed(RetryError, code="CDC-406", title="Kafka transaction did not commit"):
    """A Kafka transaction was aborted, or its outcome is unknown; the position decides."""


class ProducerFenced(RetryError, code="CDC-407", title="producer was fenced"):
    """A producer with our transactional id took over, or our transaction timed out."""


class RivalTookOver(SidecarError, code="CDC-409", title="another sidecar took over"):
    """Another sidecar holds the lock and has fenced our producer: exit status 4."""

    disposition = Disposition.GIVE_UP


class FencedTooOften(SidecarError, code="CDC-410", title="producer was fenced too often"):
    """Our producer was fenced repeatedly although we hold the lock: exit status 4."""

    disposition = Disposition.GIVE_UP


class SchemasUnreadable(HaltError, code="CDC-408", title="schemas topic cannot be read"):
    """The schemas topic holds a record that this version does not understand."""

    advice = "run the newest version of the sidecar that this service has used"
