"""A reader that follows topics to their ends while gateways die: `read_committed`, as any other team's may be."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Sequence

_REQUEST_TIMEOUT_MS = 5_000
_LOOK_FOR_PARTITIONS_S = 3.0


class Follower:
    """Runs in a thread of its own. `until_at_end` asks another client, which hides nothing, where the end is."""

    def __init__(self, bootstrap: str | Sequence[str], topic: str) -> None:
        self._bootstrap = bootstrap if isinstance(bootstrap, str) else list(bootstrap)
        self._topic = topic
        self._positions: dict[TopicPartition, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), name="follower", daemon=True)
        self.records = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def until_at_end(self, timeout_s: float) -> float | None:
        """Seconds until everything that stands in the topic now was read; None: not in time."""
        started = time.monotonic()
        ends = asyncio.run(self._ends(started + timeout_s))
        while ends is not None and time.monotonic() < started + timeout_s:
            if all(self._positions.get(tp, 0) >= end for tp, end in ends.items()):
                return time.monotonic() - started
            time.sleep(0.01)
        return None

    async def _ends(self, until: float) -> dict[TopicPartition, int] | None:
        while time.monotonic() < until:
            consumer = self._consumer("read_uncommitted")
            try:
                await consumer.start()
                return dict(await consumer.end_offsets(await _partitions(consumer, self._topic)))
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.2)
            finally:
                await consumer.stop()
        return None

    def _consumer(self, isolation: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            metadata_max_age_ms=1_000,
        )

    async def _follow(self) -> None:
        """For ever, with another consumer where one gives up."""
        while not self._stop.is_set():
            consumer = self._consumer("read_committed")
            try:
                await consumer.start()
                await self._read(consumer)
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.2)
            finally:
                await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        assigned: set[TopicPartition] = set()
        look_again_s = 0.0
        while not self._stop.is_set():
            if time.monotonic() > look_again_s:
                look_again_s = time.monotonic() + _LOOK_FOR_PARTITIONS_S
                found = set(await _partitions(consumer, self._topic))
                if found - assigned:
                    assigned |= found
                    consumer.assign(sorted(assigned))
                    for tp in assigned:
                        consumer.seek(tp, self._positions.setdefault(tp, 0))
            for chunk in (await consumer.getmany(timeout_ms=100, max_records=2_000)).values():
                self.records += len(chunk)
            # Past what a transaction leaves behind, too, which is no record.
            self._positions |= {tp: await consumer.position(tp) for tp in assigned}


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    found = (await consumer._client.fetch_all_metadata()).partitions_for_topic(topic)
    return [TopicPartition(topic, number) for number in sorted(found or ())]
