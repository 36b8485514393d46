"""Sinks for their contract, each with the troubles that a link and a broker can have."""

from __future__ import annotations

import asyncio
from unittest import mock

from sync.batches import frame_batch
from sync.kafka import KafkaSettings, KafkaSink
from sync.kafka import sink as kafka_sink
from sync.memory import Fault, MemorySink
from sync.values import Accepted, Forgotten, NotReady, Refused
from tests.support.consumer import read_topic
from tests.support.kafka import delete_before
from tests.support.proxy import Proxy


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

    async def send_and_be_forgotten(self, batch):
        offset = await accepted(self.sink, batch)
        self.sink.forget(batch.claim.producer)
        return offset

    async def trim(self, topic, before):
        self.sink.move_start(topic, before)


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

    def in_1970(self):
        """What is sent meanwhile is stamped by a clock that stands at its beginning."""
        return mock.patch.object(kafka_sink, "frame_batch", lambda batch, _, *how: frame_batch(batch, 0, *how))

    async def send_and_be_forgotten(self, batch):
        """Sent in 1970, so that the broker forgets the producer at its next look (F4)."""
        with self.in_1970():
            offset = await accepted(self.sink, batch)
        async with asyncio.timeout(60):
            while await ready(self.sink.look_up, batch) != Forgotten():
                await asyncio.sleep(0.1)
        return offset

    async def trim(self, topic, before):
        """Move the start of the partition's log, as retention does."""
        await asyncio.to_thread(delete_before, self.kafka.bootstrap, topic, before)


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
