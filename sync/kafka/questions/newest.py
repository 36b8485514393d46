"""The newest record of one key on a partition, from its end back to an offset, in at most so many bytes (D11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sync.kafka.connection.client import TopicUnavailable
from sync.kafka.questions.partition import Partition, stretches_back
from sync.side_by_side import both
from sync.values import CannotTell, NotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.kafka.connection.client import Client
    from sync.kafka.questions.stored import Stored

_NO_SUCH_TOPIC: Final = 3
_NO_RIGHTS: Final = frozenset({29, 30, 31})


@dataclass(frozen=True, slots=True)
class Newest:
    """The record, and where it stands; `value` and `offset` are None where there is none of the key."""

    value: bytes | None = None
    offset: int | None = None


class NewestOf:
    """Asks one cluster for the newest record of a key, over a client's connections."""

    def __init__(self, client: Client, topic: str, key: bytes) -> None:
        self._client = client
        self._topic = topic
        self._key = key

    async def partition_count(self) -> int | CannotTell:
        """How many partitions the topic has.

        Raises:
            NotReady: asking again may help; Unreachable where nobody answers.
            Misconfigured: the cluster refuses our credentials.
        """
        try:
            return await self._client.partition_count(self._topic)
        except TopicUnavailable as error:
            return _refusal(error)

    async def read(self, partition: int, start: int, most_bytes: int) -> Newest | CannotTell:
        """The newest record of the key from `start` on, or from the partition's beginning where it begins later.

        Raises what `partition_count` raises.
        """
        try:
            return await self._read(partition, start, most_bytes)
        except TopicUnavailable as error:
            return _refusal(error)

    async def _read(self, number: int, start: int, most_bytes: int) -> Newest | CannotTell:
        """From the end back: what is newest is near it, however long ago `start` was."""
        topic = self._topic
        partition = Partition(self._client, topic, number)
        # Side by side: over a bad line each question takes its second, and all that is to be sent waits for it.
        begin, end = await both(partition.start(), partition.end())
        # An end before `start` is that of a topic that was created again: all that stands there counts.
        begin = begin if start > end else max(start, begin)
        for first, behind in stretches_back(begin, end):
            found = Newest()
            async for batches in partition.read(first, behind):
                found = self._newest(batches) or found
                if partition.read_bytes >= most_bytes and partition.position < behind:
                    return _too_long(topic, number, most_bytes)
            if found.offset is not None:
                return found
            if partition.read_bytes >= most_bytes and first > begin:
                return _too_long(topic, number, most_bytes)
        return Newest()

    def _newest(self, batches: Sequence[Stored]) -> Newest | None:
        found = None
        for batch in batches:
            for record in batch.records():
                if record.key == self._key and record.value is not None:
                    found = Newest(bytes(record.value), record.offset)
        return found


def _too_long(topic: str, number: int, most_bytes: int) -> CannotTell:
    return CannotTell(f"partition {number} of {topic} holds more than {most_bytes} bytes to read")


def _refusal(error: TopicUnavailable) -> CannotTell:
    if error.code in _NO_RIGHTS:
        return CannotTell(error.reason, may_not_read=True)
    if error.code == _NO_SUCH_TOPIC:
        return CannotTell(error.reason)
    raise NotReady(error.reason) from error
