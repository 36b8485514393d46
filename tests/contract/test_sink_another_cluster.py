"""Another cluster answers in place of the one before: what every sink says then, in memory and Kafka (D6)."""

from __future__ import annotations

import asyncio

import pytest

from sync.kafka import KafkaSettings, KafkaSink
from sync.memory import MemorySink
from sync.values import Accepted, ClusterChanged, Lane, Stream
from tests.support.batches import batch_of
from tests.support.kafka import ApacheKafka
from tests.support.sinks import accepted, ready

TOPIC = "sensor-data"
STREAM = Stream(Lane.LIVE, TOPIC, 0)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def place(request):
    """A sink, and what puts another cluster in the place of its own."""
    if request.param == "memory":
        sink = MemorySink()

        async def rebuild():
            sink.rebuild("another")

        yield sink, rebuild
        return
    with ApacheKafka() as kafka:
        sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))

        async def rebuild():
            await asyncio.to_thread(kafka.rebuild)

        yield sink, rebuild
        await sink.close()


async def test_nothing_is_sent_or_asked_until_it_is_asked_for_anew(place):
    """D6."""
    sink, rebuild = place
    first = await ready(lambda: sink.cluster_id(anew=False))
    assert await ready(sink.partition_count, TOPIC) == 1
    producer = await ready(sink.new_producer)
    batch = batch_of([b"a"], topic=TOPIC, producer=producer, base_sequence=0)
    await accepted(sink, batch)
    await rebuild()
    asks = [
        lambda: sink.send(batch),
        lambda: sink.look_up(batch),
        lambda: sink.read_back(batch),
        lambda: sink.partition_count(TOPIC),
        lambda: sink.log_end(STREAM),
        lambda: sink.keep_ready(STREAM),
        sink.reach,
        sink.new_producer,
        sink.id_expiration_s,
    ]
    for _ in range(2):
        for ask in asks:
            with pytest.raises(ClusterChanged):
                await ask()
    assert await ready(lambda: sink.cluster_id(anew=True)) not in {first, ""}
    assert await ready(sink.partition_count, TOPIC) == 1
    assert await ready(sink.log_end, STREAM) == 0
    mine = await ready(sink.new_producer)
    assert await accepted(sink, batch_of([b"b"], topic=TOPIC, producer=mine, base_sequence=0)) == 0
    assert isinstance(await sink.send(batch_of([b"c"], topic=TOPIC, producer=mine, base_sequence=1)), Accepted)


async def test_what_the_old_one_remembered_for_how_long_is_asked_anew():
    """D6: half of it bounds how late a batch may go again."""
    with ApacheKafka(config={"producer.id.expiration.ms": "600000"}) as kafka:
        sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
        assert await ready(sink.id_expiration_s) == 600.0
        await asyncio.to_thread(kafka.rebuild, {"producer.id.expiration.ms": "60000"})
        await ready(lambda: sink.cluster_id(anew=True))
        assert await ready(sink.id_expiration_s) == 60.0
        await sink.close()
