"""Readings a second from the sensor's broker through the log into Kafka, and the CPU time that each costs."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from agent.app.guarantee import COMPACTED
from agent.events import TOPICS as KAFKA_TOPICS
from tests.support.account import arrival
from tests.support.children import spawn
from tests.support.daemon import EXECUTABLE, Daemon, document
from tests.support.farm import TOPICS
from tests.support.kafka import ApacheKafka
from tests.support.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FAST_MOSQUITTO = (
    "max_inflight_messages 65535",
    "max_queued_messages 0",
    "max_queued_bytes 0",
    "set_tcp_nodelay true",
)
"""As deploy/ has it, but saving its database only when it ends: a queue of this size saved after every 1,000 changes
would be all that is measured.
"""
GATEWAY = "gw-bench"


@dataclass(frozen=True, slots=True)
class Sent:
    """What the publisher sends: its topics, the payload (`%d` is the message's number, `%t` its time), and how the
    daemon is to read it.
    """

    topics: tuple[str, ...]
    payload: str
    pattern: Mapping[str, object]


_TOPIC = "farm/{site}/{tank}/{metric}"
ONE_FIELD = Sent(
    TOPICS,
    '{"value": %d}',
    {"topic": _TOPIC, "unit": "1", "payload": {"format": "json", "value": "value"}},
)
"""Five sensors, without a time: what was measured before devices were asked what they send."""
FIVE_FIELDS = Sent(
    tuple(f"farm/site/tank-{number // 5 + 1:02}/metric{number % 5}" for number in range(150)),
    '{"sensor_id": "tank-01_metric0", "sensor_type": "count", "value": %d, "tank_id": "tank-01", "ts": "%t"}',
    {"topic": _TOPIC, "unit": "1", "payload": {"format": "json", "value": "value", "at": "ts"}},
)
"""150 sensors, each with the device's own time: what devices send."""
LIMITED = [
    {
        "id": "_".join(topic.split("/")[2:]),
        "type": topic.split("/")[3],
        "unit": "1",
        "tank": topic.split("/")[2],
        "limits": {"high": 1e9},
    }
    for topic in FIVE_FIELDS.topics
]
"""All of these sensors with a limit, so that each reading is judged."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`cpu_us` is what the whole daemon, children included, used for each reading."""

    readings: int
    seconds: float
    cpu_us: float
    missing: int
    repeated: int

    @property
    def per_second(self) -> float:
        return self.readings / self.seconds


class Bench:
    """Brokers and a daemon, ready to be started; one document for all measurements."""

    def __init__(
        self,
        *,
        prefix: Sequence[str] = (),
        executable: Path = EXECUTABLE,
        sent: Sent = FIVE_FIELDS,
        **sections: object,
    ) -> None:
        self._stack = ExitStack()
        self._prefix = prefix
        self._executable = executable
        self.sent = sent
        self._sections = {**({"sensors": LIMITED} if sent is FIVE_FIELDS else {}), **sections}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.mosquitto = stack.enter_context(Mosquitto(lines=FAST_MOSQUITTO))
            self.kafka = stack.enter_context(ApacheKafka())
            for topic in (*KAFKA_TOPICS, *COMPACTED):
                self.kafka.create_topic(topic)
            self.daemon = stack.enter_context(
                Daemon(self._document, prefix=self._prefix, executable=self._executable)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _document(self, folder: Path) -> dict[str, object]:
        whole = document(
            mqtt_port=self.mosquitto.port,
            kafka=self.kafka.bootstrap,
            folder=folder,
            subscriptions=[self.sent.pattern],
            **{"gateway": {"id": GATEWAY}, **self._sections},
        )
        # The topics are there, and an older version has no such key.
        del whole["kafka"]["create_topics"]
        return whole

    def until_in_kafka(self, count: int, timeout_s: float = 300.0) -> tuple[float, int]:
        """Wait until so many records stand in `sensor-data`; when they did (monotonic), and how many."""
        return asyncio.run(reach(self.kafka.bootstrap, "sensor-data", count, timeout_s))

    def counted(self, readings: int, seconds: float, cpu_s: float) -> Rate:
        """The figures, with what a consumer finds."""
        there = arrival(self.kafka.bootstrap, GATEWAY)
        missing = there.missing(set(range(readings)))
        return Rate(readings, seconds, cpu_s / readings * 1e6, len(missing), there.repeated_ce_ids)


async def reach(bootstrap: str, topic: str, count: int, timeout_s: float) -> tuple[float, int]:
    """Wait until so many records stand in a topic of one partition; when they did (monotonic), and how many."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        async with asyncio.timeout(timeout_s):
            while (there := (await consumer.end_offsets([partition]))[partition]) < count:
                await asyncio.sleep(0.02)
        return time.monotonic(), there
    finally:
        await consumer.stop()


@contextmanager
def publishing(
    port: int, count: int, per_second: float = 0.0, sent: Sent = FIVE_FIELDS
) -> Iterator[subprocess.Popen[bytes]]:
    """The publisher of pre-encoded packets, in a process of its own, that waits for a line to begin."""
    topics = [option for topic in sent.topics for option in ("--topic", topic)]
    command = [sys.executable, "-m", "tests.support.publisher", str(port), "--count", str(count)]
    command += ["--per-second", str(per_second), "--payload", sent.payload, *topics]
    root = Path(__file__).parents[2]
    process = spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.wait()


def begin(process: subprocess.Popen[bytes]) -> None:
    """Let it publish."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


def waiting_session(readings: int, **options: Any) -> Rate:
    """All readings wait in the daemon's session when it comes back: from its TCP connection until Kafka has them.

    `options` are those of `Bench`.
    """
    with Bench(**options) as bench:
        bench.daemon.start().until_ready()
        bench.daemon.stop()
        with publishing(bench.mosquitto.port, readings, sent=bench.sent) as publisher:
            begin(publisher)
            publisher.wait()
        bench.daemon.start()
        until_connected(bench.daemon.pid, bench.mosquitto.port)
        begun, cpu_begun = time.monotonic(), bench.daemon.cpu_s()
        ended, _ = bench.until_in_kafka(readings)
        cpu = bench.daemon.cpu_s() - cpu_begun
        bench.daemon.stop()
        return bench.counted(readings, ended - begun, cpu)


def beside_publisher(readings: int, **options: Any) -> Rate:
    """The publisher publishes as fast as mosquitto takes it: from its first packet until Kafka has all."""
    with Bench(**options) as bench:
        bench.daemon.start().until_ready()
        with publishing(bench.mosquitto.port, readings, sent=bench.sent) as publisher:
            begun, cpu_begun = time.monotonic(), bench.daemon.cpu_s()
            begin(publisher)
            ended, _ = bench.until_in_kafka(readings)
            cpu = bench.daemon.cpu_s() - cpu_begun
        bench.daemon.stop()
        return bench.counted(readings, ended - begun, cpu)


def drain(readings: int) -> Rate:
    """A backlog from Kafka's absence, sent at its return: from the first records seen until all are there."""
    with Bench() as bench:
        bench.daemon.start().until_ready()
        bench.daemon.until_drained()
        bench.kafka.stop()
        with publishing(bench.mosquitto.port, readings) as publisher:
            begin(publisher)
            publisher.wait()
        bench.daemon.until(
            lambda: bench.daemon.total("tidegate_log_depth_records", lane="live") >= readings, "in the log", 120
        )
        bench.kafka.start()
        # The daemon comes back by itself, up to 5 s later: counted from the first records that are seen.
        begun, before = bench.until_in_kafka(1)
        cpu_begun = bench.daemon.cpu_s()
        ended, _ = bench.until_in_kafka(readings)
        cpu = bench.daemon.cpu_s() - cpu_begun
        bench.daemon.stop()
        found = bench.counted(readings, ended - begun, cpu)
        return replace(found, readings=readings - before)


def until_connected(pid: int, port: int) -> None:
    """Wait until a process has its connection to the MQTT broker."""
    while not _connected_to(pid, port):
        time.sleep(0.002)


def _connected_to(pid: int, port: int) -> bool:
    """Whether the process's network namespace holds an established connection to a loopback port."""
    wanted = f"0100007F:{port:04X}"
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2] == wanted and fields[3] == "01":
            return True
    return False
