"""The shipper over the log and the broker in memory, with what it reported and what the broker holds."""

from __future__ import annotations

import asyncio
import contextlib

from sync.log import MemoryLog
from sync.memory import MemorySink
from sync.shipper import Shipper, ShipperSettings
from sync.values import Envelope, Lane

FAST = ShipperSettings(retry_s=(0.01, 0.02), backoff_first_s=0.005, backoff_most_s=0.02, stop_s=1.0)


def record(number, *, lane=Lane.LIVE, topic="sensor-data", size=0):
    return Envelope(lane, topic, b"site/tank/sensor", f"{number}".encode() + b"x" * size, ())


async def append(log, numbers, **changes):
    await log.append([record(number, **changes) for number in numbers])


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Ship:
    """A shipper under way, what it reported and what the broker holds."""

    def __init__(self, log=None, sink=None, settings=FAST):
        self.log = log or MemoryLog()
        self.sink = sink or MemorySink()
        self.events = []
        self.delivered = []
        self.shipper = Shipper(self.log, self.sink, settings, self.events.append, self.delivered.append)

    @contextlib.asynccontextmanager
    async def under_way(self):
        task = asyncio.create_task(self.shipper.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    def values(self, topic="sensor-data"):
        return [int(value.rstrip(b"x")) for _, value, _ in self.sink.records(topic)]

    def stood(self, numbers, topic="sensor-data"):
        return lambda: self.values(topic) == list(numbers)

    def marked(self, topic="sensor-data"):
        """Those that say that they may stand twice."""
        found = self.sink.records(topic)
        return [int(value.rstrip(b"x")) for _, value, headers in found if headers.get("possibly_repeated") == b"1"]
