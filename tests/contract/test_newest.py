"""The newest record of a key, read from real brokers."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from sync.kafka import KafkaSettings, KafkaSink, Newest
from sync.values import CannotTell, NotReady, Unreachable
from tests.support.sinks import ready

pytestmark = pytest.mark.broker

LIMIT = 1024 * 1024


@pytest.fixture(params=["kafka", "tansu"])
def broker(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def topic(broker):
    name = f"runs-{uuid.uuid4().hex[:8]}"
    broker.create_topic(name, partitions=2)
    return name


@asynccontextmanager
async def asking(bootstrap, topic, key=b"gw-1"):
    sink = KafkaSink(KafkaSettings((bootstrap,), request_timeout_s=5.0))
    try:
        yield sink.newest_of(topic, key)
    finally:
        await sink.close()


async def publish(broker, topic, *records, partition=1):
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        for key, value in records:
            await producer.send_and_wait(topic, value, key=key, partition=partition)


async def test_the_newest_of_the_key_is_found_with_its_offset(broker, topic):
    await publish(broker, topic, (b"gw-1", b"old"), (b"gw-2", b"x"), (b"gw-1", b"new"), (b"gw-2", b"x"))
    await publish(broker, topic, (b"gw-1", b"of another partition"), partition=0)
    async with asking(broker.bootstrap, topic) as newest:
        assert await newest.partition_count() == 2
        assert await newest.read(1, 0, LIMIT) == Newest(b"new", 2)
        assert await newest.read(1, 2, LIMIT) == Newest(b"new", 2)
        assert await newest.read(1, 3, LIMIT) == Newest()
        assert await newest.read(1, 4, LIMIT) == Newest()


async def test_an_empty_partition_holds_none(broker, topic):
    async with asking(broker.bootstrap, topic) as newest:
        assert await ready(newest.read, 0, 0, LIMIT) == Newest()


async def test_an_offset_past_the_end_is_that_of_a_topic_made_anew(kafka):
    topic = f"runs-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=1)
    await publish(kafka, topic, (b"gw-1", b"new"), partition=0)
    async with asking(kafka.bootstrap, topic) as newest:
        assert await newest.read(0, 1_000, LIMIT) == Newest(b"new", 0)


async def test_a_partition_that_is_too_long_to_be_read_is_not_guessed_about(broker, topic):
    await publish(broker, topic, (b"gw-1", b"mine"), *[(b"gw-2", bytes(200_000))] * 6, (b"gw-2", b"last"))
    async with asking(broker.bootstrap, topic) as newest:
        found = await newest.read(1, 0, 300_000)
        assert isinstance(found, CannotTell)
        assert not found.may_not_read
        assert await newest.read(1, 0, 4 * LIMIT) == Newest(b"mine", 0)


async def test_no_broker_is_waited_for(kafka):
    async with asking("127.0.0.1:1", "runs") as newest:
        with pytest.raises(Unreachable):
            await newest.partition_count()


async def test_a_partition_that_is_not_there_cannot_be_told_about(broker, topic):
    async with asking(broker.bootstrap, topic) as newest:
        try:
            found = await newest.read(7, 0, LIMIT)
        except NotReady:
            return
        assert isinstance(found, CannotTell)
