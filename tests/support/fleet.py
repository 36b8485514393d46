"""Many real shippers in one process, on logs in memory, against one cluster: what they cost it is measured here."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sync.kafka import KafkaSettings, KafkaSink, Traffic
from sync.log import LogSettings, MemoryLog
from sync.shipper import Shipper, ShipperSettings
from sync.shipper.link.meter import Meter
from sync.values import Envelope, Lane, Unreachable
from tests.support.daemon import cpu_s, pss_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

TOPIC = "sensor-data"
PARTITIONS = 30
_HEADERS = (
    ("ce_specversion", b"1.0"),
    ("ce_type", b"com.tidegate.reading"),
    ("ce_time", b"2026-11-24T09:00:00.000000Z"),
    ("content-type", b"application/json"),
)


def brokers_of(cluster: Any) -> list[Any]:
    """The brokers of a cluster, or the one that is all of it."""
    return list(cluster.nodes.values()) if hasattr(cluster, "nodes") else [cluster]


def pids(cluster: Any) -> list[int]:
    """Their processes."""
    return [broker.pid for broker in brokers_of(cluster)]


def create_topic(cluster: Any) -> None:
    """The topic, its partitions spread over the nodes."""
    nodes = len(brokers_of(cluster))
    if nodes == 1:
        cluster.create_topic(TOPIC, PARTITIONS)
    else:
        turns = [[(first + turn) % nodes + 1 for turn in range(nodes)] for first in range(PARTITIONS)]
        cluster.create_topic(TOPIC, dict(enumerate(turns)))


class Gateway:
    """One gateway's log and shipper."""

    def __init__(self, number: int, cluster: Any, spread_s: float) -> None:
        name = f"gw-{number:05d}"
        self.log = MemoryLog(LogSettings(path=Path(":memory:"), gateway_id=name))
        self.traffic = Traffic()
        self.link_up = True
        self._sink = KafkaSink(
            KafkaSettings(tuple(b.bootstrap for b in brokers_of(cluster)), client_id=f"tidegate-{name}"), self.traffic
        )
        self._dial = self._sink._client._connector.dial
        self._sink._client._connector.dial = self._dial_if_up
        self.fresh_s: float | None = None
        self.fresh_from = 1 << 62
        self.shipper = Shipper(
            self.log,
            self._sink,
            ShipperSettings(backfill_after_s=5.0, backfill_spread_s=spread_s, stop_s=0.5),
            on_delivered=self._delivered,
            meter=Meter(lambda: {line: moved.both for line, moved in self.traffic.moved().items()}),
        )
        self._key = f"site/tank/{name}".encode()

    async def _dial_if_up(self, host: str, port: int, line: str) -> Any:
        if not self.link_up:
            raise Unreachable("the link is down")
        return await self._dial(host, port, line)

    async def lose_link(self) -> None:
        self.link_up = False
        await self._sink.close()

    def _delivered(self, batch: Any) -> None:
        if self.fresh_s is None and batch.claim.stream.lane is Lane.LIVE and batch.first >= self.fresh_from:
            self.fresh_s = time.monotonic()

    def take(self, count: int) -> None:
        """So many readings in one commit."""
        now = time.time()
        self.log.append(
            [
                Envelope(
                    Lane.LIVE,
                    TOPIC,
                    self._key,
                    json.dumps(
                        {"sensor_id": f"temp_{i % 20:03d}", "value": round(random.gauss(20, 1), 2), "at": now}
                    ).encode(),
                    _HEADERS,
                )
                for i in range(count)
            ]
        )

    async def feed(self, per_second: float, interval_s: float) -> None:
        """Readings at a steady rate, committed every so often, until cancelled."""
        await asyncio.sleep(random.uniform(0, interval_s))
        due = time.monotonic()
        while True:
            self.take(max(1, round(per_second * interval_s)))
            due += interval_s
            await asyncio.sleep(due - time.monotonic())

    @property
    def batches(self) -> int:
        return sum(self.shipper.stats().batches.values())

    @property
    def depth(self) -> int:
        return sum(self.log.stats().depth.values())


@dataclass(frozen=True, slots=True)
class Load:
    """A fleet under a steady load; CPU in percent of one core, over all brokers, what they use idle taken off."""

    gateways: int
    interval_s: float
    requests_per_s: float
    records_per_s: float
    broker_cpu: float
    gateway_cpu: float
    brokers_bytes: int
    link_bytes_per_record: float

    @property
    def kept_up(self) -> bool:
        """Whether the machine carried what was asked; where it did not, its figures say nothing of the brokers."""
        return self.requests_per_s > 0.9 * self.gateways / self.interval_s

    @property
    def us_per_request(self) -> float:
        return self.broker_cpu / 100 * 1e6 / max(self.requests_per_s, 1e-9)

    def __str__(self) -> str:
        return (
            f"| {self.gateways} | {self.interval_s * 1000:.0f} ms | {self.requests_per_s:.0f} "
            f"| {self.records_per_s:.0f} | {self.broker_cpu:.0f} % | {self.us_per_request:.0f} µs "
            f"| {self.brokers_bytes / 2**20:.0f} MiB "
            f"| {self.link_bytes_per_record:.0f} | {self.gateway_cpu:.0f} % |{'' if self.kept_up else ' not kept up'}"
        )


