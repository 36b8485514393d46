"""Every error code of Kafka's protocol, up to 133 (Apache Kafka 4.3): what it says, and what the gateway does.

After `org.apache.kafka.common.protocol.Errors`. docs/KAFKA_ERRORS.md is made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What an error is about. Only one about a record ever makes a dead letter."""

    TAKEN = "taken"
    """No error: the broker has the batch."""
    RECORD = "record"
    """A record of the batch. It is cut in halves down to that record, which goes to the dead letters (D4)."""
    SEQUENCE = "sequence"
    """The broker's memory of our producer id is not ours. The batch is looked up (D7)."""
    TOPIC = "topic"
    """The topic: missing, not allowed, or set up so that it takes nothing. The batch waits, and is sent again
    unchanged."""
    CLIENT = "client"
    """This gateway: a setting, its rights, its clock, its version. The batch waits and is sent again unchanged."""
    PASSING = "passing"
    """The cluster as it is now. The batch waits and is sent again unchanged."""
    OTHER = "other"
    """Groups, transactions, administration: no answer to a gateway. If it comes, the batch is sent again."""


@dataclass(frozen=True, slots=True)
class KafkaError:
    """One error code.

    `before`: a broker finds it before it appends anything, so the batch is certainly not in the topic. `setting` is
    the key of config.yaml that cures it, `cure` what to do, `note` what it means; each is empty if there is none.
    """

    code: int
    name: str
    kind: Kind
    before: bool = False
    setting: str = ""
    cure: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """The name as clients write it, with the code: `NotLeaderOrFollower (6)`; and the note, if there is one."""
        words = self.name.removesuffix("_EXCEPTION").split("_")
        return (
            "".join(word.capitalize() for word in words) + f" ({self.code})" + (f": {self.note}" if self.note else "")
        )


_CLOCK: Final = (
    "set this gateway's clock, or give the topic LogAppendTime: Kafka refuses times more than an hour ahead. The log "
    "keeps everything until then"
)
_CODEC: Final = "set kafka.compression to a codec that the cluster accepts: gzip, lz4 or none"
_VERSION: Final = "use brokers of Apache Kafka 2.4 or later; during an upgrade it ends by itself"
_MECHANISM: Final = "set kafka.sasl_mechanism to one that the brokers offer"
_SECURITY: Final = "set kafka.security to what the listener named in kafka.brokers expects"
_LOGIN: Final = "check kafka.username and the password in kafka.password_file"
_ENDPOINT: Final = "name brokers in kafka.brokers, not controllers"
_CREATE: Final = "create the topic: the cluster does not create it itself"
_LISTENER: Final = "give the broker that leads the partition the same listener as the others (advertised.listeners)"
_REPLICAS: Final = "start the brokers that are down: fewer replicas are in sync than min.insync.replicas asks for"

