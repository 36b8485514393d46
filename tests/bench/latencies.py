"""How long a reading takes to Kafka, and an alarm to the local broker."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from tests.bench.rates import FIVE_FIELDS, LIMITED
from tests.support.disks import bound_files
from tests.support.farm import TOPICS, Farm
from tests.support.listener import Listener
from tests.support.publisher import Publisher

_WARM_UP = 200


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds."""

    count: int
    p50_ms: float
    p99_ms: float
    most_ms: float

    @staticmethod
    def of(seconds: list[float]) -> Latency:
        ordered = sorted(seconds)
        return Latency(
            len(ordered),
            ordered[len(ordered) // 2] * 1e3,
            ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1e3,
            ordered[-1] * 1e3,
        )


@dataclass(frozen=True, slots=True)
class Steady:
    """At a steady rate: latency from publish to a consumer of Kafka's, CPU of the daemon as a part of one core,
    and the bytes that went to the disk for each byte of body.
    """

    latency: Latency
    cpu_share: float
    written_per_byte: float


def to_kafka(seconds: float, per_second: float, commit_interval_ms: int) -> Steady:
    """From the sensor's publish to an independent consumer, both in this process and on one clock.

    The sensors are 150 that have limits, and state their own times.
    """
    sections = {"subscriptions": [FIVE_FIELDS.pattern], "sensors": LIMITED}
    with Farm(log={"commit_interval_ms": commit_interval_ms}, **sections) as farm:
        farm.kafka.create_topic("sensor-data")
        farm.daemon.start().until_ready()
        count = int(seconds * per_second) + _WARM_UP
        sent: dict[int, float] = {}
        arrived: dict[int, float] = {}
        ready = threading.Event()
        consuming = threading.Thread(
            target=lambda: asyncio.run(_consume(farm.kafka.bootstrap, count, arrived, ready)), daemon=True
        )
        consuming.start()
        ready.wait(30)
        with Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
            start = time.monotonic()
            for number in range(count):
                time.sleep(max(0.0, start + number / per_second - time.monotonic()))
                if number == _WARM_UP:
                    cpu, since = farm.daemon.cpu_s(), time.monotonic()
                    written, body = _bytes(farm)
                sent[number] = time.monotonic()
                publisher.publish(number, FIVE_FIELDS.topics[number % len(FIVE_FIELDS.topics)], _payload(number))
            used, passed = farm.daemon.cpu_s() - cpu, time.monotonic() - since
            written_after, body_after = _bytes(farm)
            consuming.join(60)
        farm.daemon.stop()
        taken = [arrived[number] - sent[number] for number in range(_WARM_UP, count)]
        return Steady(Latency.of(taken), used / passed, (written_after - written) / max(1.0, body_after - body))


def _payload(number: int) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return FIVE_FIELDS.payload.replace("%d", str(number)).replace("%t", now)


def alarms(count: int, per_second: float, *, disk_full: bool) -> Latency:
    """From publish to a foreign client that hears the alarm: two passages of the broker included."""
    with (
        Farm() as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
        Listener(farm.mosquitto.host, farm.mosquitto.port) as listener,
    ):
        daemon = farm.daemon.start()
        daemon.until_ready()
        publisher.publish_evenly(0, 1_000, 500, TOPICS)
        publisher.wait_acked()
        if disk_full:
            bound_files(daemon.pid, 4_096)
            publisher.publish_evenly(1_000, 500, 200, TOPICS)
            daemon.until(lambda: daemon.total("tidegate_log_stalled") == 1, "without a disk", 30)
        sent: dict[float, float] = {}
        start = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, start + number / per_second - time.monotonic()))
            # Above the limit of 100 and below it in turn; each value once, so that an alert names its reading.
            value = number + 1_000 if number % 2 == 0 else -number
            sent[value] = time.monotonic()
            publisher.publish(number, "farm/site/alarm/count", str(value))
        last = -(count - 1) if count % 2 == 0 else count + 999
        listener.wait_for(lambda _, said: said.get("value") == last)
        daemon.kill()
        heard = {json.loads(payload).get("value"): at for at, _, payload in listener.heard}
        return Latency.of([heard[value] - at for value, at in sent.items() if value in heard])


async def _consume(bootstrap: str, count: int, arrived: dict[int, float], ready: threading.Event) -> None:
    consumer = AIOKafkaConsumer(
        "sensor-data", bootstrap_servers=bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=500
    )
    await consumer.start()
    try:
        ready.set()
        async with asyncio.timeout(600):
            while len(arrived) < count:
                chunks = await consumer.getmany(timeout_ms=500)
                now = time.monotonic()
                for records in chunks.values():
                    for record in records:
                        arrived.setdefault(int(json.loads(record.value)["value"]), now)
    finally:
        await consumer.stop()


def _bytes(farm: Farm) -> tuple[float, float]:
    """What the kernel has written to the disk for the daemon, and the keys, values and headers that came in."""
    counted = dict(line.split(": ") for line in Path(f"/proc/{farm.daemon.pid}/io").read_text().splitlines())
    return float(counted["write_bytes"]), farm.daemon.total("tidegate_log_body_bytes_total")