@dataclass(frozen=True, slots=True)
class Return:
    """A fleet that comes back after an outage, each gateway with a backlog."""

    gateways: int
    spread_s: float
    backlog: int
    fresh_median_s: float
    fresh_last_s: float
    drained_s: float
    dials: int
    busiest_cpu: float
    busiest_requests: int
    busiest_records: int
    retries: int

    def __str__(self) -> str:
        return (
            f"| {self.gateways} | {self.spread_s:.0f} s | {self.backlog} | {self.fresh_median_s:.1f} s "
            f"| {self.fresh_last_s:.1f} s | {self.drained_s:.1f} s | {self.dials} | {self.busiest_cpu:.0f} % "
            f"| {self.busiest_requests} | {self.busiest_records} | {self.retries} |"
        )


class Fleet:
    """Gateways under way against one cluster."""

    def __init__(self, cluster: Any, count: int, spread_s: float = 0.0) -> None:
        self._cluster = cluster
        self.gateways = [Gateway(number, cluster, spread_s) for number in range(count)]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(gateway.shipper.run()) for gateway in self.gateways]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def until(self, condition: Any, seconds: float = 120.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.05)

    def delivered(self) -> int:
        return sum(sum(gateway.shipper.stats().delivered.values()) for gateway in self.gateways)

    def moved(self) -> int:
        return sum(moved.both for gateway in self.gateways for moved in gateway.traffic.moved().values())

    async def load(self, per_second: float, interval_s: float, seconds: float, idle_cpu: float) -> Load:
        """A steady load, measured once it flows everywhere."""
        feeds = [asyncio.create_task(gateway.feed(per_second, interval_s)) for gateway in self.gateways]
        await self.until(lambda: all(gateway.batches > 2 for gateway in self.gateways))
        brokers = pids(self._cluster)
        before = self._figures(brokers)
        await asyncio.sleep(seconds)
        after = self._figures(brokers)
        for feed in feeds:
            feed.cancel()
        await self.until(lambda: all(gateway.depth == 0 for gateway in self.gateways))
        spent_s, batches, records, cpu, own, moved = (b - a for a, b in zip(before, after, strict=True))
        return Load(
            len(self.gateways),
            interval_s,
            batches / spent_s,
            records / spent_s,
            max(cpu / spent_s * 100 - idle_cpu, 0.0),
            own / spent_s * 100,
            sum(pss_bytes(pid) for pid in brokers),
            moved / max(records, 1),
        )

    def _figures(self, brokers: Sequence[int]) -> tuple[float, ...]:
        batches = sum(gateway.batches for gateway in self.gateways)
        broker_s = sum(cpu_s(pid) for pid in brokers)
        return time.monotonic(), batches, self.delivered(), broker_s, time.process_time(), self.moved()

    async def come_back(self, backlog: int, per_second: float, idle_cpu: float) -> Return:
        """All links go, a backlog gathers, all links come back in the same moment: what follows."""
        for gateway in self.gateways:
            gateway.take(1)
        await self.until(lambda: all(gateway.batches >= 1 for gateway in self.gateways))
        for gateway in self.gateways:
            await gateway.lose_link()
        for gateway in self.gateways:
            for _ in range(backlog // 500):
                gateway.take(500)
            await asyncio.sleep(0)
        await asyncio.sleep(6.0)  # past backfill_after_s
        for gateway in self.gateways:
            gateway.fresh_from = gateway.log.stats().next_seq
            shares = gateway.shipper.shares
            outage_s = 10 * gateway.shipper._settings.backfill_spread_s  # as after one so long
            shares.link_back = lambda _, begin=shares.link_back, outage_s=outage_s: begin(outage_s)
        feeds = [asyncio.create_task(gateway.feed(per_second, 0.2)) for gateway in self.gateways]
        dials = self.dials()
        back_s, seconds = time.monotonic(), []
        watching = asyncio.create_task(self._watch(seconds))
        for gateway in self.gateways:
            gateway.link_up = True
        await self.until(lambda: all(gateway.fresh_s for gateway in self.gateways))
        fresh = [(gateway.fresh_s or 0.0) - back_s for gateway in self.gateways]
        await self.until(lambda: all(g.log.stats().depth.get(Lane.BACKFILL, 0) == 0 for g in self.gateways))
        drained_s = time.monotonic() - back_s
        for task in (watching, *feeds):
            task.cancel()
        cpu, records, requests = (max(figures) for figures in zip(*seconds, strict=True))
        return Return(
            len(self.gateways),
            self.gateways[0].shipper._settings.backfill_spread_s,
            backlog,
            statistics.median(fresh),
            max(fresh),
            drained_s,
            self.dials() - dials,
            cpu - idle_cpu,
            int(requests),
            int(records),
            sum(gateway.shipper.stats().retries.get("no answer", 0) for gateway in self.gateways),
        )

    async def _watch(self, seconds: list[tuple[float, float, float]]) -> None:
        brokers = pids(self._cluster)
        before = self._figures(brokers)
        while True:
            await asyncio.sleep(1.0)
            now = self._figures(brokers)
            spent_s, batches, records, cpu, *_ = (b - a for a, b in zip(before, now, strict=True))
            seconds.append((cpu / spent_s * 100, records / spent_s, batches / spent_s))
            before = now

    def dials(self) -> int:
        return sum(sum(gateway.traffic.dials.values()) for gateway in self.gateways)
