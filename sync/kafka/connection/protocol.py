"""Kafka's messages that aiokafka lacks, in the lowest version that says what a look-up and an assessment need.

After Apache Kafka's own definitions (clients/src/main/resources/common/message). Only the part of each message that
a gateway uses is kept adjustable; the rest is written as the protocol's defaults.
"""

from __future__ import annotations

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v1, MetadataRequest_v4, MetadataRequest_v5
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

_TEXT = String("utf-8")
_COMPACT = CompactString("utf-8")
_CREATES_ONLY_IF_ASKED = 4
"""The first version of Metadata that says whether a topic that is not there is to be created."""


class _ProducersResponse(Response):
    API_KEY = 61
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _COMPACT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", _COMPACT),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("transaction_start", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _ProducersStruct(RequestStruct):
    API_KEY = 61
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ProducersResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("name", _COMPACT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("tags", TaggedFields),
    )


class DescribeProducersRequest(Request[_ProducersStruct]):
    """All producer ids that a partition's replica remembers, with their last sequences (needs READ)."""

    API_KEY = 61

    def __init__(self, topic: str, partition: int) -> None:
        self._topics: list[Any] = [(topic, [partition], {})]

    def build(self, request_struct_class: Any) -> Any:
        """As `Request.build`."""
        return request_struct_class(self._topics, {})


class _EpochEndResponse(Response):
    API_KEY = 23
    API_VERSION = 2
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            Array(
                ("name", _TEXT),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader_epoch", Int32),
                        ("end_offset", Int64),
                    ),
                ),
            ),
        ),
    )


class _EpochEndStruct(RequestStruct):
    API_KEY = 23
    API_VERSION = 2
    RESPONSE_TYPE = _EpochEndResponse
    SCHEMA = Schema(
        (
            "topics",
            Array(
                ("name", _TEXT),
                ("partitions", Array(("partition", Int32), ("current_leader_epoch", Int32), ("leader_epoch", Int32))),
            ),
        ),
    )


class EpochEndRequest(Request[_EpochEndStruct]):
    """OffsetForLeaderEpoch: where the leader's log ends, if it leads under just this epoch; else an error.

    Unlike the offsets that a consumer is told, this end counts what is not replicated yet (F7).
    """

    API_KEY = 23
    TITLE = "OffsetForLeaderEpoch"

    def __init__(self, topic: str, partition: int, epoch: int) -> None:
        self._topics = [(topic, [(partition, epoch, epoch)])]

    def build(self, request_struct_class: Any) -> Any:
        """As `Request.build`."""
        return request_struct_class(self._topics)


class _DescriptionResponse(Response):
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", Array(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT))),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", _TEXT),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("in_sync", Array(Int32)),
                        ("offline", Array(Int32)),
                    ),
                ),
                ("operations", Int32),
            ),
        ),
        ("operations", Int32),
    )


class _DescriptionStruct(RequestStruct):
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _DescriptionResponse
    SCHEMA = Schema(
        ("topics", Array(_TEXT)),
        ("allow_auto_topic_creation", Boolean),
        ("cluster_operations", Boolean),
        ("topic_operations", Boolean),
    )


class _TopicsResponse(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32), ("host", _COMPACT), ("port", Int32), ("rack", _COMPACT), ("tags", TaggedFields)
            ),
        ),
        ("cluster_id", _COMPACT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", _COMPACT),
                ("id_high", Int64),
                ("id_low", Int64),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("operations", Int32),
        ("tags", TaggedFields),
    )


class _TopicsStruct(RequestStruct):
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TopicsResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("id_high", Int64), ("id_low", Int64), ("name", _COMPACT), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("cluster_operations", Boolean),
        ("topic_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[MetadataRequest_v1 | MetadataRequest_v4 | MetadataRequest_v5 | _TopicsStruct]):
    """Metadata of topics, with their ids from Kafka 2.8 on. Of no topics: the cluster and its nodes.

    Before version 4 a broker that is set to create topics does so whoever asks.
    """

    API_KEY = 3

    def __init__(self, topics: list[str], *, create: bool) -> None:
        self._topics = topics
        self._create = create

    def build(self, request_struct_class: Any) -> Any:
        """As `Request.build`."""
        if request_struct_class is _TopicsStruct:
            named: list[Any] = [(0, 0, topic, {}) for topic in self._topics]
            return request_struct_class(named, self._create, False, False, {})
        if request_struct_class.API_VERSION < _CREATES_ONLY_IF_ASKED:
            return request_struct_class(self._topics)
        return request_struct_class(self._topics, self._create)


def topics_of(answer: Any) -> list[tuple[int, str, str, list[tuple[Any, ...]]]]:
    """What an answer to `TopicsRequest` says of each topic: error code, name, id ("" for none), partitions."""
    if answer.API_VERSION < _TopicsResponse.API_VERSION:
        return [(code, name, "", partitions) for code, name, _internal, partitions in answer.topics]
    found = []
    for code, name, high, low, _internal, partitions, *_ in answer.topics:
        topic_id = (high << 64) + (low & (1 << 64) - 1)
        found.append((code, name, f"{topic_id & (1 << 128) - 1:032x}" if topic_id else "", partitions))
    return found


class DescriptionRequest(Request[_DescriptionStruct]):
    """Metadata with leader epochs and with the operations that the asking user may do; creates no topic."""

    API_KEY = 3
    TITLE = "Metadata with leader epochs"

    def __init__(self, topics: list[str], *, operations: bool = False) -> None:
        self._topics = topics
        self._operations = operations

    def build(self, request_struct_class: Any) -> Any:
        """As `Request.build`."""
        return request_struct_class(self._topics, False, self._operations, self._operations)
