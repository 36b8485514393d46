"""Other ways from MQTT into Kafka, on the same load in the same run: what each costs, and what it promises.

mq-bridge gets an environment of its own under .cache, made once: it is no dependency of anything here.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import venv
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import rates
from tests.support.children import spawn
from tests.support.consumer import read_topic
from tests.support.daemon import cpu_s, descendants
from tests.support.kafka import ApacheKafka
from tests.support.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROOT = Path(__file__).parents[2]
_MQ_BRIDGE = "mq-bridge==1.2.0"
# The queue takes all that waits in a session: one of 10,000 is full before the subscription is answered, and it ends.
_ROUTE = """\
import sys
from mq_bridge import Route

port, bootstrap, topic = sys.argv[1:]
mqtt = {"url": f"tcp://127.0.0.1:{port}", "topic": "farm/#", "client_id": "mq-bridge", "qos": 1,
        "session_expiry_interval": 3600, "clean_session": False,
        "queue_capacity": 400000, "max_inflight": 65535}
route = Route.from_config({"batch_size": 4096, "input": {"mqtt": mqtt},
                           "output": {"kafka": {"url": bootstrap, "topic": topic, "create_topic": False}}}, "")
route.start()
print("ready", flush=True)
route.join()
"""


@dataclass(frozen=True, slots=True)
class Other:
    """One program. `readings` is as many as it can do in a few seconds."""

    name: str
    readings: int
    promises: str


PLAIN = Other(
    "forty lines of paho and aiokafka",
    60_000,
    "acknowledges once Kafka has it; nothing on disk: in an outage all waits at the MQTT broker; twice after a kill",
)
MQ_BRIDGE = Other(
    "mq-bridge 1.2.0 (Rust)",
    300_000,
    "acknowledges once Kafka has it; nothing on disk: in an outage all waits at the MQTT broker; twice after a kill",
)


def plain(readings: int) -> rates.Rate:
    """The script that anybody would begin with."""
    return _beside_publisher([sys.executable, str(Path(__file__).with_name("plain_bridge.py"))], readings)


def mq_bridge(readings: int, *, waiting: bool = False) -> rates.Rate:
    """The fastest bridge that we know of; `waiting`: from a session in which all waits, the publisher ended.

    Raises:
        OSError, subprocess.CalledProcessError: it cannot be installed here.
    """
    command = [str(_mq_bridge_python()), "-c", _ROUTE]
    return _from_waiting_session(command, readings) if waiting else _beside_publisher(command, readings)


def _mq_bridge_python() -> Path:
    folder = _ROOT / ".cache" / _MQ_BRIDGE
    python = folder / "bin" / "python"
    if not (folder / "made").exists():
        venv.create(folder, clear=True, with_pip=False)
        uv = Path(sys.executable).with_name("uv")
        install = [str(uv), "pip", "install", "--quiet", "--python", str(python), _MQ_BRIDGE]
        subprocess.run(install, check=True, timeout=120)
        (folder / "made").touch()
    return python


def _beside_publisher(command: Sequence[str], readings: int) -> rates.Rate:
    """As rates.beside_publisher, of another program: from the publisher's first packet until Kafka has all."""
    with ExitStack() as stack:
        mosquitto = stack.enter_context(Mosquitto(lines=rates.FAST_MOSQUITTO))
        kafka = stack.enter_context(ApacheKafka())
        kafka.create_topic("other")
        process = stack.enter_context(_running(command, mosquitto, kafka))
        with rates.publishing(mosquitto.port, readings) as publisher:
            begun, before = time.monotonic(), _cpu_s(process.pid)
            rates.begin(publisher)
            return _counted(process, kafka, readings, begun, before)


def _from_waiting_session(command: Sequence[str], readings: int) -> rates.Rate:
    """As rates.waiting_session, of another program: from its TCP connection until Kafka has all."""
    with ExitStack() as stack:
        mosquitto = stack.enter_context(Mosquitto(lines=rates.FAST_MOSQUITTO))
        kafka = stack.enter_context(ApacheKafka())
        kafka.create_topic("other")
        with _running(command, mosquitto, kafka):
            pass  # its session is there
        with rates.publishing(mosquitto.port, readings) as publisher:
            rates.begin(publisher)
            publisher.wait()
        process = stack.enter_context(_running(command, mosquitto, kafka, settle_s=0.0))
        rates.until_connected(process.pid, mosquitto.port)
        return _counted(process, kafka, readings, time.monotonic(), _cpu_s(process.pid))


@contextmanager
def _running(
    command: Sequence[str], mosquitto: Mosquitto, kafka: ApacheKafka, *, settle_s: float = 1.0
) -> Iterator[subprocess.Popen[bytes]]:
    process = spawn(
        [*command, str(mosquitto.port), kafka.bootstrap, "other"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=_ROOT,
    )
    try:
        if settle_s:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise OSError(f"{command[0]} did not start")
            time.sleep(settle_s)  # what it says it has subscribed to, it has then
        yield process
    finally:
        process.kill()
        process.wait()


def _counted(
    process: subprocess.Popen[bytes], kafka: ApacheKafka, readings: int, begun: float, before: float
) -> rates.Rate:
    ended, _ = asyncio.run(rates.reach(kafka.bootstrap, "other", readings, 120.0))
    used = _cpu_s(process.pid) - before
    records = asyncio.run(read_topic(kafka.bootstrap, "other"))
    numbers = Counter(int(json.loads(record.value or b"{}")["value"]) for record in records)
    missing = readings - len(numbers)
    return rates.Rate(readings, ended - begun, used / readings * 1e6, missing, len(records) - len(numbers))


def _cpu_s(pid: int) -> float:
    return sum(cpu_s(one) for one in descendants(pid))