TABLE: Final = (
    KafkaError(-1, "UNKNOWN_SERVER_ERROR", Kind.PASSING),
    KafkaError(0, "NONE", Kind.TAKEN),
    KafkaError(1, "OFFSET_OUT_OF_RANGE", Kind.TOPIC),
    KafkaError(2, "CORRUPT_MESSAGE", Kind.PASSING, before=True),
    KafkaError(3, "UNKNOWN_TOPIC_OR_PARTITION", Kind.TOPIC, cure="create the topic"),
    KafkaError(4, "INVALID_FETCH_SIZE", Kind.OTHER),
    KafkaError(5, "LEADER_NOT_AVAILABLE", Kind.PASSING),
    KafkaError(6, "NOT_LEADER_OR_FOLLOWER", Kind.PASSING),
    KafkaError(7, "REQUEST_TIMED_OUT", Kind.PASSING),
    KafkaError(8, "BROKER_NOT_AVAILABLE", Kind.PASSING),
    KafkaError(9, "REPLICA_NOT_AVAILABLE", Kind.PASSING),
    KafkaError(10, "MESSAGE_TOO_LARGE", Kind.RECORD, before=True),
    KafkaError(11, "STALE_CONTROLLER_EPOCH", Kind.OTHER),
    KafkaError(12, "OFFSET_METADATA_TOO_LARGE", Kind.OTHER),
    KafkaError(13, "NETWORK_EXCEPTION", Kind.PASSING),
    KafkaError(14, "COORDINATOR_LOAD_IN_PROGRESS", Kind.PASSING),
    KafkaError(15, "COORDINATOR_NOT_AVAILABLE", Kind.PASSING),
    KafkaError(16, "NOT_COORDINATOR", Kind.PASSING),
    KafkaError(
        17, "INVALID_TOPIC_EXCEPTION", Kind.TOPIC, before=True, cure="give the topic a name that Kafka accepts"
    ),
    KafkaError(18, "RECORD_LIST_TOO_LARGE", Kind.RECORD, before=True),
    KafkaError(19, "NOT_ENOUGH_REPLICAS", Kind.PASSING, before=True, cure=_REPLICAS),
    KafkaError(20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Kind.PASSING, cure=_REPLICAS),
    KafkaError(21, "INVALID_REQUIRED_ACKS", Kind.CLIENT, before=True),
    KafkaError(22, "ILLEGAL_GENERATION", Kind.OTHER),
    KafkaError(23, "INCONSISTENT_GROUP_PROTOCOL", Kind.OTHER),
    KafkaError(24, "INVALID_GROUP_ID", Kind.OTHER),
    KafkaError(25, "UNKNOWN_MEMBER_ID", Kind.OTHER),
    KafkaError(26, "INVALID_SESSION_TIMEOUT", Kind.OTHER),
    KafkaError(27, "REBALANCE_IN_PROGRESS", Kind.OTHER),
    KafkaError(28, "INVALID_COMMIT_OFFSET_SIZE", Kind.OTHER),
    KafkaError(
        29,
        "TOPIC_AUTHORIZATION_FAILED",
        Kind.TOPIC,
        before=True,
        cure="grant this user WRITE and DESCRIBE on the topic",
    ),
    KafkaError(30, "GROUP_AUTHORIZATION_FAILED", Kind.OTHER),
    KafkaError(
        31,
        "CLUSTER_AUTHORIZATION_FAILED",
        Kind.CLIENT,
        before=True,
        cure="grant this user IdempotentWrite on the cluster, which Kafka before 3.0 asks for",
    ),
    KafkaError(32, "INVALID_TIMESTAMP", Kind.CLIENT, before=True, cure=_CLOCK, note="this gateway's clock is ahead"),
    KafkaError(33, "UNSUPPORTED_SASL_MECHANISM", Kind.CLIENT, setting="kafka.sasl_mechanism", cure=_MECHANISM),
    KafkaError(34, "ILLEGAL_SASL_STATE", Kind.CLIENT, setting="kafka.security", cure=_SECURITY),
    KafkaError(35, "UNSUPPORTED_VERSION", Kind.CLIENT, before=True, cure=_VERSION),
    KafkaError(36, "TOPIC_ALREADY_EXISTS", Kind.TOPIC),
    KafkaError(37, "INVALID_PARTITIONS", Kind.TOPIC, cure=_CREATE),
    KafkaError(38, "INVALID_REPLICATION_FACTOR", Kind.TOPIC, cure=_CREATE),
    KafkaError(39, "INVALID_REPLICA_ASSIGNMENT", Kind.TOPIC, cure=_CREATE),
    KafkaError(40, "INVALID_CONFIG", Kind.TOPIC, cure=_CREATE),
    KafkaError(41, "NOT_CONTROLLER", Kind.PASSING),
    KafkaError(42, "INVALID_REQUEST", Kind.CLIENT, before=True),
    KafkaError(
        43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", Kind.CLIENT, before=True, setting="kafka.compression", cure=_CODEC
    ),
    KafkaError(44, "POLICY_VIOLATION", Kind.TOPIC, cure=_CREATE),
    KafkaError(45, "OUT_OF_ORDER_SEQUENCE_NUMBER", Kind.SEQUENCE, before=True),
    KafkaError(46, "DUPLICATE_SEQUENCE_NUMBER", Kind.TAKEN),
    KafkaError(47, "INVALID_PRODUCER_EPOCH", Kind.SEQUENCE, before=True),
    KafkaError(48, "INVALID_TXN_STATE", Kind.OTHER),
    KafkaError(49, "INVALID_PRODUCER_ID_MAPPING", Kind.OTHER),
    KafkaError(50, "INVALID_TRANSACTION_TIMEOUT", Kind.OTHER),
    KafkaError(51, "CONCURRENT_TRANSACTIONS", Kind.OTHER),
    KafkaError(52, "TRANSACTION_COORDINATOR_FENCED", Kind.OTHER),
    KafkaError(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Kind.OTHER),
    KafkaError(54, "SECURITY_DISABLED", Kind.CLIENT, setting="kafka.security", cure=_SECURITY),
    KafkaError(55, "OPERATION_NOT_ATTEMPTED", Kind.PASSING),
    KafkaError(56, "KAFKA_STORAGE_ERROR", Kind.PASSING),
    KafkaError(57, "LOG_DIR_NOT_FOUND", Kind.OTHER),
    KafkaError(58, "SASL_AUTHENTICATION_FAILED", Kind.CLIENT, setting="kafka.password_file", cure=_LOGIN),
    KafkaError(59, "UNKNOWN_PRODUCER_ID", Kind.SEQUENCE, before=True),
    KafkaError(60, "REASSIGNMENT_IN_PROGRESS", Kind.PASSING),
    KafkaError(61, "DELEGATION_TOKEN_AUTH_DISABLED", Kind.OTHER),
    KafkaError(62, "DELEGATION_TOKEN_NOT_FOUND", Kind.OTHER),
    KafkaError(63, "DELEGATION_TOKEN_OWNER_MISMATCH", Kind.OTHER),
    KafkaError(64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", Kind.OTHER),
    KafkaError(65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", Kind.OTHER),
    KafkaError(66, "DELEGATION_TOKEN_EXPIRED", Kind.OTHER),
    KafkaError(67, "INVALID_PRINCIPAL_TYPE", Kind.OTHER),
    KafkaError(68, "NON_EMPTY_GROUP", Kind.OTHER),
    KafkaError(69, "GROUP_ID_NOT_FOUND", Kind.OTHER),
    KafkaError(70, "FETCH_SESSION_ID_NOT_FOUND", Kind.OTHER),
    KafkaError(71, "INVALID_FETCH_SESSION_EPOCH", Kind.OTHER),
    KafkaError(72, "LISTENER_NOT_FOUND", Kind.PASSING, cure=_LISTENER),
    KafkaError(73, "TOPIC_DELETION_DISABLED", Kind.OTHER),
    KafkaError(74, "FENCED_LEADER_EPOCH", Kind.PASSING),
    KafkaError(75, "UNKNOWN_LEADER_EPOCH", Kind.PASSING),
    KafkaError(
        76, "UNSUPPORTED_COMPRESSION_TYPE", Kind.CLIENT, before=True, setting="kafka.compression", cure=_CODEC
    ),
    KafkaError(77, "STALE_BROKER_EPOCH", Kind.OTHER),
    KafkaError(78, "OFFSET_NOT_AVAILABLE", Kind.PASSING),
    KafkaError(79, "MEMBER_ID_REQUIRED", Kind.OTHER),
    KafkaError(80, "PREFERRED_LEADER_NOT_AVAILABLE", Kind.OTHER),
    KafkaError(81, "GROUP_MAX_SIZE_REACHED", Kind.OTHER),
    KafkaError(82, "FENCED_INSTANCE_ID", Kind.OTHER),
    KafkaError(83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", Kind.OTHER),
    KafkaError(84, "ELECTION_NOT_NEEDED", Kind.OTHER),
    KafkaError(85, "NO_REASSIGNMENT_IN_PROGRESS", Kind.OTHER),
    KafkaError(86, "GROUP_SUBSCRIBED_TO_TOPIC", Kind.OTHER),
    KafkaError(87, "INVALID_RECORD", Kind.RECORD, before=True),
    KafkaError(88, "UNSTABLE_OFFSET_COMMIT", Kind.OTHER),
    KafkaError(89, "THROTTLING_QUOTA_EXCEEDED", Kind.PASSING, before=True),
    KafkaError(90, "PRODUCER_FENCED", Kind.SEQUENCE, before=True),
    KafkaError(91, "RESOURCE_NOT_FOUND", Kind.OTHER),
    KafkaError(92, "DUPLICATE_RESOURCE", Kind.OTHER),
    KafkaError(93, "UNACCEPTABLE_CREDENTIAL", Kind.OTHER),
    KafkaError(94, "INCONSISTENT_VOTER_SET", Kind.OTHER),
    KafkaError(95, "INVALID_UPDATE_VERSION", Kind.OTHER),
    KafkaError(96, "FEATURE_UPDATE_FAILED", Kind.OTHER),
    KafkaError(97, "PRINCIPAL_DESERIALIZATION_FAILURE", Kind.PASSING),
    KafkaError(98, "SNAPSHOT_NOT_FOUND", Kind.OTHER),
    KafkaError(99, "POSITION_OUT_OF_RANGE", Kind.OTHER),
    KafkaError(100, "UNKNOWN_TOPIC_ID", Kind.TOPIC),
    KafkaError(101, "DUPLICATE_BROKER_REGISTRATION", Kind.OTHER),
    KafkaError(102, "BROKER_ID_NOT_REGISTERED", Kind.OTHER),
    KafkaError(103, "INCONSISTENT_TOPIC_ID", Kind.PASSING),
    KafkaError(104, "INCONSISTENT_CLUSTER_ID", Kind.OTHER),
    KafkaError(105, "TRANSACTIONAL_ID_NOT_FOUND", Kind.OTHER),
    KafkaError(106, "FETCH_SESSION_TOPIC_ID_ERROR", Kind.OTHER),
    KafkaError(107, "INELIGIBLE_REPLICA", Kind.OTHER),
    KafkaError(108, "NEW_LEADER_ELECTED", Kind.OTHER),
    KafkaError(109, "OFFSET_MOVED_TO_TIERED_STORAGE", Kind.OTHER),
    KafkaError(110, "FENCED_MEMBER_EPOCH", Kind.OTHER),
    KafkaError(111, "UNRELEASED_INSTANCE_ID", Kind.OTHER),
    KafkaError(112, "UNSUPPORTED_ASSIGNOR", Kind.OTHER),
    KafkaError(113, "STALE_MEMBER_EPOCH", Kind.OTHER),
    KafkaError(114, "MISMATCHED_ENDPOINT_TYPE", Kind.CLIENT, setting="kafka.brokers", cure=_ENDPOINT),
    KafkaError(115, "UNSUPPORTED_ENDPOINT_TYPE", Kind.CLIENT, setting="kafka.brokers", cure=_ENDPOINT),
    KafkaError(116, "UNKNOWN_CONTROLLER_ID", Kind.OTHER),
    KafkaError(117, "UNKNOWN_SUBSCRIPTION_ID", Kind.OTHER),
    KafkaError(118, "TELEMETRY_TOO_LARGE", Kind.OTHER),
    KafkaError(119, "INVALID_REGISTRATION", Kind.OTHER),
    KafkaError(120, "TRANSACTION_ABORTABLE", Kind.OTHER),
    KafkaError(121, "INVALID_RECORD_STATE", Kind.OTHER),
    KafkaError(122, "SHARE_SESSION_NOT_FOUND", Kind.OTHER),
    KafkaError(123, "INVALID_SHARE_SESSION_EPOCH", Kind.OTHER),
    KafkaError(124, "FENCED_STATE_EPOCH", Kind.OTHER),
    KafkaError(125, "INVALID_VOTER_KEY", Kind.OTHER),
    KafkaError(126, "DUPLICATE_VOTER", Kind.OTHER),
    KafkaError(127, "VOTER_NOT_FOUND", Kind.OTHER),
    KafkaError(128, "INVALID_REGULAR_EXPRESSION", Kind.OTHER),
    KafkaError(129, "REBOOTSTRAP_REQUIRED", Kind.PASSING),
    KafkaError(130, "STREAMS_INVALID_TOPOLOGY", Kind.OTHER),
    KafkaError(131, "STREAMS_INVALID_TOPOLOGY_EPOCH", Kind.OTHER),
    KafkaError(132, "STREAMS_TOPOLOGY_FENCED", Kind.OTHER),
    KafkaError(133, "SHARE_SESSION_LIMIT_REACHED", Kind.OTHER),
)

ERRORS: Final = {error.code: error for error in TABLE}


def error_of(code: int) -> KafkaError:
    """What is known of a code. One that the table lacks may mean anything, so the batch is sent again unchanged."""
    return ERRORS.get(code) or KafkaError(code, "UNKNOWN_ERROR", Kind.OTHER)
