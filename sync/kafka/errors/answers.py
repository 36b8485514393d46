"""What Kafka's error codes mean to a gateway."""

from __future__ import annotations

from typing import Final

from sync.kafka.errors import Kind, error_of
from sync.values import Accepted, Outcome, Refused, Unknown

NONE: Final = 0
UNKNOWN_SERVER_ERROR: Final = -1
OFFSET_OUT_OF_RANGE: Final = 1
UNKNOWN_TOPIC_OR_PARTITION: Final = 3
TOPIC_AUTHORIZATION_FAILED: Final = 29
UNSUPPORTED_VERSION: Final = 35


def name_of(code: int) -> str:
    """The code's name as operators know it from Kafka's own logs."""
    return error_of(code).text


def outcome_of(code: int, offset: int) -> Outcome:
    """What a produce answer says about its batch.

    Every code that a leader may also give *after* it appended the batch (it lost the lead, or replicas did
    not follow in time) is `Unknown`: the batch may be in the topic.
    """
    error = error_of(code)
    if error.kind is Kind.TAKEN:
        return Accepted(offset if code == NONE else -1)
    if error.before:
        return Refused(code, error.text, permanent=error.kind is Kind.RECORD, setting=error.setting, hint=error.cure)
    return Unknown(f"the broker answered {error.text}", setting=error.setting, hint=error.cure)
