"""What a link is charged with, against what a proxy in the middle saw pass."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter

import pytest

from sync.kafka import KafkaSettings, KafkaSink, Traffic
from sync.values import Accepted, Lane, NotReady
from tests.support.batches import batch_of
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker


async def producer_of(sink):
    while True:
        try:
            return await sink.new_producer()
        except NotReady:  # the coordinator still loads
            await asyncio.sleep(0.1)


async def test_what_is_counted_is_what_passed_and_a_little_for_headers(kafka):
    passed = Counter()
    proxy = Proxy(
        kafka.host,
        kafka.behind_link_port,
        at=kafka.link_port,
        tap=lambda upward, data: passed.update({upward: len(data)}),
    )
    traffic, topic = Traffic(), f"traffic-{uuid.uuid4().hex[:8]}"
    with proxy:
        sink = KafkaSink(KafkaSettings((f"{kafka.host}:{kafka.link_port}",)), traffic)
        await asyncio.to_thread(kafka.create_topic, topic)
        for lane, size in ((Lane.ALERT, 100), (Lane.BULK, 300_000)):
            producer = await producer_of(sink)
            values = [random.Random(5).randbytes(size)]
            batch = batch_of(values, topic=topic, producer=producer, base_sequence=0, lane=lane)
            assert isinstance(await sink.send(batch), Accepted)
        before_close = traffic.moved()
        await sink.close()
    moved = traffic.moved()
    assert set(moved) == {"control", Lane.ALERT, Lane.BULK}
    up, down = sum(m.up for m in moved.values()), sum(m.down for m in moved.values())
    assert passed[True] < up < passed[True] * 1.05 + 4_000, "sent, and headers"
    assert passed[False] < down < passed[False] * 1.05 + 4_000, "received, and headers"
    assert moved[Lane.BULK].up > 300_000
    assert moved[Lane.ALERT].up < 2_000
    assert all(moved[line].both >= before_close[line].both for line in moved), "a closed connection keeps its count"


async def test_attempts_that_fail_are_counted_too():
    traffic = Traffic()
    sink = KafkaSink(KafkaSettings(("127.0.0.1:1",)), traffic)
    with pytest.raises(Exception, match="Connection refused"):
        await sink.reach()
    assert traffic.moved()["control"].both > 0
    assert not traffic.dials
