"""What every sink does with batches: the same tests over memory and over Apache Kafka."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid

import pytest

from sync.kafka import KafkaSettings, KafkaSink
from sync.memory import Fault, MemorySink
from sync.values import Accepted, Lane, Misconfigured, NotReady, Producer, Refused, Stream, Unknown, Unreachable
from tests.support.batches import batch_of
from tests.support.consumer import read_topic
from tests.support.proxy import Proxy

NOBODY = Producer(-1, -1)


class OverMemory:
    def __init__(self):
        self.sink = MemorySink()

    async def values(self, topic):
        return [value for _, value, _ in self.sink.records(topic)]

    async def send_and_lose(self, batch, *, answer_only):
        self.sink.fault = lambda _: Fault.ANSWER_LOST if answer_only else Fault.REQUEST_LOST
        outcome = await self.sink.send(batch)
        self.sink.fault = lambda _: None
        return outcome

    def link(self, *, up):
        self.sink.reachable = up


class OverKafka:
    """Apache Kafka behind a link that can lose a request, or its answer alone."""

    def __init__(self, kafka):
        self.kafka = kafka
        self.proxy = Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port, tap=self._tap)
        self.sink = KafkaSink(KafkaSettings((f"{kafka.host}:{kafka.link_port}",), request_timeout_s=20.0))
        self._marked = b""
        self._answer_only = False
        self._seen = False

    def _tap(self, upward, data):
        if not self._marked:
            return
        if upward and self._marked in data:
            self._seen = True
            if not self._answer_only:
                raise ConnectionResetError
        elif not upward and self._seen:
            raise ConnectionResetError

    async def values(self, topic):
        return [record.value for record in await read_topic(self.kafka.bootstrap, topic)]

    async def send_and_lose(self, batch, *, answer_only):
        await self.sink.log_end(batch.claim.stream)
        self._marked, self._answer_only, self._seen = batch.body[:48], answer_only, False
        outcome = await self.sink.send(batch)
        self._marked = b""
        return outcome

    def link(self, *, up):
        self.proxy.allow() if up else self.proxy.refuse()


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


async def ready(ask, *arguments):
    async with asyncio.timeout(60):
        while True:
            try:
                return await ask(*arguments)
            except NotReady:
                await asyncio.sleep(0.1)


async def accepted(sink, batch):
    """Send until it is accepted, as the shipper would."""
    async with asyncio.timeout(60):
        while True:
            match await sink.send(batch):
                case Accepted(offset):
                    return offset
                case Refused(code=45):
                    raise AssertionError("the broker has lost track")
            await asyncio.sleep(0.1)


async def test_the_same_batch_twice_stands_once(over, topic):
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
    producer = await ready(over.sink.new_producer)
    await accepted(over.sink, batch_of([b"a"], topic=topic, producer=producer, base_sequence=0))
    outcome = await over.sink.send(batch_of([b"c"], topic=topic, producer=producer, base_sequence=2))
    assert isinstance(outcome, Refused)
    assert (outcome.code, outcome.permanent) == (45, False)
    await accepted(over.sink, batch_of([b"b"], topic=topic, producer=producer, base_sequence=1))
    assert await over.values(topic) == [b"a", b"b"]


async def test_a_fresh_id_may_begin_with_any_sequence(over, topic):
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


async def test_a_lost_answer_is_unknown_and_the_batch_again_stands_once(over, topic):
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
    topic = f"sink-{uuid.uuid4().hex[:8]}"
    sink = KafkaSink(KafkaSettings((kafka.bootstrap,), request_timeout_s=20.0))
    await ready(sink.partition_count, topic)
    producer = await ready(sink.new_producer)
    await accepted(sink, batch_of([b"a", b"b"], topic=topic, producer=producer, base_sequence=0, first=41, key=b"k"))
    await sink.close()
    first, second = await read_topic(kafka.bootstrap, topic)
    assert (first.key, first.header("ce_id"), second.header("ce_id")) == (b"k", "41", "42")
    assert first.timestamp_ms == second.timestamp_ms > 1_600_000_000_000


@pytest.mark.broker
async def test_a_broker_without_idempotence_is_misconfigured_and_takes_batches_without_ids(tansu):
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
