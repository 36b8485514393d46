"""The shipper against real brokers: outages, kills, bad links, poison, a topic that is missing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from dataclasses import replace

import pytest

from sync.kafka import KafkaSettings, KafkaSink
from sync.log import MemoryLog
from sync.shipper import DeadLettered, LinkBack, LinkLost, Recovered, Shipper, ShipperSettings, Waiting
from sync.values import Envelope, Lane, NotReady, Unknown
from tests.support.consumer import read_topic
from tests.support.kafka import ApacheKafka
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker

SETTINGS = ShipperSettings(retry_s=(0.1, 0.3), backoff_most_s=1.0)


@pytest.fixture
def topic():
    return f"ship-{uuid.uuid4().hex[:8]}"


class Ship:
    def __init__(self, bootstrap, topic, *, delivery="exactly_once", settings=SETTINGS, request_timeout_s=20.0):
        self.topic = topic
        self.log = MemoryLog()
        self.sink = KafkaSink(KafkaSettings((bootstrap,), delivery=delivery, request_timeout_s=request_timeout_s))
        self.events = []
        self.settings = settings
        self.shipper = self.new_shipper()
        self.appended = 0
        self.task = None

    def new_shipper(self):
        return Shipper(self.log, self.sink, self.settings, self.events.append)

    async def append(self, count, lane=Lane.LIVE):
        numbers = range(self.appended, self.appended + count)
        self.appended += count
        await self.log.append([Envelope(lane, self.topic, b"k", f"{number}".encode(), ()) for number in numbers])

    @contextlib.asynccontextmanager
    async def under_way(self):
        self.task = asyncio.create_task(self.shipper.run())
        try:
            yield
        finally:
            self.task.cancel()
            await asyncio.wait({self.task})
        if not self.task.cancelled():
            self.task.result()

    async def until(self, condition, seconds=90.0):
        async with asyncio.timeout(seconds):
            while not condition():
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.02)

    def all_settled(self):
        return sum(self.log.stats().depth.values()) == 0

    def links(self):
        """What was said of the link; that a broker which is back leads no partition yet is said as well."""
        return [type(event) for event in self.events if isinstance(event, LinkLost | LinkBack)]

    async def feed(self, stop):
        """A steady load until `stop` is set."""
        while not stop.is_set():
            await self.append(50)
            await asyncio.sleep(0.01)


async def numbers(broker, topic):
    return [int(record.value) for record in await read_topic(broker.bootstrap, topic)]


async def test_a_broker_killed_under_load_loses_and_doubles_nothing(kafka, topic):
    ship, stop = Ship(kafka.bootstrap, topic), asyncio.Event()
    async with ship.under_way(), asyncio.TaskGroup() as load:
        load.create_task(ship.feed(stop))
        await ship.until(lambda: ship.shipper.stats().delivered[Lane.LIVE] > 500)
        for _ in range(2):
            await asyncio.to_thread(kafka.kill)
            await ship.until(lambda: ship.links()[-1:] == [LinkLost])
            await asyncio.to_thread(kafka.start)
            await ship.until(lambda: ship.links()[-1:] == [LinkBack])
            before = ship.shipper.stats().delivered[Lane.LIVE]
            await ship.until(lambda before=before: ship.shipper.stats().delivered[Lane.LIVE] > before + 500)
        stop.set()
    async with ship.under_way():
        await ship.until(ship.all_settled)
    assert await numbers(kafka, topic) == list(range(ship.appended))
    assert ship.links() == [LinkLost, LinkBack] * 2


class FreshIds:
    """The control: a sink that gives every attempt an id of its own."""

    def __init__(self, sink):
        self._sink = sink

    def __getattr__(self, name):
        return getattr(self._sink, name)

    async def send(self, batch):
        try:
            claim = replace(batch.claim, producer=await self._sink.new_producer(), base_sequence=0)
        except NotReady as error:
            return Unknown(error.reason, left=False)
        return await self._sink.send(replace(batch, claim=claim))


@pytest.mark.parametrize("control", [False, True], ids=["as it is", "with a fresh id for each attempt"])
async def test_a_link_that_loses_answers_loses_and_doubles_nothing(kafka, topic, control):
    dice, armed = random.Random(11), asyncio.Event()

    def lose_some(upward, _data):
        if armed.is_set() and not upward and dice.random() < 0.1:
            raise ConnectionResetError

    ship, stop = Ship(f"{kafka.host}:{kafka.link_port}", topic), asyncio.Event()
    if control:
        ship.sink = FreshIds(ship.sink)
        ship.shipper = ship.new_shipper()
    with Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port, tap=lose_some) as proxy:
        async with ship.under_way(), asyncio.TaskGroup() as load:
            load.create_task(ship.feed(stop))
            await ship.until(lambda: ship.shipper.stats().delivered[Lane.LIVE] > 500)
            armed.set()
            await ship.until(lambda: ship.shipper.stats().retries.get("no answer", 0) >= 10)
            for _ in range(10):
                await asyncio.sleep(dice.uniform(0.0, 0.1))
                proxy.cut()
            armed.clear()
            stop.set()
        async with ship.under_way():
            await ship.until(ship.all_settled)
    found = await numbers(kafka, topic)
    assert set(found) == set(range(ship.appended))
    if control:
        assert len(found) > ship.appended, "the control doubles nothing: the link cannot have lost an answer"
    else:
        assert found == list(range(ship.appended))


async def test_shippers_ended_at_any_moment_leave_nothing_that_the_next_does_not_finish(kafka, topic):
    """What a restart does: no orderly stop, a new shipper on the same log, which asks it for what is unsettled."""
    ship, stop = Ship(kafka.bootstrap, topic, settings=replace(SETTINGS, stop_s=0.0)), asyncio.Event()
    dice = random.Random(5)
    async with asyncio.TaskGroup() as load:
        load.create_task(ship.feed(stop))
        for _ in range(12):
            async with ship.under_way():
                await asyncio.sleep(dice.uniform(0.01, 0.5))
            ship.shipper = ship.new_shipper()
        stop.set()
    async with ship.under_way():
        await ship.until(ship.all_settled)
    assert await numbers(kafka, topic) == list(range(ship.appended))


async def test_a_record_that_kafka_will_not_take_goes_to_the_dead_letters_alone(kafka, topic):
    kafka.create_topic(topic, configs={"max.message.bytes": "20000"})
    ship = Ship(kafka.bootstrap, topic)
    await ship.append(50)
    await ship.log.append([Envelope(Lane.LIVE, topic, b"k", random.Random(3).randbytes(60_000), ())])
    await ship.append(50)
    async with ship.under_way():
        await ship.until(lambda: ship.shipper.stats().delivered[Lane.LIVE] >= 100 and ship.all_settled())
    assert await numbers(kafka, topic) == list(range(100))
    assert [event.reason for event in ship.events if isinstance(event, DeadLettered)] == ["MessageTooLarge (10)"]


async def test_a_topic_that_is_missing_is_waited_for_where_brokers_create_none(topic):
    with ApacheKafka(config={"auto.create.topics.enable": "false"}) as kafka:
        ship = Ship(kafka.bootstrap, topic)
        await ship.append(50)
        async with ship.under_way():
            await ship.until(
                lambda: any(isinstance(event, Waiting) and event.topic == topic for event in ship.events)
            )
            assert topic in (ship.shipper.waits_for() or "")
            await asyncio.to_thread(kafka.create_topic, topic, 3)
            await ship.until(ship.all_settled)
        assert sorted(await numbers(kafka, topic)) == list(range(50))
        assert [event.topic for event in ship.events if isinstance(event, Recovered)] == [topic]


async def test_a_broker_without_idempotence_gets_everything_at_least_once(tansu, topic):
    tansu.create_topic(topic)
    ship = Ship(tansu.bootstrap, topic, delivery="at_least_once")
    await ship.append(500)
    async with ship.under_way():
        await ship.until(ship.all_settled)
        await ship.append(500)
        await ship.until(ship.all_settled)
    assert await numbers(tansu, topic) == list(range(1_000))


async def test_an_alert_arrives_while_a_backlog_drains(kafka, topic):
    ship = Ship(kafka.bootstrap, topic)
    for _ in range(50):
        await ship.append(4_000)
    alerts = f"{topic}-alerts"
    async with ship.under_way():
        await ship.log.append([Envelope(Lane.ALERT, alerts, b"k", b"1", ())])
        await ship.until(lambda: ship.shipper.stats().delivered[Lane.ALERT] == 1)
        await ship.until(ship.all_settled)
    assert await numbers(kafka, topic) == list(range(200_000))
    assert await numbers(kafka, alerts) == [1]
