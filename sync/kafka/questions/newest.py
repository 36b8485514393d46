"""The newest record of one key on a partition, read from a known offset on and for at most so many bytes (D11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka.record.memory_records import MemoryRecords

from sync.kafka.connection.client import TopicUnavailable
from sync.side_by_side import both
from sync.values import CannotTell, NotReady

if TYPE_CHECKING:
    from sync.kafka.connection.client import Client

_FETCH_BYTES: Final = 256 * 1024
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

    async def _read(self, partition: int, start: int, most_bytes: int) -> Newest | CannotTell:
        topic = self._topic
        # Side by side: over a bad line each question takes its second, and all that is to be sent waits for it.
        begin, end = await both(self._client.log_start(topic, partition), self._client.log_end(topic, partition))
        position = max(start, begin)
        found = Newest()
        read_bytes = 0
        while position != end:
            fetched = await self._client.fetch(topic, partition, position, _FETCH_BYTES)
            if fetched is None:
                # Made anew, and shorter than it was: what stands there now is what counts.
                position = await self._client.log_start(topic, partition)
                fetched = await self._client.fetch(topic, partition, position, _FETCH_BYTES)
                if fetched is None:
                    raise NotReady(f"{topic}: no offset can be read in partition {partition}")
            begun = position
            found, position = self._look(fetched.records, begun, found)
            read_bytes += len(fetched.records)
            if position >= fetched.high_watermark:
                return found
            if read_bytes >= most_bytes:
                return CannotTell(f"partition {partition} of {topic} holds more than {most_bytes} bytes to read")
            if position == begun:
                raise NotReady(f"{topic}: partition {partition} gives nothing at offset {position}")
        return found

    def _look(self, fetched: bytes, position: int, found: Newest) -> tuple[Newest, int]:
        """The newest of what was fetched, else `found`; and the offset behind all of it."""
        records = MemoryRecords(fetched)
        while (batch := records.next_batch()) is not None:
            if not batch.validate_crc():
                raise NotReady(f"a batch of {self._topic} at offset {batch.base_offset} is damaged")
            if not batch.is_control_batch:
                for record in batch:
                    if record.offset >= position and record.key == self._key and record.value is not None:
                        found = Newest(bytes(record.value), record.offset)
            position = max(position, batch.next_offset)
        return found, position


def _refusal(error: TopicUnavailable) -> CannotTell:
    if error.code in _NO_RIGHTS:
        return CannotTell(error.reason, may_not_read=True)
    if error.code == _NO_SUCH_TOPIC:
        return CannotTell(error.reason)
    raise NotReady(error.reason) from error
