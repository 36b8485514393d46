"""A cluster that is built anew under its old address, with Apache Kafka and the log on a disk (D6)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from sync.kafka import KafkaSettings, KafkaSink
from sync.log import SqliteLog
from sync.shipper import AnotherCluster, Shipper, ShipperSettings
from sync.values import Accepted, Lane
from tests.support.batches import batch_of
from tests.support.consumer import read_topic
from tests.support.kafka import ApacheKafka
from tests.support.log import TOPIC, envelopes, running, settings, until
from tests.support.sinks import ready

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sync.shipper import ShipperEvent

pytestmark = pytest.mark.broker

SETTINGS = ShipperSettings(retry_s=(0.1, 0.3), backoff_most_s=0.5, stop_s=0.0)


@contextlib.asynccontextmanager
async def shipping(log: SqliteLog, kafka: ApacheKafka) -> AsyncIterator[list[ShipperEvent]]:
    events: list[ShipperEvent] = []
    shipper = Shipper(log, KafkaSink(KafkaSettings((kafka.bootstrap,))), SETTINGS, events.append)
    task = asyncio.create_task(shipper.run())
    try:
        yield events
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()


async def give_ids_to_others(kafka: ApacheKafka) -> None:
    """Another gateway writes to the same partition, under the ids that the new cluster gives first."""
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
    assert await ready(sink.partition_count, TOPIC) == 1
    for _ in range(3):
        producer = await ready(sink.new_producer)
        theirs = batch_of([b"other"] * 500, topic=TOPIC, producer=producer, base_sequence=0)
        async with asyncio.timeout(30):
            while not isinstance(await sink.send(theirs), Accepted):
                await asyncio.sleep(0.1)
    await sink.close()


def settled(log: SqliteLog) -> bool:
    return log.stats().depth[Lane.LIVE] + log.stats().depth[Lane.BACKFILL] == 0


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_was_not_acknowledged_goes_to_the_new_cluster_marked_and_nothing_is_taken_for_delivered(
    tmp_path: Path, *, restarted: bool
) -> None:
    """D6."""
    with ApacheKafka() as kafka:
        async with running(SqliteLog(settings(tmp_path))) as log:
            async with shipping(log, kafka) as events:
                await log.append(envelopes(*range(10)))
                await until(lambda: settled(log))
                await asyncio.to_thread(kafka.pause)
                await log.append(envelopes(*range(10, 20)))
                await until(lambda: log.streams()[0].unsettled)
                await asyncio.sleep(0.2)
                if not restarted:
                    await asyncio.to_thread(kafka.rebuild)
                    await give_ids_to_others(kafka)
                    await log.append(envelopes(*range(20, 30)))
                    await until(lambda: settled(log), 60.0)
            if restarted:
                await asyncio.to_thread(kafka.rebuild)
                await give_ids_to_others(kafka)
                async with shipping(log, kafka) as events:
                    await log.append(envelopes(*range(20, 30)))
                    await until(lambda: settled(log), 60.0)
        found = await read_topic(kafka.bootstrap, TOPIC)
    ours = [
        (int(record.value), dict(record.headers).get("possibly_repeated"))
        for record in found
        if record.value != b"other"
    ]
    assert sorted(number for number, _ in ours) == list(range(10, 30))
    assert {number for number, mark in ours if mark == b"1"} == set(range(10, 20))
    assert [event.records for event in events if isinstance(event, AnotherCluster)] == [10]
