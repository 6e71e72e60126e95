"""The verdict on each error code of Kafka and librdkafka: who must do what about it.

Every code of the library's enumeration is in exactly one group; a test walks the enumeration. A
code that a newer library adds is judged by its flags.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from confluent_kafka import KafkaError


class Verdict(Enum):
    """What an error code means for the sidecar."""

    AWAY = "the brokers cannot be reached or cannot serve now: try again"
    TRANSACTION = "the transaction is lost: begin again at the position"
    FENCED = "another producer took over"
    CREDENTIALS = "client and broker do not accept each other"
    PERMISSION = "an ACL is missing"
    REFUSED = "the brokers refuse a setting, and another try would not help"
    SETTING = "librdkafka refuses a setting"
    TOO_LARGE = "a record is larger than a limit"
    UNFIT = "the topic refuses a record"
    FOREIGN = "it belongs to a function of Kafka that the sidecar does not use"


_GROUPS: Final[Mapping[Verdict, str]] = {
    Verdict.AWAY: """
        _ALL_BROKERS_DOWN _CRIT_SYS_RESOURCE _DESTROY _DESTROY_BROKER _FAIL _FS _INTR _IN_PROGRESS
        _ISR_INSUFF _LOG_TRUNCATION _MSG_TIMED_OUT _NODE_UPDATE _NOENT _OUTDATED _PARTIAL
        _PARTITION_EOF _PREV_IN_PROGRESS _PURGE_INFLIGHT _PURGE_QUEUE _QUEUE_FULL _RESOLVE _RETRY
        _TIMED_OUT _TIMED_OUT_QUEUE _TRANSPORT _UNKNOWN_BROKER _UNKNOWN_PARTITION _UNKNOWN_TOPIC
        _WAIT_CACHE _WAIT_COORD
        BROKER_NOT_AVAILABLE CONCURRENT_TRANSACTIONS COORDINATOR_LOAD_IN_PROGRESS
        COORDINATOR_NOT_AVAILABLE ELIGIBLE_LEADERS_NOT_AVAILABLE FENCED_LEADER_EPOCH
        FETCH_SESSION_ID_NOT_FOUND INCONSISTENT_TOPIC_ID INVALID_FETCH_SESSION_EPOCH
        KAFKA_STORAGE_ERROR LEADER_NOT_AVAILABLE LISTENER_NOT_FOUND NETWORK_EXCEPTION
        NOT_CONTROLLER NOT_COORDINATOR NOT_ENOUGH_REPLICAS NOT_ENOUGH_REPLICAS_AFTER_APPEND
        NOT_LEADER_FOR_PARTITION NO_ERROR OFFSET_NOT_AVAILABLE OFFSET_OUT_OF_RANGE
        OPERATION_NOT_ATTEMPTED PREFERRED_LEADER_NOT_AVAILABLE REASSIGNMENT_IN_PROGRESS
        REBOOTSTRAP_REQUIRED REPLICA_NOT_AVAILABLE REQUEST_TIMED_OUT STALE_BROKER_EPOCH
        STALE_CTRL_EPOCH THROTTLING_QUOTA_EXCEEDED TOPIC_ALREADY_EXISTS UNKNOWN
        UNKNOWN_CONTROLLER_ID UNKNOWN_LEADER_EPOCH UNKNOWN_TOPIC_ID UNKNOWN_TOPIC_OR_PART
        """,
    Verdict.TRANSACTION: """
        _BAD_COMPRESSION _BAD_MSG _CONFLICT _FATAL _GAPLESS_GUARANTEE _INCONSISTENT
        _INVALID_DIFFERENT_RECORD _STATE _UNDERFLOW
        DUPLICATE_SEQUENCE_NUMBER INVALID_MSG INVALID_PRODUCER_ID_MAPPING INVALID_TXN_STATE
        OUT_OF_ORDER_SEQUENCE_NUMBER TRANSACTION_ABORTABLE TRANSACTION_COORDINATOR_FENCED
        UNKNOWN_PRODUCER_ID
        """,
    Verdict.FENCED: "_FENCED INVALID_PRODUCER_EPOCH PRODUCER_FENCED",
    Verdict.CREDENTIALS: """
        _AUTHENTICATION _SSL
        DELEGATION_TOKEN_AUTHORIZATION_FAILED DELEGATION_TOKEN_AUTH_DISABLED
        DELEGATION_TOKEN_EXPIRED DELEGATION_TOKEN_NOT_FOUND DELEGATION_TOKEN_OWNER_MISMATCH
        DELEGATION_TOKEN_REQUEST_NOT_ALLOWED ILLEGAL_SASL_STATE INVALID_PRINCIPAL_TYPE
        PRINCIPAL_DESERIALIZATION_FAILURE SASL_AUTHENTICATION_FAILED SECURITY_DISABLED
        UNACCEPTABLE_CREDENTIAL UNSUPPORTED_SASL_MECHANISM
        """,
    Verdict.PERMISSION: """
        CLUSTER_AUTHORIZATION_FAILED GROUP_AUTHORIZATION_FAILED TOPIC_AUTHORIZATION_FAILED
        TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        """,
    Verdict.REFUSED: """
        _NOT_IMPLEMENTED _UNKNOWN_PROTOCOL _UNSUPPORTED_FEATURE
        INVALID_CONFIG INVALID_PARTITIONS INVALID_REPLICATION_FACTOR INVALID_REPLICA_ASSIGNMENT
        INVALID_REQUEST INVALID_REQUIRED_ACKS INVALID_TRANSACTION_TIMEOUT LOG_DIR_NOT_FOUND
        MISMATCHED_ENDPOINT_TYPE POLICY_VIOLATION TOPIC_DELETION_DISABLED TOPIC_EXCEPTION
        UNSUPPORTED_COMPRESSION_TYPE UNSUPPORTED_ENDPOINT_TYPE UNSUPPORTED_FOR_MESSAGE_FORMAT
        UNSUPPORTED_VERSION
        """,
    Verdict.SETTING: "_INVALID_ARG _INVALID_TYPE _NOT_CONFIGURED _READ_ONLY",
    Verdict.TOO_LARGE: "INVALID_MSG_SIZE MSG_SIZE_TOO_LARGE RECORD_LIST_TOO_LARGE",
    Verdict.UNFIT: "INVALID_RECORD INVALID_TIMESTAMP",
    Verdict.FOREIGN: """
        _APPLICATION _ASSIGNMENT_LOST _ASSIGN_PARTITIONS _AUTO_OFFSET_RESET _EXISTING_SUBSCRIPTION
        _KEY_DESERIALIZATION _KEY_SERIALIZATION _MAX_POLL_EXCEEDED _NOOP _NO_OFFSET
        _REVOKE_PARTITIONS _UNKNOWN_GROUP _VALUE_DESERIALIZATION _VALUE_SERIALIZATION
        DUPLICATE_RESOURCE DUPLICATE_VOTER ELECTION_NOT_NEEDED FEATURE_UPDATE_FAILED
        FENCED_INSTANCE_ID FENCED_MEMBER_EPOCH FENCED_STATE_EPOCH GROUP_ID_NOT_FOUND
        GROUP_MAX_SIZE_REACHED GROUP_SUBSCRIBED_TO_TOPIC ILLEGAL_GENERATION
        INCONSISTENT_GROUP_PROTOCOL INCONSISTENT_VOTER_SET INVALID_COMMIT_OFFSET_SIZE
        INVALID_GROUP_ID INVALID_RECORD_STATE INVALID_REGISTRATION INVALID_REGULAR_EXPRESSION
        INVALID_SESSION_TIMEOUT INVALID_SHARE_SESSION_EPOCH INVALID_UPDATE_VERSION
        INVALID_VOTER_KEY MEMBER_ID_REQUIRED NON_EMPTY_GROUP NO_REASSIGNMENT_IN_PROGRESS
        OFFSET_METADATA_TOO_LARGE REBALANCE_IN_PROGRESS RESOURCE_NOT_FOUND
        SHARE_SESSION_LIMIT_REACHED SHARE_SESSION_NOT_FOUND STALE_MEMBER_EPOCH
        STREAMS_INVALID_TOPOLOGY STREAMS_INVALID_TOPOLOGY_EPOCH STREAMS_TOPOLOGY_FENCED
        TELEMETRY_TOO_LARGE UNKNOWN_MEMBER_ID UNKNOWN_SUBSCRIPTION_ID UNRELEASED_INSTANCE_ID
        UNSTABLE_OFFSET_COMMIT UNSUPPORTED_ASSIGNOR VOTER_NOT_FOUND
        """,
}

VERDICTS: Final[Mapping[int, Verdict]] = {
    getattr(KafkaError, name): verdict
    for verdict, names in _GROUPS.items()
    for name in names.split()
    if hasattr(KafkaError, name)  # an older library lacks the newest codes
}
"""The verdict on each code."""

AUTHENTICATE: Final = 'correct "sasl.username" and "sasl.password" in [kafka.client]'

_TOPIC_SETTINGS: Final = "correct [topics.config]: the brokers refuse one of its settings"

HINTS: Final[Mapping[int, str]] = {
    KafkaError.INVALID_TRANSACTION_TIMEOUT: (
        'set transaction_timeout = "15m" in [publish], which is the most that brokers allow unless'
        " their transaction.max.timeout.ms is another, or raise that setting of the brokers"
    ),
    KafkaError.INVALID_REPLICATION_FACTOR: (
        "set replication_factor in [topics] to at most the number of brokers"
    ),
    KafkaError.INVALID_PARTITIONS: "set [topics] partitions to a number that the brokers allow",
    KafkaError.INVALID_CONFIG: _TOPIC_SETTINGS,
    KafkaError.POLICY_VIOLATION: (
        "the brokers' create.topic.policy.class.name refuses the topic: change [topics] as the"
        " message says, or create the topic by hand"
    ),
    KafkaError.TOPIC_EXCEPTION: (
        "Kafka does not allow this topic name: a name has at most 249 letters, digits, dots,"
        " underscores and hyphens; shorten service.name, or rename the table"
    ),
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE: (
        'set "compression.type" in [kafka.client] to one that the brokers support, such as lz4'
    ),
    KafkaError.TOPIC_DELETION_DISABLED: (
        "set delete.topic.enable=true on the brokers, or remove the topic by hand"
    ),
    KafkaError.SASL_AUTHENTICATION_FAILED: AUTHENTICATE,
    KafkaError.UNSUPPORTED_SASL_MECHANISM: (
        'set "sasl.mechanism" in [kafka.client] to one that the listener offers'
    ),
    KafkaError.ILLEGAL_SASL_STATE: (
        "the listener does not use SASL: set"
        ' "security.protocol" = "PLAINTEXT" (or "SSL") in [kafka.client], or name the port of the'
        " SASL listener in kafka.bootstrap_servers"
    ),
    KafkaError.THROTTLING_QUOTA_EXCEEDED: (
        "raise the client's controller_mutation_rate quota, or create the topics by hand"
    ),
    KafkaError.NOT_ENOUGH_REPLICAS: (
        "start the missing brokers, or lower min.insync.replicas of the topic"
    ),
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND: (
        "start the missing brokers, or lower min.insync.replicas of the topic"
    ),
    KafkaError.KAFKA_STORAGE_ERROR: "look at the disks and the log of the broker",
    KafkaError.INVALID_RECORD: (
        "the topic refuses a record without a key: set its cleanup.policy to delete, or give the"
        " table a key"
    ),
    KafkaError.INVALID_TIMESTAMP: (
        "correct the clock of this machine, or raise message.timestamp.after.max.ms and"
        " message.timestamp.before.max.ms of the topic"
    ),
    KafkaError.RECORD_LIST_TOO_LARGE: "raise segment.bytes of the topic",
    KafkaError._RESOLVE: "correct the host in kafka.bootstrap_servers, or the name server",  # noqa: SLF001 - its spelling
}
"""What to do about single codes; the others have the hint of their verdict."""

GENERAL_HINTS: Final[Mapping[Verdict, str]] = {
    Verdict.FENCED: "look for another producer with this transactional id",
    Verdict.CREDENTIALS: AUTHENTICATE,
    Verdict.REFUSED: "there is no general cure: the message names what the brokers refuse",
    Verdict.SETTING: "correct the setting that the message names in [kafka.client]",
    Verdict.TOO_LARGE: "raise max.message.bytes of the topic, or leave out a column",
}


def verdict_on(error: KafkaError) -> Verdict:
    """Return the verdict on an error.

    A broker that has just started is fenced by the controller for a moment, and a topic that is
    created then seems to have too many replicas.
    """
    if error.code() == KafkaError.INVALID_REPLICATION_FACTOR and "fenced" in error.str():
        return Verdict.AWAY
    known = VERDICTS.get(error.code())
    if known is not None:
        return known
    lost = error.txn_requires_abort() or error.fatal()
    return Verdict.TRANSACTION if lost else Verdict.AWAY
