"""Desired state, read from real brokers."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

import pytest
from aiokafka import AIOKafkaProducer

from sync.kafka import DesiredSettings, DesiredState, KafkaSettings
from tests.support.kafka import ApacheKafka

pytestmark = pytest.mark.broker


class Cursors:
    """Cursors in memory; every offset that was ever kept."""

    def __init__(self, start=None):
        self.kept = [] if start is None else [start]
        self.cluster = None

    async def cursor(self, name):
        if name.endswith(":cluster"):
            return self.cluster
        return self.kept[-1] if self.kept else None

    async def set_cursor(self, name, value):
        if name.endswith(":cluster"):
            self.cluster = value
        else:
            self.kept.append(value)


@pytest.fixture(params=["kafka", "tansu"])
def broker(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def topic(broker):
    name = f"desired-{uuid.uuid4().hex[:8]}"
    broker.create_topic(name, partitions=2)
    return name


async def publish(broker, topic, *documents, partition=1):
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        for key, value in documents:
            await producer.send_and_wait(topic, value, key=key, partition=partition)


@contextlib.asynccontextmanager
async def reading(broker, topic, cursors, on_document, **changes):
    settings = DesiredSettings(topic, 1, b"gw-1", **{"poll_interval_s": 0.2, **changes})
    desired = DesiredState(KafkaSettings((broker.bootstrap,), request_timeout_s=5.0), settings, cursors)
    task = asyncio.create_task(desired.run(on_document))
    try:
        yield desired
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()


async def until(condition, seconds=30.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_the_newest_document_of_this_gateway_is_given_once(broker, topic):
    await publish(broker, topic, (b"gw-1", b"old"), (b"gw-2", b"theirs"), (b"gw-1", b"new"), (b"gw-3", b"theirs"))
    await publish(broker, topic, (b"gw-1", b"of another partition"), partition=0)
    given, cursors = [], Cursors()

    async def on_document(offset, value):
        given.append((offset, value))

    async with reading(broker, topic, cursors, on_document) as desired:
        await until(lambda: desired.stats.polls >= 3)
        assert given == [(2, b"new")]
        await publish(broker, topic, (b"gw-1", b"newer"))
        await until(lambda: len(given) == 2)
    assert given[1] == (4, b"newer")
    assert cursors.kept[-1] == 5


async def test_the_offset_moves_only_after_the_document_was_taken(broker, topic):
    await publish(broker, topic, (b"gw-1", b"one"))
    cursors, seen = Cursors(), asyncio.Event()

    async def never_done(offset, value):
        seen.set()
        await asyncio.Event().wait()

    async with reading(broker, topic, cursors, never_done):
        await asyncio.wait_for(seen.wait(), 30)
    assert all(offset <= 0 for offset in cursors.kept), "killed before it was applied, the document must come again"

    given = []

    async def on_document(offset, value):
        given.append(value)

    async with reading(broker, topic, cursors, on_document):
        await until(lambda: given)
    assert given == [b"one"]
    async with reading(broker, topic, cursors, on_document) as desired:
        await until(lambda: desired.stats.polls >= 2)
    assert given == [b"one"], "an offset on disk means that it is not given again"


async def test_a_document_that_ends_its_own_reader_is_not_given_again(broker, topic):
    await publish(broker, topic, (b"gw-1", b"read another topic"))
    cursors, seen, applied = Cursors(), asyncio.Event(), asyncio.Event()

    async def on_document(offset, value):
        seen.set()
        await applied.wait()

    async with reading(broker, topic, cursors, on_document):
        await asyncio.wait_for(seen.wait(), 30)
    applied.set()
    await until(lambda: cursors.kept[-1:] == [1])


async def test_a_document_over_the_bound_is_counted_and_the_one_before_it_stands(broker, topic):
    await publish(broker, topic, (b"gw-1", b"fits"), (b"gw-1", b"x" * 2_000))
    given = []

    async def on_document(offset, value):
        given.append(value)

    async with reading(broker, topic, Cursors(), on_document, max_document_bytes=1_000) as desired:
        await until(lambda: desired.stats.polls >= 2)
    assert given == [b"fits"]
    assert desired.stats.oversized == 1


async def test_a_topic_that_is_not_there_yet_is_waited_for_and_not_created(broker):
    topic = f"desired-{uuid.uuid4().hex[:8]}"
    given = []

    async def on_document(offset, value):
        given.append(value)

    async with reading(broker, topic, Cursors(), on_document) as desired:
        await until(lambda: desired.stats.waits_for is not None)
        assert topic in desired.stats.waits_for
        broker.create_topic(topic, partitions=2)
        await publish(broker, topic, (b"gw-1", b"at last"))
        await until(lambda: given == [b"at last"])
        assert desired.stats.waits_for is None


async def test_an_offset_beyond_the_end_reads_anew_what_stands_there(kafka):
    topic = f"desired-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=2)
    await publish(kafka, topic, (b"gw-1", b"made anew"))
    given, cursors = [], Cursors(start=5_000)

    async def on_document(offset, value):
        given.append(value)

    async with reading(kafka, topic, cursors, on_document):
        await until(lambda: given)
        await until(lambda: cursors.kept[-1] == 1)
    assert given == [b"made anew"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_offset_of_another_cluster_is_not_gone_on_from(restarted):
    """A document that lies ahead of it there would never be seen."""
    given = []

    async def take(offset, document):
        given.append((offset, document))

    cursors = Cursors()
    with ApacheKafka() as kafka:
        kafka.create_topic("desired", partitions=2)
        await publish(kafka, "desired", *[(b"gw-2", b"x")] * 5, (b"gw-1", b"old"))
        async with reading(kafka, "desired", cursors, take):
            await until(lambda: given)
            if not restarted:
                await renewed(kafka)
                await until(lambda: len(given) > 1)
        if restarted:
            await renewed(kafka)
            async with reading(kafka, "desired", cursors, take):
                await until(lambda: len(given) > 1)
    assert given == [(5, b"old"), (0, b"new")]


async def renewed(kafka):
    await asyncio.to_thread(kafka.rebuild)
    kafka.create_topic("desired", partitions=2)
    await publish(kafka, "desired", (b"gw-1", b"new"), *[(b"gw-2", b"x")] * 10)


async def test_no_link_is_waited_for(tmp_path):
    class Nowhere:
        bootstrap = "127.0.0.1:1"

    async def on_document(offset, value):
        raise AssertionError

    async with reading(Nowhere, "fleet-desired", Cursors(), on_document) as desired:
        await until(lambda: desired.stats.waits_for is not None)


async def test_what_cannot_be_read_is_looked_at_again_at_once_where_that_is_asked_for(broker):
    topic, given = f"desired-{uuid.uuid4().hex[:8]}", []

    async def take(offset, document):
        given.append(document)

    async with reading(broker, topic, Cursors(), take, poll_interval_s=3_600.0) as desired:
        await until(lambda: desired.stats.waits_for is not None)
        broker.create_topic(topic, partitions=2)
        await publish(broker, topic, (b"gw-1", b"new"))
        await asyncio.sleep(0.2)
        assert given == []
        async with asyncio.timeout(30):
            while not given:
                desired.poll_again()
                await asyncio.sleep(0.1)
        await until(lambda: desired.stats.waits_for is None)
        desired.poll_again()
        assert not desired._again.is_set(), "what can be read costs the link no poll more"
