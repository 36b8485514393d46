"""`make demo`: a fish farm's gateway at work, from real tank data and a real clip to a real Kafka.

Everything runs as it would on a farm, and the daemon is the real one on the real config.yaml. The closing table is
made by a Kafka consumer that knows nothing of the daemon. Exit status: 0 if all arrived, 1 if anything is missing or
could not be started.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sqlite3
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tests.demo import brokers, pond, stock
from tests.demo.aquarium import Aquarium
from tests.demo.picture import Gauges, watch
from tests.support.account import account
from tests.support.broker import BrokerError
from tests.support.daemon import ROOT, Daemon, DaemonError

if TYPE_CHECKING:
    from tests.demo.brokers import Brokers
    from tests.support.account import Line

CLIP = ROOT / "tests" / "data" / "video" / "9870_Gerres.mp4"
_DRAIN_S = 30.0
_LITTLE = 100


class _Ending:
    """Ctrl-C: while the demo runs it means "come to the end"; before, and again, it means "stop now"."""

    def __init__(self) -> None:
        self.wished = threading.Event()
        self._running = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._signalled)

    def _signalled(self, *_: object) -> None:
        if not self._running or self.wished.is_set():
            raise KeyboardInterrupt
        self.wished.set()

    def run(self) -> threading.Event:
        self._running = True
        return self.wished


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description="Watch a fish farm's gateway work.")
    parser.add_argument("--seconds", type=float, default=0.0, help="end after so many seconds; otherwise at Ctrl-C")
    parser.add_argument("--speed", type=float, default=1200.0, help="how much faster than life (default: 1200)")
    parser.add_argument("--plain", action="store_true", help="plain lines, also in a terminal")
    given = parser.parse_args()
    if given.speed <= 0 or given.seconds < 0:
        parser.error("speed and seconds must be above 0")
    ending = _Ending()
    try:
        with ExitStack() as stack:
            return _show(stack, ending, given)
    except (BrokerError, DaemonError) as error:
        print(f"\nThe demo could not go on: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


def _show(stack: ExitStack, ending: _Ending, given: argparse.Namespace) -> int:
    running = brokers.start(stack)
    daemon = stack.enter_context(_daemon(running))
    daemon.start()
    daemon.until_ready()
    gauges = stack.enter_context(Gauges(daemon, running.mqtt.host, running.mqtt.port))
    aquarium = Aquarium(running.mqtt.host, running.mqtt.port, given.speed)
    aquarium.start()
    water = pond.Pond(running.mqtt.host, running.mqtt.port)
    water.start()
    stock.record(daemon)
    wished = ending.run()
    until = time.monotonic() + given.seconds if given.seconds else float("inf")
    plain = given.plain or not sys.stdout.isatty()
    watch(gauges, lambda: wished.is_set() or time.monotonic() > until or not daemon.running, plain=plain)
    if not daemon.running:
        raise DaemonError(f"the daemon ended by itself:\n{daemon.output[-3_000:]}")
    print("Ending: the publisher stops, the log drains, the daemon stops, and a consumer counts.", flush=True)
    aquarium.end()
    water.end()
    aquarium.published += water.published
    aquarium.acknowledged += water.acknowledged
    daemon.until(
        lambda: daemon.total("tidegate_readings_total") >= aquarium.acknowledged, "all readings taken in", _DRAIN_S
    )
    # The camera goes on until the daemon stops: what comes meanwhile is little, and goes in its last moments.
    daemon.until(lambda: daemon.total("tidegate_log_depth_records") < _LITTLE, "drained", _DRAIN_S)
    tank = stock.figures(daemon)
    status = daemon.stop()
    if status != 0:
        raise DaemonError(f"the daemon ended with {status}:\n{daemon.output[-3_000:]}")
    try:
        lines = asyncio.run(account(daemon.state / "log.sqlite", running.kafka.bootstrap))
    except sqlite3.Error as error:
        raise DaemonError(f"the log cannot be read: {error}") from error
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(water.told())
    console.print(tank)
    return _closing(lines, aquarium)


def _daemon(running: Brokers) -> Daemon:
    daemon = Daemon(pond.document)
    daemon.environment |= {
        **running.environment,
        "TIDEGATE_STATE_DIR": str(daemon.state),
        "TIDEGATE_RUNTIME_DIR": str(daemon.runtime),
        "TIDEGATE_CAMERA_SOURCE": str(CLIP),
        "TIDEGATE_HTTP_PORT": "0",
    }
    return daemon


def _closing(lines: list[Line], aquarium: Aquarium) -> int:
    table = Table(title="What the log took, and what a consumer found in Kafka", title_justify="left")
    table.add_column("topic")
    for column in ("committed", "found", "missing", "duplicated"):
        table.add_column(column, justify="right")
    total = [0, 0, 0, 0]
    for line in lines:
        figures = [line.committed, line.found, line.missing, line.duplicated]
        total = [a + b for a, b in zip(total, figures, strict=True)]
        table.add_row(line.topic, *map(str, figures), style="red" if line.missing else "")
    table.add_section()
    table.add_row("all", *map(str, total), style="bold red" if total[2] else "bold")
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    readings = sum(line.committed for line in lines if line.topic == "sensor-data")
    short = max(0, aquarium.acknowledged - readings)
    print(
        f"The MQTT broker acknowledged {aquarium.acknowledged} of {aquarium.published} readings to the publisher; "
        f"{readings} are in the log, {short} missing."
    )
    return 1 if total[2] or short or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
