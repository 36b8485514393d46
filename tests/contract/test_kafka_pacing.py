"""On a slow line batches leave no faster than it takes them, and alarms as fast as they can."""

from __future__ import annotations

import asyncio
import random
import socket
import uuid

import pytest

from sync.kafka import KafkaSettings, KafkaSink
from sync.values import Accepted, Lane, NotReady
from tests.support.batches import batch_of
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker

SO_MAX_PACING_RATE = 47
UNPACED = 0xFFFFFFFF


async def producer_of(sink):
    while True:
        try:
            return await sink.new_producer()
        except NotReady:  # the coordinator still loads
            await asyncio.sleep(0.1)


async def test_a_slow_line_is_not_filled_by_batches_and_not_closed_to_alarms(kafka):
    topic = f"pacing-{uuid.uuid4().hex[:8]}"
    await asyncio.to_thread(kafka.create_topic, topic)
    with Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port) as proxy:
        sink = KafkaSink(KafkaSettings((f"{kafka.host}:{kafka.link_port}",)))

        async def send(lane, count=3):
            producer = await producer_of(sink)
            for sequence in range(count):
                value = random.Random(sequence).randbytes(16_000)
                batch = batch_of([value], topic=topic, producer=producer, base_sequence=sequence, lane=lane)
                assert isinstance(await sink.send(batch), Accepted)
            (connection,) = [kept for (_, line), kept in sink._client._kept._connections.items() if line == lane]
            sock = connection._writer.get_extra_info("socket")
            return sock.getsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE) & UNPACED

        assert UNPACED in [await send(Lane.LIVE) for _ in range(3)]
        proxy.delay_s = 0.5
        assert 1_000 < await send(Lane.LIVE) < 64_000
        assert await send(Lane.ALERT) == UNPACED
        proxy.delay_s = 0.0
        # It speeds up by what it sees: how many batches that takes is the machine's to say.
        assert UNPACED in [await send(Lane.LIVE) for _ in range(12)]
        await sink.close()
