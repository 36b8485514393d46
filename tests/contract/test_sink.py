"""What every sink does with batches: the same tests over memory and over Apache Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from dataclasses import replace
from unittest import mock

import pytest

from sync.batches import frame_batch
from sync.kafka import KafkaSettings, KafkaSink
from sync.kafka import sink as kafka_sink
from sync.values import Accepted, Lane, Misconfigured, NotReady, Producer, Refused, Stream, Unknown, Unreachable
from tests.support.batches import batch_of
from tests.support.consumer import read_topic
from tests.support.kafka import ApacheKafka, ask_admin
from tests.support.proxy import Proxy
from tests.support.sinks import OverKafka, OverMemory, accepted, ready

NOBODY = Producer(-1, -1)
DAY_NS = 24 * 3600 * 10**9


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
    """A topic of one partition, made by asking for it."""
    name = f"sink-{uuid.uuid4().hex[:8]}"
    assert await ready(over.sink.partition_count, name) == 1
    return name


async def test_the_same_batch_twice_stands_once(over, topic):
    """F1."""
    producer = await ready(over.sink.new_producer)
    batch = batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=0)
    first = await accepted(over.sink, batch)
    assert await over.sink.send(batch) == Accepted(first)
    assert await over.values(topic) == [b"a", b"b"]


async def test_the_next_batch_follows_in_order_and_the_log_end_counts_records(over, topic):
    producer = await ready(over.sink.new_producer)
    stream = Stream(Lane.LIVE, topic, 0)
    assert await ready(over.sink.log_end, stream) == 0
    await accepted(over.sink, batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=0))
    await accepted(over.sink, batch_of([b"c"], topic=topic, producer=producer, base_sequence=2))
    assert await over.values(topic) == [b"a", b"b", b"c"]
    assert await over.sink.log_end(stream) == 3


async def test_a_gap_is_refused_with_45_and_does_not_count_for_good(over, topic):
    """F2."""
    producer = await ready(over.sink.new_producer)
    await accepted(over.sink, batch_of([b"a"], topic=topic, producer=producer, base_sequence=0))
    outcome = await over.sink.send(batch_of([b"c"], topic=topic, producer=producer, base_sequence=2))
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.permanent) == (45, False)
    await accepted(over.sink, batch_of([b"b"], topic=topic, producer=producer, base_sequence=1))
    assert await over.values(topic) == [b"a", b"b"]


async def test_a_fresh_id_may_begin_with_any_sequence(over, topic):
    """F3."""
    producer = await ready(over.sink.new_producer)
    await accepted(over.sink, batch_of([b"a"], topic=topic, producer=producer, base_sequence=1_000))
    await accepted(over.sink, batch_of([b"b"], topic=topic, producer=producer, base_sequence=1_001))
    assert await over.values(topic) == [b"a", b"b"]


async def test_the_sequence_goes_on_at_0_after_its_largest_value(over, topic):
    producer = await ready(over.sink.new_producer)
    await accepted(over.sink, batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=2**31 - 2))
    await accepted(over.sink, batch_of([b"c"], topic=topic, producer=producer, base_sequence=0))
    assert await over.values(topic) == [b"a", b"b", b"c"]


async def test_what_is_too_large_is_refused_for_good(over, topic):
    producer = await ready(over.sink.new_producer)
    outcome = await over.sink.send(batch_of([os.urandom(2**21)], topic=topic, producer=producer, base_sequence=0))
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.permanent) == (10, True)
    assert await over.values(topic) == []


async def test_a_partition_that_is_not_there_is_refused_for_now(over, topic):
    producer = await ready(over.sink.new_producer)
    batch = batch_of([b"a"], topic=topic, producer=producer, base_sequence=0, partition=7)
    outcome = await over.sink.send(batch)
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.permanent) == (3, False)
    if isinstance(over, OverKafka):
        assert "the topic has 1, raise that to 8 or more" in outcome.reason


async def test_a_lost_answer_is_unknown_and_the_batch_again_stands_once(over, topic):
    """F6: it was taken, though nobody heard of it."""
    producer = await ready(over.sink.new_producer)
    batch = batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=0)
    assert isinstance(outcome := await over.send_and_lose(batch, answer_only=True), Unknown)
    assert outcome.left
    assert await over.values(topic) == [b"a", b"b"]
    await accepted(over.sink, batch)
    assert await over.values(topic) == [b"a", b"b"]


async def test_a_lost_request_is_unknown_and_the_batch_again_arrives(over, topic):
    producer = await ready(over.sink.new_producer)
    batch = batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=0)
    assert isinstance(outcome := await over.send_and_lose(batch, answer_only=False), Unknown)
    assert outcome.left
    assert await over.values(topic) == []
    await accepted(over.sink, batch)
    assert await over.values(topic) == [b"a", b"b"]


async def test_without_a_link_nothing_leaves_and_all_say_so(over, topic):
    producer = await ready(over.sink.new_producer)
    over.link(up=False)
    batch = batch_of([b"a"], topic=topic, producer=producer, base_sequence=0)
    async with asyncio.timeout(60):
        while (outcome := await over.sink.send(batch)).left:  # the first may still find the connection open
            await asyncio.sleep(0.1)
    assert isinstance(outcome, Unknown)
    for ask in (over.sink.reach, over.sink.new_producer, lambda: over.sink.partition_count(topic)):
        with pytest.raises(Unreachable):
            await ask()
    over.link(up=True)
    await ready(over.sink.reach)
    await accepted(over.sink, batch)
    assert await over.values(topic) == [b"a"]


async def test_without_a_producer_a_batch_again_stands_twice(over, topic):
    batch = batch_of([b"a"], topic=topic, producer=NOBODY, base_sequence=-1)
    await accepted(over.sink, batch)
    await accepted(over.sink, batch)
    assert await over.values(topic) == [b"a", b"a"]


@pytest.mark.broker
async def test_the_same_batch_after_the_broker_was_killed_stands_once(kafka):
    """F1."""
    topic = f"sink-{uuid.uuid4().hex[:8]}"
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,), request_timeout_s=20.0))
    await ready(sink.partition_count, topic)
    batch = batch_of([b"a", b"b"], topic=topic, producer=await ready(sink.new_producer), base_sequence=0)
    first = await accepted(sink, batch)
    await asyncio.to_thread(kafka.kill)
    outcome = await sink.send(batch)
    assert isinstance(outcome, Unknown)
    await asyncio.to_thread(kafka.start)
    assert await accepted(sink, batch) == first
    await sink.close()
    assert [record.value for record in await read_topic(kafka.bootstrap, topic)] == [b"a", b"b"]


@pytest.mark.broker
async def test_a_broker_that_does_not_answer_gives_unknown_and_closes_the_connection(kafka):
    topic = f"sink-{uuid.uuid4().hex[:8]}"
    patient = KafkaSink(KafkaSettings((kafka.bootstrap,), request_timeout_s=20.0))
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,), request_timeout_s=1.0))
    await ready(patient.partition_count, topic)
    producer = await ready(patient.new_producer)
    await accepted(patient, batch_of([b"a"], topic=topic, producer=producer, base_sequence=0))
    await ready(sink.log_end, Stream(Lane.LIVE, topic, 0))
    second = batch_of([b"b"], topic=topic, producer=producer, base_sequence=1)
    kafka.pause()
    try:
        outcome = await sink.send(second)
    finally:
        kafka.resume()
    assert isinstance(outcome, Unknown)
    await accepted(patient, second)
    await patient.close()
    await sink.close()
    assert [record.value for record in await read_topic(kafka.bootstrap, topic)] == [b"a", b"b"]


@pytest.mark.broker
async def test_a_slow_link_may_take_longer_than_the_time_out_as_long_as_bytes_leave(kafka):
    """A request is given up for lack of progress, not of completion (D14)."""
    topic, patience_s, slept_s = f"sink-{uuid.uuid4().hex[:8]}", 2.0, 0.0

    def slowly(upward, _data):
        nonlocal slept_s
        if upward:
            time.sleep(0.1)
            slept_s += 0.1

    with Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port, tap=slowly) as proxy:
        # What the proxy has not read yet must not count as gone: keep its buffers small.
        proxy._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        sink = KafkaSink(KafkaSettings((f"{kafka.host}:{kafka.link_port}",), request_timeout_s=patience_s))
        await ready(sink.partition_count, topic)
        batch = batch_of([os.urandom(500_000)], topic=topic, producer=NOBODY, base_sequence=-1)
        before = slept_s
        outcome = await sink.send(batch)
        await sink.close()
    assert isinstance(outcome, Accepted)
    assert slept_s - before > patience_s, "the link was not slow enough to show anything"


@pytest.mark.broker
async def test_records_carry_the_time_of_sending_their_key_and_their_headers(kafka):
    """D5: not the time of measuring, and not that of the log."""
    topic = f"sink-{uuid.uuid4().hex[:8]}"
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,), request_timeout_s=20.0))
    await ready(sink.partition_count, topic)
    producer = await ready(sink.new_producer)
    measured = ("ce_time", b"2024-05-06T07:08:09.000Z")
    batch = batch_of(
        [b"a", b"b"], topic=topic, producer=producer, base_sequence=0, first=41, key=b"k", headers=[measured]
    )
    batch = replace(batch, taken_at_ns=batch.taken_at_ns - DAY_NS)
    before_ms = time.time_ns() // 1_000_000
    await accepted(sink, batch)
    after_ms = time.time_ns() // 1_000_000
    await sink.close()
    records = await read_topic(kafka.bootstrap, topic)
    assert [(record.key, record.header("ce_id")) for record in records] == [(b"k", "41"), (b"k", "42")]
    for record in records:
        assert measured in record.headers
        assert before_ms <= record.timestamp_ms <= after_ms


@pytest.mark.broker
async def test_without_a_trusted_clock_records_have_no_time_and_retention_goes_on_as_it_does_not_a_year_ahead():
    """D5, on a broker that takes times far ahead, as all do before 4.0."""
    config = {
        "log.message.timestamp.after.max.ms": str(2**63 - 1),
        "log.retention.check.interval.ms": "300",
        "log.initial.task.delay.ms": "300",
    }
    ahead = time.time_ns() // 1_000_000 + 365 * 86_400_000
    with ApacheKafka(config=config) as kafka:
        kafka.create_topic("kept")
        for topic in ("no-time", "a-year-ahead"):
            kafka.create_topic(topic, 1, {"retention.ms": "500"})
        sink = KafkaSink(KafkaSettings((kafka.bootstrap,)), clock_trusted=lambda: False)
        assert not sink.timed
        for topic in ("kept", "no-time"):
            await accepted(sink, batch_of([b"a"], topic=topic, producer=NOBODY, base_sequence=-1))
        with mock.patch.object(kafka_sink, "frame_batch", lambda batch, _, *rest: frame_batch(batch, ahead, *rest)):
            await accepted(sink, batch_of([b"a"], topic="a-year-ahead", producer=NOBODY, base_sequence=-1))
        async with asyncio.timeout(60):
            while await read_topic(kafka.bootstrap, "no-time"):
                await asyncio.sleep(0.2)
        # Deleted by now, if it ever is: retention looks at all topics in one round.
        await asyncio.sleep(1.0)
        assert [record.timestamp_ms for record in await read_topic(kafka.bootstrap, "a-year-ahead")] == [ahead]
        assert [record.timestamp_ms for record in await read_topic(kafka.bootstrap, "kept")] == [-1]
        await sink.close()


@pytest.mark.broker
async def test_a_topic_that_is_deleted_and_created_again_has_another_id_and_no_question_creates_one(kafka):
    """D15. The broker creates what is asked for, unless the request says that it must not."""
    topic = f"sink-{uuid.uuid4().hex[:8]}"
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,), create_topics=False))
    for _ in range(3):
        with pytest.raises(NotReady, match="UnknownTopicOrPartition"):
            await sink.partition_count(topic)
    await asyncio.to_thread(kafka.create_topic, topic)
    first = await ready(lambda: sink.topic_id(topic, refresh=False))
    assert len(first) == 32
    await asyncio.to_thread(ask_admin, kafka.bootstrap, lambda admin: admin.delete_topics([topic]))
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(NotReady):
                if await sink.topic_id(topic, refresh=True) != first:
                    break
            await asyncio.to_thread(kafka.create_topic, topic)
            await asyncio.sleep(0.1)
    second = await sink.topic_id(topic, refresh=False)
    sink._client._topics[topic] = replace(sink._client._topics[topic], id=first)  # as it was heard an hour ago
    assert await sink.topic_id(topic, refresh=False) == first
    sink._ask_topic_again_s[topic] = time.monotonic()
    assert await ready(lambda: sink.topic_id(topic, refresh=False)) == second
    await sink.close()


@pytest.mark.broker
async def test_a_broker_without_idempotence_is_misconfigured_and_takes_batches_without_ids(tansu):
    """D13."""
    topic = f"sink-{uuid.uuid4().hex[:8]}"
    tansu.create_topic(topic)
    sink = KafkaSink(KafkaSettings((tansu.bootstrap,), delivery="at_least_once", request_timeout_s=20.0))
    with pytest.raises(Misconfigured) as refusal:
        await ready(sink.new_producer)
    assert refusal.value.field == "kafka.delivery"
    assert not sink.idempotent
    await accepted(sink, batch_of([b"a", b"b"], topic=topic, producer=NOBODY, base_sequence=-1))
    await sink.close()
    assert [record.value for record in await read_topic(tansu.bootstrap, topic)] == [b"a", b"b"]
