"""What Kafka's error codes mean to a gateway."""

from __future__ import annotations

from typing import Final

from aiokafka.errors import NoError, for_code

from sync.values import Accepted, Outcome, Refused, Unknown

NONE: Final = 0
UNKNOWN_SERVER_ERROR: Final = -1
OFFSET_OUT_OF_RANGE: Final = 1
UNKNOWN_TOPIC_OR_PARTITION: Final = 3
TOPIC_AUTHORIZATION_FAILED: Final = 29
UNSUPPORTED_VERSION: Final = 35
DUPLICATE_SEQUENCE: Final = 46

# Codes that aiokafka has no name for.
_NAMES: Final = {
    10: "MessageTooLarge",
    32: "InvalidTimestamp (32): this gateway's clock is ahead",
    46: "DuplicateSequenceNumber",
    74: "FencedLeaderEpoch",
    75: "UnknownLeaderEpoch",
    76: "UnsupportedCompressionType",
    78: "OffsetNotAvailable",
    87: "InvalidRecord",
    89: "ThrottlingQuotaExceeded",
    90: "ProducerFenced",
}

# It will never take this batch as it is. All are found before anything is appended.
_NEVER: Final = frozenset({2, 10, 18, 43, 76, 87})

# Found before anything is appended, and gone by waiting: a topic's name or rights, too few replicas in sync, a
# clock an hour ahead, versions in the middle of an upgrade, a quota; and the four by which a broker says that
# it does not know our sequence (45, 47, 59, 90).
_NOT_NOW: Final = frozenset({17, 19, 29, 31, 32, 35, 42, 45, 47, 59, 89, 90})


def name_of(code: int) -> str:
    """The code's name as operators know it from Kafka's own logs."""
    if code in _NAMES:
        return _NAMES[code]
    error = for_code(code)
    name = "NoError" if error is NoError else error.__name__
    return name.removesuffix("Error").removesuffix("Exception") + f" ({code})"


def outcome_of(code: int, offset: int) -> Outcome:
    """What a produce answer says about its batch.

    Every code that a leader may also give *after* it appended the batch (it lost the lead, or replicas did
    not follow in time) is `Unknown`: the batch may stand in the topic.
    """
    if code == NONE:
        return Accepted(offset)
    if code == DUPLICATE_SEQUENCE:
        return Accepted(-1)
    if code in _NEVER or code in _NOT_NOW:
        return Refused(code, name_of(code), permanent=code in _NEVER)
    return Unknown(f"the broker answered {name_of(code)}")
