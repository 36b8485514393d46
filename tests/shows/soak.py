"""Boot with no broker, no link and no camera: active within 10 s, and still after ten minutes."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.broker import free_ports
from tests.support.daemon import Daemon, document

if TYPE_CHECKING:
    from pathlib import Path

ACTIVE_S = 10.0
WAITING = ("mqtt:barge", "shipper", "camera:pen-1")
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` is the last line told to systemd; memory is PSS over all processes, in bytes."""

    active_s: float
    soaked_s: float
    crashes: int
    status: str
    memory_first: int
    memory_last: int
    exit_status: int

    @property
    def good(self) -> bool:
        """That it was active soon is for the show to say, on a machine that does nothing else."""
        waits = all(unit in self.status for unit in WAITING)
        return self.crashes == 0 and waits and self.exit_status == 0

    def __str__(self) -> str:
        return (
            f"no broker, no link, no camera: active after {self.active_s:.1f} s (bound {ACTIVE_S:.0f} s), "
            f"still after {self.soaked_s:.0f} s, {self.crashes} crashes; memory {self.memory_first / _MIB:.0f} MiB, "
            f"at the end {self.memory_last / _MIB:.0f} MiB; exit status {self.exit_status}\n  status: {self.status}"
        )


def soak(seconds: float) -> Outcome:
    """Nothing listens where the configuration points, and the camera's device does not exist."""
    mqtt_port, kafka_port = free_ports(2)

    def config(folder: Path) -> dict[str, object]:
        camera = {"name": "pen-1", "source": "/dev/video-not-here", "tank": "pen-1", "model": "fish"}
        return document(
            mqtt_port=mqtt_port,
            kafka=f"127.0.0.1:{kafka_port}",
            folder=folder,
            cameras=[camera],
            models=[{"name": "fish", "path": "package:fish/1"}],
        )

    with Daemon(config) as daemon:
        begun = time.monotonic()
        daemon.start()
        daemon.until(lambda: "READY=1" in daemon.notices(), "active", 60.0)
        active_s = time.monotonic() - begun
        daemon.until(
            lambda: "shipper" in daemon.status() and "camera:pen-1" in daemon.status(), "telling what it waits for"
        )
        first = daemon.memory_bytes()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(min(5.0, seconds / 5))
            daemon.until(lambda: daemon.request("GET", "/health/live")[0] == 200, "alive")
        crashes = int(daemon.total("tidegate_unit_crashes_total"))
        last = daemon.memory_bytes()
        status = daemon.status()
        return Outcome(active_s, seconds, crashes, status, first, last, daemon.stop())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    outcome = soak(parser.parse_args().seconds)
    print(outcome)
    return 0 if outcome.good and outcome.active_s <= ACTIVE_S else 1


if __name__ == "__main__":
    sys.exit(main())
