"""Reads a topic on as it grows, for tools beside the gateways; no consumer group, nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from aiokafka.record.memory_records import MemoryRecords

from sync.kafka.connection.client import Client, TopicUnavailable
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sync.kafka.settings import KafkaSettings

_FETCH_BYTES: Final = 4 * 1024 * 1024


class Value(NamedTuple):
    """One record."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Follow:
    """All partitions of a topic, from `last` records before their ends at the first reading."""

    def __init__(self, kafka: KafkaSettings, topic: str, last: int) -> None:
        self._client = Client(kafka, create_topics=False)
        self._topic = topic
        self._last = last
        self._positions: dict[int, int] = {}

    async def read_on(self) -> AsyncIterator[Value]:
        """What has come since the last reading, partition by partition.

        Raises:
            NotReady: the topic cannot be read now; reading may go on later from there.
            Misconfigured: the cluster refuses our credentials.
        """
        try:
            for partition in range(await self._client.partition_count(self._topic)):
                end = await self._client.log_end(self._topic, partition)
                start = await self._client.log_start(self._topic, partition)
                self._positions.setdefault(partition, max(start, end - self._last))
                while self._positions[partition] < end:
                    position = self._positions[partition]
                    fetched = await self._client.fetch(self._topic, partition, position, _FETCH_BYTES)
                    if fetched is None:
                        # Removed by retention meanwhile.
                        self._positions[partition] = max(start, position + 1)
                        start = await self._client.log_start(self._topic, partition)
                        continue
                    found = self._take(partition, fetched.records)
                    if self._positions[partition] == position:
                        break
                    for value in found:
                        yield value
        except TopicUnavailable as error:
            raise NotReady(error.reason, "may this user read it?") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    def _take(self, partition: int, fetched: bytes) -> list[Value]:
        begun = self._positions[partition]
        found = []
        records = MemoryRecords(fetched)
        while (batch := records.next_batch()) is not None:
            if not batch.validate_crc():
                raise NotReady(f"a batch of {self._topic} at offset {batch.base_offset} is damaged")
            if not batch.is_control_batch:
                found += [
                    Value(record.key or b"", record.value, tuple(record.headers))
                    for record in batch
                    if record.offset >= begun and record.value is not None
                ]
            self._positions[partition] = max(self._positions[partition], batch.next_offset)
        return found
