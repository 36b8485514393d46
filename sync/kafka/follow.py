"""Reads a topic as it grows, for tools beside the gateways; no consumer group, nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync.kafka.connection.client import Client, TopicUnavailable
from sync.kafka.questions.partition import Partition
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sync.kafka.settings import KafkaSettings


class Follow:
    """All partitions of a topic, from `last` records before their ends at the first reading."""

    def __init__(self, kafka: KafkaSettings, topic: str, last: int) -> None:
        self._client = Client(kafka, create_topics=False)
        self._topic = topic
        self._last = last
        self._positions: dict[int, int] = {}

    async def read_on(self) -> AsyncIterator[bytes]:
        """The values that have come since the last reading, partition by partition.

        Raises:
            NotReady: the topic cannot be read now; reading may go on later from there.
            Misconfigured: the cluster refuses our credentials.
        """
        try:
            for number in range(await self._client.partition_count(self._topic)):
                partition = Partition(self._client, self._topic, number, committed=True)
                end = await partition.end()
                if number not in self._positions:
                    self._positions[number] = max(await partition.start(), end - self._last)
                async for batches in partition.read(self._positions[number], end):
                    for batch in batches:
                        for record in batch.records():
                            if record.value is not None:
                                yield bytes(record.value)
                        self._positions[number] = batch.after
                self._positions[number] = max(self._positions[number], partition.position)
        except TopicUnavailable as error:
            raise NotReady(error.reason, "check that this user may read it") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
