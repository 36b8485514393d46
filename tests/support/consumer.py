"""An independent reader of whole topics: what any other team's consumer would see, headers and all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in Kafka; `timestamp_ms` is Kafka's own (the time of sending)."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    def header(self, name: str) -> str:
        """The header's value as text; "" where it is missing."""
        return next((value.decode() for key, value in self.headers if key == name), "")


async def scan(bootstrap: str, topic: str, *, timeout_s: float = 120.0) -> AsyncIterator[list[Record]]:
    """Every record of a topic up to its end at the time of the call, in chunks, each partition in order.

    A topic that does not exist has no records.

    Raises:
        TimeoutError: the end was not reached in time.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest")
    async with asyncio.timeout(timeout_s):
        await consumer.start()
        try:
            found = (await _all_metadata(consumer)).partitions_for_topic(topic)
            partitions = [TopicPartition(topic, number) for number in sorted(found or ())]
            if not partitions:
                return
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            seen: set[TopicPartition] = set()
            left = set(partitions)
            while left:
                chunks = await consumer.getmany(*left, timeout_ms=200, max_records=5_000)
                for tp in left - seen:
                    # Asked for its end, Tansu names the start of the last batch: what a fetch says counts too.
                    if (mark := consumer.highwater(tp)) is not None:
                        ends[tp] = max(ends[tp], mark)
                        seen.add(tp)
                done = {tp for tp in left & seen if await consumer.position(tp) >= ends[tp]}
                consumer.pause(*done)
                left -= done
                records = [
                    Record(topic, tp.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
                    for tp, chunk in chunks.items()
                    for r in chunk
                    if r.offset < ends[tp]
                ]
                if records:
                    yield records
        finally:
            await consumer.stop()


async def _all_metadata(consumer: AIOKafkaConsumer) -> Any:
    """All topics': asking for one by name would create it. A broker that stood still is soon named again."""
    while True:
        try:
            return await consumer._client.fetch_all_metadata()
        except KafkaError:
            await asyncio.sleep(0.1)


async def read_topic(bootstrap: str, topic: str, *, timeout_s: float = 120.0) -> list[Record]:
    """All of `scan` at once."""
    return [record async for chunk in scan(bootstrap, topic, timeout_s=timeout_s) for record in chunk]


def read_topic_blocking(bootstrap: str, topic: str, *, timeout_s: float = 120.0) -> list[Record]:
    """`read_topic` for callers without a running loop."""
    return asyncio.run(read_topic(bootstrap, topic, timeout_s=timeout_s))
