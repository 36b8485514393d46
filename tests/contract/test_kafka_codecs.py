"""What batches leave in: every reader takes it, a repeat in another codec is known, a refused codec waits."""

from __future__ import annotations

import asyncio
import subprocess
import uuid

import pytest

from sync.batches import CODECS, recompressed
from sync.kafka import KafkaSettings, KafkaSink
from sync.log import LogSettings, SqliteLog
from sync.shipper import DeadLettered, Recovered, Shipper, ShipperSettings, Waiting
from sync.values import Accepted, Envelope, Lane
from tests.support.batches import batch_of
from tests.support.consumer import read_topic
from tests.support.kafka_relay import KafkaRelay
from tests.support.log import running
from tests.support.sinks import accepted, ready

pytestmark = pytest.mark.broker

UNSUPPORTED_COMPRESSION, UNSUPPORTED_FORMAT = 76, 43


@pytest.fixture
def topic():
    return f"codec-{uuid.uuid4().hex[:8]}"


def sink_of(bootstrap, compression):
    return KafkaSink(KafkaSettings((bootstrap,), compression=compression))


async def send(kafka, topic, compression, values):
    sink = sink_of(kafka.bootstrap, compression)
    try:
        await sink.partition_count(topic)
        batch = batch_of(values, topic=topic, producer=await ready(sink.new_producer), base_sequence=0)
        await accepted(sink, batch)
    finally:
        await sink.close()
    return batch


@pytest.mark.parametrize("compression", CODECS)
async def test_two_foreign_consumers_read_every_codec(kafka, topic, compression):
    kafka.create_topic(topic)
    values = [b'{"value": %d.5}' % number for number in range(3_000)]
    await send(kafka, topic, compression, values)
    assert [record.value for record in await read_topic(kafka.bootstrap, topic)] == values
    command = [
        "kcat",
        "-b",
        kafka.bootstrap,
        "-C",
        "-t",
        topic,
        "-e",
        "-q",
        "-o",
        "beginning",
        "-X",
        "check.crcs=true",
    ]
    read = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=True)
    assert read.stdout.splitlines() == values


async def test_a_batch_that_goes_again_in_another_codec_is_the_same_batch(kafka, topic):
    """F1: a broker knows it by producer and sequences, so that a change of the setting doubles nothing."""
    kafka.create_topic(topic)
    batch = await send(kafka, topic, "zstd", [b"a", b"b", b"c"])
    for compression in ("gzip", "lz4", "none"):
        sink = sink_of(kafka.bootstrap, compression)
        assert await accepted(sink, batch) == 0
        await sink.close()
    assert len(await read_topic(kafka.bootstrap, topic)) == 3


async def test_how_much_larger_a_body_leaves_is_measured(kafka, topic):
    kafka.create_topic(topic)
    sink = sink_of(kafka.bootstrap, "none")
    assert sink.expansion > 1
    values = [b"x" * 1_000] * 500
    batch = batch_of(values, topic=topic, producer=await ready(sink.new_producer), base_sequence=0)
    await accepted(sink, batch)
    await sink.close()
    assert sink.expansion == len(recompressed(batch.body, "none")) / len(batch.body) > 50


class Ship:
    """A log on disk and what ships it, in one codec."""

    def __init__(self, log, bootstrap, compression="zstd"):
        self.events = []
        settings = ShipperSettings(retry_s=(0.1, 0.3), backoff_most_s=0.1)
        self.shipper = Shipper(log, sink_of(bootstrap, compression), settings, self.events.append)

    async def run_until(self, holds):
        task = asyncio.create_task(self.shipper.run())
        try:
            async with asyncio.timeout(90):
                while not holds():
                    if task.done():
                        task.result()
                    await asyncio.sleep(0.02)
        finally:
            task.cancel()
            await asyncio.wait({task})

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.mark.parametrize("code", [UNSUPPORTED_COMPRESSION, UNSUPPORTED_FORMAT])
async def test_a_refused_codec_waits_names_the_setting_and_loses_nothing(kafka, topic, tmp_path, code):
    """D2, D4: no dead letter; once the cluster takes the codec it goes under the id and sequence of before."""
    kafka.create_topic(topic)
    with KafkaRelay(kafka) as relay:
        relay.refused = {CODECS["zstd"]: code}
        async with running(SqliteLog(LogSettings(tmp_path / "log.sqlite", "gw", "site"))) as log:
            ship = Ship(log, relay.bootstrap)
            await log.append([Envelope(Lane.ALERT, topic, b"k", b"%d" % number, ()) for number in range(50)])

            def waits():
                if relay.refusals > 20:
                    relay.refused = {}
                return relay.refusals > 20 and sum(log.stats().depth.values()) == 0

            await ship.run_until(waits)
            (waiting,) = ship.of(Waiting)
            assert (waiting.topic, waiting.setting) == (topic, "kafka.compression")
            assert "gzip, lz4 or none" in waiting.hint
            assert ship.of(Recovered)
            assert not ship.of(DeadLettered)
            assert log.stats().dead_letters == 0
    assert [int(record.value) for record in await read_topic(kafka.bootstrap, topic)] == list(range(50))


async def test_a_codec_that_is_changed_sends_what_was_refused_and_doubles_nothing(kafka, topic, tmp_path):
    kafka.create_topic(topic)
    with KafkaRelay(kafka) as relay:
        relay.refused = {CODECS["zstd"]: UNSUPPORTED_COMPRESSION}
        async with running(SqliteLog(LogSettings(tmp_path / "log.sqlite", "gw", "site"))) as log:
            await log.append([Envelope(Lane.LIVE, topic, b"k", b"%d" % number, ()) for number in range(50)])
            before = Ship(log, relay.bootstrap)
            await before.run_until(lambda: before.of(Waiting))
            after = Ship(log, relay.bootstrap, "gzip")
            await after.run_until(lambda: sum(log.stats().depth.values()) == 0)
            assert log.stats().dead_letters == 0
            assert relay.codecs == {CODECS["gzip"]}
    records = await read_topic(kafka.bootstrap, topic)
    assert [int(record.value) for record in records] == list(range(50))
    assert not any(record.header("possibly_repeated") for record in records)


async def test_a_refusal_of_one_topic_leaves_the_others_their_connection(kafka, topic):
    """D2: all topics of a lane share one, and a refusal leaves nothing open."""
    kafka.create_topic(topic)
    other = f"{topic}-other"
    kafka.create_topic(other)
    with KafkaRelay(kafka) as relay:
        relay.refused = {CODECS["zstd"]: UNSUPPORTED_COMPRESSION}
        sink = sink_of(relay.bootstrap, "zstd")
        producer = await ready(sink.new_producer)
        batches = [batch_of([b"a"], topic=name, producer=producer, base_sequence=0) for name in (topic, other)]
        for batch in batches:
            await sink.keep_ready(batch.claim.stream)
        for _ in range(5):
            outcomes = await asyncio.gather(*[sink.send(batch) for batch in batches])
            assert [outcome.reason for outcome in outcomes] == ["UnsupportedCompressionType (76)"] * 2
        relay.refused = {}
        assert await asyncio.gather(*[sink.send(batch) for batch in batches]) == [Accepted(0), Accepted(0)]
        await sink.close()
