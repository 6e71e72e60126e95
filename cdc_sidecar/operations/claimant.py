"""The claimant of a command: it reads the slot on a connection of its own."""

from cdc_sidecar.checks.source import acknowledged_lsn
from cdc_sidecar.config.model import Config
from cdc_sidecar.kafka.claim import Claimant, described_topics
from cdc_sidecar.postgres.connect import Database
from cdc_sidecar.postgres.lsn import Lsn


def claimant_of(config: Config) -> Claimant:
    """Return a claimant; the topics are described now.

    Raises:
        KafkaUnavailable: the brokers do not answer.

    """

    def acknowledged() -> Lsn:
        database = Database(config.postgres)
        try:
            return acknowledged_lsn(database, config.postgres.slot)
        finally:
            database.close()

    return Claimant(config, described_topics(config), acknowledged)
