"""What became of a batch (D6): what a sink remembers of its producer, and what stands in the partition."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from dataclasses import replace

import pytest

from sync.kafka import KafkaSettings, KafkaSink
from sync.values import (
    Absent,
    Accepted,
    CannotTell,
    Forgotten,
    Found,
    Known,
    NotReady,
    Producer,
    Unknown,
    Unreachable,
)
from tests.support.batches import batch_of
from tests.support.proxy import Proxy
from tests.support.sinks import OverKafka, OverMemory, accepted, ready


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
async def over(request):
    if request.param == "memory":
        yield OverMemory()
        return
    over = OverKafka(request.getfixturevalue("kafka"))
    with over.proxy:
        yield over
        await over.sink.close()


@pytest.fixture
async def topic(over):
    name = f"lookup-{uuid.uuid4().hex[:8]}"
    await ready(over.sink.partition_count, name)
    return name


@pytest.fixture
async def producer(over):
    return await ready(over.sink.new_producer)


async def test_an_id_is_known_by_its_last_sequence_and_one_never_used_is_not(over, topic, producer):
    batch = batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=0)
    assert await ready(over.sink.look_up, batch) == Forgotten()
    await accepted(over.sink, batch)
    assert await ready(over.sink.look_up, batch) == Known(1)
    after = batch_of([b"c", b"d", b"e"], topic=topic, producer=producer, base_sequence=2, first=3)
    assert await ready(over.sink.look_up, after) == Known(1)
    await accepted(over.sink, after)
    assert await ready(over.sink.look_up, after) == Known(4)
    assert await ready(over.sink.look_up, replace(after, claim=replace(after.claim, producer=Producer(9**9, 0)))) == (
        Forgotten()
    )


async def test_after_its_largest_value_the_last_sequence_is_counted_from_0_again(over, topic, producer):
    await accepted(over.sink, batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=2**31 - 2))
    batch = batch_of([b"c", b"d"], topic=topic, producer=producer, base_sequence=0, first=3)
    assert await ready(over.sink.look_up, batch) == Known(2**31 - 1)
    await accepted(over.sink, batch)
    assert await ready(over.sink.look_up, batch) == Known(1)


async def test_a_batch_that_crosses_the_largest_sequence_ends_where_the_count_from_0_says(over, topic, producer):
    batch = batch_of([b"a", b"b", b"c"], topic=topic, producer=producer, base_sequence=2**31 - 2)
    await accepted(over.sink, batch)
    assert await ready(over.sink.look_up, batch) == Known(0)


async def test_after_a_lost_answer_both_tell_that_the_batch_was_taken(over, topic, producer):
    batch = batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=0)
    assert isinstance(await over.send_and_lose(batch, answer_only=True), Unknown)
    assert await ready(over.sink.look_up, batch) == Known(1)
    assert await ready(over.sink.read_back, batch) == Found(0)


async def test_after_a_lost_request_both_tell_that_the_batch_was_not_taken(over, topic, producer):
    await accepted(over.sink, batch_of([b"a"], topic=topic, producer=producer, base_sequence=0))
    batch = batch_of([b"b", b"c"], topic=topic, producer=producer, base_sequence=1, first=2)
    assert isinstance(await over.send_and_lose(batch, answer_only=False), Unknown)
    assert await ready(over.sink.look_up, batch) == Known(0)
    assert await ready(over.sink.read_back, batch) == Absent()
    assert await accepted(over.sink, batch) == 1
    assert await over.values(topic) == [b"a", b"b", b"c"]


async def test_a_forgotten_id_leaves_its_records_to_be_found(over, topic, producer):
    await accepted(over.sink, batch_of([b"x"], topic=topic, producer=Producer(-1, -1), base_sequence=-1, first=9))
    batch = batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=0)
    assert await over.send_and_be_forgotten(batch) == 1
    assert await ready(over.sink.look_up, batch) == Forgotten()
    assert await ready(over.sink.read_back, batch) == Found(1)
    # The control: sent once more, it would stand twice (F3, F4).
    assert await over.sink.send(batch) == Accepted(3)


async def test_only_what_stands_behind_the_last_acknowledged_offset_is_read(over, topic, producer):
    batch = batch_of([b"a"], topic=topic, producer=producer, base_sequence=0)
    await accepted(over.sink, batch_of([b"x"], topic=topic, producer=Producer(-1, -1), base_sequence=-1, first=9))
    assert await accepted(over.sink, batch) == 1
    assert await ready(over.sink.read_back, replace(batch, acked_offset=0)) == Found(1)
    assert await ready(over.sink.read_back, replace(batch, acked_offset=1)) == Absent()


async def test_another_batch_of_the_same_producer_is_not_taken_for_it(over, topic, producer):
    await accepted(over.sink, batch_of([b"a"], topic=topic, producer=producer, base_sequence=0, first=1))
    batch = batch_of([b"b"], topic=topic, producer=producer, base_sequence=1, first=2)
    assert await ready(over.sink.read_back, batch) == Absent()


async def test_where_the_log_starts_later_only_finding_it_proves_anything(over, topic, producer):
    for number, value in enumerate([b"a", b"b", b"c"]):
        await accepted(
            over.sink, batch_of([value], topic=topic, producer=producer, base_sequence=number, first=number)
        )
    missing = batch_of([b"d"], topic=topic, producer=producer, base_sequence=3, first=3)
    await over.trim(topic, 2)
    assert await ready(over.sink.read_back, replace(missing, acked_offset=1)) == Absent()
    gone = await ready(over.sink.read_back, replace(missing, acked_offset=0))
    assert isinstance(gone, CannotTell)
    assert not gone.may_not_read
    standing = batch_of([b"c"], topic=topic, producer=producer, base_sequence=2, first=2)
    assert await ready(over.sink.read_back, replace(standing, acked_offset=0)) == Found(2)


async def test_a_partition_emptied_up_to_its_end_still_proves_absence(over, topic, producer):
    await accepted(over.sink, batch_of([b"a"], topic=topic, producer=producer, base_sequence=0))
    await over.trim(topic, 1)
    batch = batch_of([b"b"], topic=topic, producer=producer, base_sequence=1, first=2)
    assert await ready(over.sink.read_back, replace(batch, acked_offset=0)) == Absent()


async def test_a_partition_that_ends_before_what_was_acknowledged_cannot_tell(over, topic, producer):
    """Made anew under its name, or cut off: what it holds now says nothing of what was taken."""
    batch = batch_of([b"a"], topic=topic, producer=producer, base_sequence=0)
    assert isinstance(await ready(over.sink.read_back, replace(batch, acked_offset=7)), CannotTell)


async def test_without_a_link_or_a_partition_both_say_ask_again(over, topic, producer):
    batch = batch_of([b"a"], topic=topic, producer=producer, base_sequence=0)
    elsewhere = batch_of([b"a"], topic=topic, producer=producer, base_sequence=0, partition=7)
    for ask in (over.sink.look_up, over.sink.read_back):
        with pytest.raises(NotReady, match="partition 7"):
            await ask(elsewhere)
    over.link(up=False)
    for ask in (over.sink.look_up, over.sink.read_back):
        with pytest.raises(Unreachable):
            await ask(batch)
    over.link(up=True)


@pytest.mark.broker
async def test_where_the_brokers_own_clock_counts_a_clock_in_1970_makes_nothing_forgotten(kafka):
    """D12: LogAppendTime. The same batch on a topic without it shows when the broker has looked."""
    over = OverKafka(kafka)
    with over.proxy:
        names = [f"lookup-{uuid.uuid4().hex[:8]}" for _ in range(2)]
        for name, stamps in zip(names, ("LogAppendTime", "CreateTime"), strict=True):
            await asyncio.to_thread(kafka.create_topic, name, 1, {"message.timestamp.type": stamps})
        producer = await ready(over.sink.new_producer)
        kept, forgotten = [batch_of([b"a"], topic=name, producer=producer, base_sequence=0) for name in names]
        with over.in_1970():
            await accepted(over.sink, kept)
        await over.send_and_be_forgotten(forgotten)
        assert await ready(over.sink.look_up, kept) == Known(0)
        await over.sink.close()


@pytest.mark.broker
async def test_reading_back_goes_through_all_that_others_wrote_meanwhile(kafka):
    """Several fetches, batches larger than one fetch among them."""
    topic = f"lookup-{uuid.uuid4().hex[:8]}"
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
    await ready(sink.partition_count, topic)
    mine, other = [await ready(sink.new_producer) for _ in range(2)]
    for number in range(12):
        values = [os.urandom(40_000 if number % 3 else 150_000)]
        await accepted(sink, batch_of(values, topic=topic, producer=other, base_sequence=number, first=number))
    batch = batch_of([b"a", b"b"], topic=topic, producer=mine, base_sequence=0, first=3)
    assert await ready(sink.read_back, batch) == Absent()
    assert await accepted(sink, batch) == 12
    assert await ready(sink.read_back, batch) == Found(12)
    await sink.close()


@pytest.mark.broker
async def test_a_slow_link_may_take_longer_than_the_time_out_as_long_as_bytes_come(kafka):
    """Another gateway's batch may be a megabyte; it is given up for lack of progress, not of completion (D14)."""
    topic, patience_s, slept_s = f"lookup-{uuid.uuid4().hex[:8]}", 2.0, 0.0

    def slowly(upward, data):
        nonlocal slept_s
        if not upward and len(data) > 1_000:
            time.sleep(0.5)
            slept_s += 0.5

    with Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port, tap=slowly):
        sink = KafkaSink(KafkaSettings((f"{kafka.host}:{kafka.link_port}",), request_timeout_s=patience_s))
        await ready(sink.partition_count, topic)
        mine, other = [await ready(sink.new_producer) for _ in range(2)]
        large = batch_of([os.urandom(500_000)], topic=topic, producer=other, base_sequence=0, first=7)
        await accepted(sink, large)
        answer = await sink.read_back(batch_of([b"a"], topic=topic, producer=mine, base_sequence=0))
        await sink.close()
    assert answer == Absent()
    assert slept_s > patience_s, "the link was not slow enough to show anything"


@pytest.mark.broker
async def test_an_id_is_found_among_hundreds(kafka):
    """Lists longer than 127 entries have longer lengths on the wire."""
    topic = f"lookup-{uuid.uuid4().hex[:8]}"
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
    await ready(sink.partition_count, topic)
    batches = [
        batch_of([b"a"], topic=topic, producer=await ready(sink.new_producer), base_sequence=number)
        for number in range(200)
    ]
    for batch in batches:
        await accepted(sink, batch)
    assert [await ready(sink.look_up, batches[number]) for number in (0, 199)] == [Known(0), Known(199)]
    await sink.close()


@pytest.mark.broker
async def test_the_brokers_say_after_how_long_they_forget(kafka):
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
    assert await ready(sink.id_expiration_s) == 24 * 3600
    await sink.close()
