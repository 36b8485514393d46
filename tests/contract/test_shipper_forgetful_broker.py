"""What a broker forgot or lost, with Apache Kafka and the log on a disk: D6 and D7 over a gateway that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from sync.batches import frame_batch
from sync.kafka import KafkaSettings, KafkaSink
from sync.kafka import sink as kafka_sink
from sync.kafka.errors.answers import name_of
from sync.log import SqliteLog
from sync.shipper import Repeated, Shipper, ShipperSettings
from sync.values import Envelope, Forgotten, Known, Lane
from tests.support.consumer import read_topic
from tests.support.kafka import ApacheKafka
from tests.support.log import running, settings
from tests.support.sinks import ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sync.values import Batch, LookedUp, Outcome
    from tests.support.consumer import Record

pytestmark = pytest.mark.broker

SETTINGS = ShipperSettings(retry_s=(0.1, 0.3), backoff_most_s=1.0, stop_s=0.0)


@pytest.fixture
def topic() -> str:
    return f"memory-{uuid.uuid4().hex[:8]}"


class Over:
    """Stands before the real sink."""

    def __init__(self, sink: KafkaSink) -> None:
        self.sink = sink

    def __getattr__(self, name: str) -> object:
        return getattr(self.sink, name)


class NoAnswer(Over):
    """From the batch that begins with record `at` on nobody hears an answer; it is sent all the same if `taken`."""

    def __init__(self, sink: KafkaSink, at: int, *, taken: bool) -> None:
        super().__init__(sink)
        self.at, self.taken = at, taken
        self.left: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()

    async def send(self, batch: Batch) -> Outcome:
        # Its clock stands at its beginning, so that the broker forgets the id at its next look (F4).
        with mock.patch.object(kafka_sink, "frame_batch", lambda batch, _, *how: frame_batch(batch, 0, *how)):
            if batch.first < self.at:
                return await self.sink.send(batch)
            if self.taken:
                await self.sink.send(batch)
        self.left.set_result(batch)
        return await asyncio.get_running_loop().create_future()


class Blind(Over):
    """The control: a look-up that always says that the batch was not taken."""

    async def look_up(self, batch: Batch) -> LookedUp:
        return Known(batch.claim.base_sequence - 1)


@contextlib.asynccontextmanager
async def shipping(shipper: Shipper) -> AsyncIterator[None]:
    task = asyncio.create_task(shipper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def append(log: SqliteLog, topic: str, numbers: range) -> None:
    await log.append([Envelope(Lane.LIVE, topic, b"k", f"{number}".encode(), ()) for number in numbers])


async def all_settled(log: SqliteLog) -> None:
    async with asyncio.timeout(90):
        while sum(log.stats().depth.values()):
            await asyncio.sleep(0.02)


def killed(folder: Path) -> Path:
    """The files as a kill -9 leaves them at this moment."""
    return shutil.copytree(folder, folder.with_name("after"), ignore=shutil.ignore_patterns("*-shm", "*.ballast"))


def numbers(records: list[Record], *, marked: bool = False) -> list[int]:
    return [int(record.value or b"") for record in records if not marked or record.header("possibly_repeated") == "1"]


@pytest.mark.parametrize(
    ("taken", "control"), [(True, False), (False, False), (True, True)], ids=["taken", "not taken", "without look-up"]
)
async def test_a_batch_whose_id_was_forgotten_over_a_kill_stands_once(
    kafka: ApacheKafka, topic: str, tmp_path: Path, *, taken: bool, control: bool
) -> None:
    await asyncio.to_thread(kafka.create_topic, topic, 1, {"retention.ms": "-1"})
    before = tmp_path / "before"
    before.mkdir()
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
    async with running(SqliteLog(settings(before))) as log:
        await log.assign_partition(topic, 1)
        await append(log, topic, range(50))
        silent = NoAnswer(sink, log.stats().next_seq, taken=taken)
        async with shipping(Shipper(log, silent, SETTINGS)):  # type: ignore[arg-type]
            await all_settled(log)
            await append(log, topic, range(50, 60))
            left = await asyncio.wait_for(silent.left, 30)
            after = killed(before)
    async with asyncio.timeout(60):
        while await ready(sink.look_up, left) != Forgotten():
            await asyncio.sleep(0.1)
    await sink.close()

    sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
    shipper = Shipper(SqliteLog(settings(after)), Blind(sink) if control else sink, SETTINGS)  # type: ignore[arg-type]
    async with running(shipper.log):  # type: ignore[arg-type]
        await append(shipper.log, topic, range(60, 70))  # type: ignore[arg-type]
        async with shipping(shipper):
            await all_settled(shipper.log)  # type: ignore[arg-type]
    found = await read_topic(kafka.bootstrap, topic)
    if control:
        assert numbers(found) == [*range(60), *range(50, 70)], "without the look-up it stands twice"
        return
    assert numbers(found) == list(range(70))
    assert numbers(found, marked=True) == []
    stats = shipper.stats()
    assert (stats.looked_up[Lane.LIVE], stats.read_back[Lane.LIVE]) == (1, 1)


def lose_behind(broker: ApacheKafka, topic: str, offset: int) -> None:
    """What a disk that lied about an fsync leaves after a power cut: the end of a partition is gone."""
    (segment,) = (broker.folder / "data" / f"{topic}-0").glob("*.log")
    content, at = segment.read_bytes(), 0
    while int.from_bytes(content[at : at + 8], "big") < offset:
        at += 12 + int.from_bytes(content[at + 8 : at + 12], "big")
    segment.write_bytes(content[:at])
    for kept in segment.parent.glob("*.snapshot"):
        kept.unlink()


async def test_what_a_broker_lost_of_what_it_had_acknowledged_goes_again_marked(topic: str, tmp_path: Path) -> None:
    with ApacheKafka() as broker:
        await asyncio.to_thread(broker.create_topic, topic)
        sink = KafkaSink(KafkaSettings((broker.bootstrap,), request_timeout_s=5.0))
        events: list[object] = []
        async with running(SqliteLog(settings(tmp_path))) as log:
            shipper = Shipper(log, sink, replace(SETTINGS, stop_s=1.0), events.append)
            async with shipping(shipper):
                for start in range(0, 50, 10):
                    await append(log, topic, range(start, start + 10))
                    await all_settled(log)
                await asyncio.to_thread(broker.kill)
                lose_behind(broker, topic, 30)
                await asyncio.to_thread(broker.start)
                assert numbers(await read_topic(broker.bootstrap, topic)) == list(range(30))
                await append(log, topic, range(50, 60))
                await all_settled(log)
            stats = log.stats()
        found = await read_topic(broker.bootstrap, topic)
    assert numbers(found) == list(range(60))
    assert numbers(found, marked=True) == list(range(30, 60))
    assert [event.records for event in events if isinstance(event, Repeated)] == [30]
    assert stats.lost == {}
    assert shipper.stats().retries[name_of(45)] == 1, "the broker told by refusing, not by a look-up"
