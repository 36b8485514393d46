"""A line of 50 kbit/s with 300 ms each way: alarms arrive while a backlog drains, and no batch is sent twice."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaConsumer

from sync.kafka import KafkaSettings, KafkaSink
from sync.values import NotReady
from tests.support.account import of_gateway
from tests.support.consumer import Record
from tests.support.farm import TOPICS, Farm
from tests.support.produce_requests import ProduceRequests
from tests.support.publisher import Publisher
from tests.support.shaper import Shaper

if TYPE_CHECKING:
    from tests.support.daemon import Daemon
    from tests.support.kafka import ApacheKafka

RATE = 6_250.0
DELAY_S = 0.3
BOUND_S = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """`alarms_s`: from publishing a reading to its alarm in Kafka; `alarms_bytes`: what the line carried meanwhile.

    `first_fresh_s`: from the first connection to the first record in Kafka that was published after it.
    """

    alarms_s: list[float]
    alarms_bytes: list[int]
    first_fresh_s: float
    backlog_before: int
    backlog_after: int
    batches: int
    repeated: int
    retries: float

    @property
    def good(self) -> bool:
        """Alarms in the bound as the line counts time, while a backlog drained; nothing repeated."""
        in_time = bool(self.alarms_bytes) and max(self.alarms_bytes) <= BOUND_S * RATE
        drained = 0 < self.backlog_after < self.backlog_before
        return in_time and drained and self.batches > 0 and self.repeated == 0 and self.retries == 0

    @property
    def round_trips(self) -> float:
        """How many of them went by until the first fresh record."""
        return self.first_fresh_s / (2 * DELAY_S)

    def __str__(self) -> str:
        return (
            f"over {RATE * 8 / 1000:.0f} kbit/s with {DELAY_S * 1000:.0f} ms each way, while a backlog of "
            f"{self.backlog_before} records drained to {self.backlog_after}: {len(self.alarms_s)} alarms arrived in "
            f"{statistics.median(self.alarms_s):.2f} s, at most {max(self.alarms_s):.2f} s (bound {BOUND_S:.0f} s), "
            f"the line carrying {max(self.alarms_bytes)} bytes at most meanwhile; the first fresh record "
            f"{self.first_fresh_s:.1f} s after the first connection ({self.round_trips:.1f} round trips); "
            f"of {self.batches} batches {self.repeated} were sent twice, {self.retries:.0f} retries counted"
        )


class Watch:
    """Reads topics of Kafka as they grow, in a thread of its own, beside the slow line."""

    def __init__(self, bootstrap: str, *topics: str) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self.arrived: list[tuple[float, Record]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    async def _read(self) -> None:
        reader = AIOKafkaConsumer(
            *self._topics, bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        await reader.start()
        try:
            while not self._ended.is_set():
                for records in (await reader.getmany(timeout_ms=50)).values():
                    now_s = time.monotonic()
                    self.arrived += [
                        (now_s, Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers)))
                        for r in records
                    ]
        finally:
            await reader.stop()

    def count(self, topic: str, gateway: str) -> int:
        """How many records of a gateway are there."""
        return len(of_gateway([record for _, record in self.arrived if record.topic == topic], gateway))


def slow_link(backlog: int, alarms: int, kafka: ApacheKafka | None = None) -> Outcome:
    """Gather a backlog with the line down, bring it up, and raise and clear an alarm again and again."""
    requests = ProduceRequests()
    with Farm(kafka) as farm, Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        document = farm.document(farm.daemon.folder)
        document["kafka"].update(
            brokers=[f"{farm.kafka.host}:{farm.kafka.link_port}"], backfill_after_s=3.0, backfill_spread_s=0.0
        )
        farm.daemon.configure(document)
        for topic in ("sensor-data", "farm-alerts"):
            farm.kafka.create_topic(topic)
        asyncio.run(_have_producer_ids(farm.kafka.bootstrap))
        daemon = farm.daemon.start()
        daemon.until_ready()
        publisher.publish_evenly(0, backlog, 4_000, TOPICS)
        publisher.publish(backlog, "farm/site/alarm/count", "200")
        daemon.until(lambda: daemon.total("tidegate_log_depth_records") >= backlog, "a backlog")
        time.sleep(4.0)  # past backfill_after_s
        shaper = Shaper(
            farm.kafka.host,
            farm.kafka.behind_link_port,
            rate=RATE,
            delay_s=DELAY_S,
            at=farm.kafka.link_port,
            tap=requests.tap,
        )
        ended = threading.Event()
        arguments = (backlog + 1, 10_000_000, 10.0, TOPICS, ended)
        fresh = threading.Thread(target=publisher.publish_evenly, args=arguments, daemon=True)
        with Watch(farm.kafka.bootstrap, "sensor-data", "farm-alerts") as watch, shaper:
            fresh.start()
            try:
                daemon.until(lambda: _first_fresh_s(watch, farm.gateway, backlog) > 0, "fresh data flows")
                first_fresh_s = _first_fresh_s(watch, farm.gateway, backlog) - shaper.first_connection_s
                daemon.until(lambda: watch.count("farm-alerts", farm.gateway) > 0, "the first alarm is there")
                daemon.until(
                    lambda: daemon.total("tidegate_shipper_batches_total", lane="backfill") > 1, "the backlog drains"
                )
                before = int(daemon.total("tidegate_log_depth_records", lane="backfill"))
                seconds, line_bytes = [], []
                for number in range(alarms):
                    found = watch.count("farm-alerts", farm.gateway)
                    began_s, carried = time.monotonic(), shaper.carried[True]
                    publisher.publish(20_000_000 + number, "farm/site/alarm/count", "200" if number % 2 else "0")
                    daemon.until(lambda: watch.count("farm-alerts", farm.gateway) > found, "the alarm is there")  # noqa: B023 - asked at once
                    seconds.append(time.monotonic() - began_s)
                    line_bytes.append(shaper.carried[True] - carried)
                    time.sleep(0.7 + number % 5 * 0.37)
                after = int(daemon.total("tidegate_log_depth_records", lane="backfill"))
                retries = _retries(daemon)
            finally:
                ended.set()
                fresh.join()
            daemon.stop()
    return Outcome(seconds, line_bytes, first_fresh_s, before, after, len(requests.sent), requests.repeated, retries)


async def _have_producer_ids(bootstrap: str) -> None:
    """Ask a broker that has just started until it gives them: the gateway is to meet one that has run for a while."""
    sink = KafkaSink(KafkaSettings((bootstrap,)))
    while True:
        try:
            await sink.new_producer()
        except NotReady:
            await asyncio.sleep(0.1)
        else:
            await sink.close()
            return


def _first_fresh_s(watch: Watch, gateway: str, backlog: int) -> float:
    """When the first reading past the backlog was in Kafka; 0 while there is none."""
    for at_s, record in watch.arrived:
        ours = record.topic == "sensor-data" and of_gateway([record], gateway)
        if ours and json.loads(record.value or b"{}")["value"] > backlog:
            return at_s
    return 0.0


def _retries(daemon: Daemon) -> float:
    """Attempts that were not acknowledged, but for those while nobody could be reached."""
    all_of_them = daemon.total("tidegate_shipper_retries_total")
    return all_of_them - daemon.total("tidegate_shipper_retries_total", reason="not connected")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.slow_link", description=__doc__)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--alarms", type=int, default=60)
    given = parser.parse_args()
    outcome = slow_link(given.backlog, given.alarms)
    print(outcome)
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
