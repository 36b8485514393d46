"""A log file overwritten with noise, and a full disk: the daemon goes on, says so, and alarms still sound."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.account import of_gateway
from tests.support.consumer import read_topic_blocking
from tests.support.disks import LoopDisk, bound_files
from tests.support.farm import TOPICS, Farm
from tests.support.listener import Listener
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from tests.support.kafka import ApacheKafka

_ALARM_TOPIC = "farm/site/alarm/count"


@dataclass(frozen=True, slots=True)
class Noise:
    """A log overwritten at rest. `kept` readings of before are in Kafka, `after` those published since."""

    before: int
    kept: int
    after: int
    after_arrived: int
    alarm_heard: bool
    told: list[str]

    @property
    def good(self) -> bool:
        return self.after_arrived == self.after and self.alarm_heard and bool(self.told)

    def __str__(self) -> str:
        return (
            f"log overwritten with noise: the daemon started, {self.kept} of {self.before} readings of before were "
            f"delivered or salvaged, {self.after_arrived} of {self.after} since arrived, alarm heard: "
            f"{self.alarm_heard}; it said: {'; '.join(self.told)}"
        )


def noise(kafka: ApacheKafka | None = None, readings: int = 500) -> Noise:
    """Overwrite every byte of the log's files while the daemon is stopped, then start it."""
    with Farm(kafka) as farm, Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        farm.daemon.start().until_ready()
        publisher.publish_evenly(0, readings, 1_000, TOPICS)
        before = set(publisher.wait_acked())
        farm.until_arrived(before)
        farm.daemon.stop()
        for file in farm.daemon.state.glob("log.sqlite*"):
            file.write_bytes(os.urandom(file.stat().st_size))
        farm.daemon.start().until_ready()
        with Listener(farm.mosquitto.host, farm.mosquitto.port) as listener:
            publisher.publish_evenly(readings, readings, 1_000, TOPICS)
            publisher.publish(2 * readings, _ALARM_TOPIC, "101")
            heard = _heard(listener)
            after = set(publisher.wait_acked()) - before - {2 * readings}
            there = farm.until_arrived(after)
        farm.daemon.stop()
        events = of_gateway(read_topic_blocking(farm.kafka.bootstrap, "system-events"), farm.gateway)
        said = [json.loads(event.value or b"{}") for event in events]
        told = [event["text"] for event in said if event["event"] == "log_quarantined" and event["data"]["log_id"]]
        return Noise(
            len(before),
            len(before) - len(there.missing(before)),
            len(after),
            len(after) - len(there.missing(after)),
            heard,
            told,
        )


@dataclass(frozen=True, slots=True)
class Full:
    """A disk that is full for a while. Every reading is in Kafka or counted as lost."""

    how: str
    alarms_heard: int
    alarms: int
    slowest_alarm_s: float
    stalled: bool
    stall_told: bool
    counted_lost: int
    missing: int
    after: int
    after_arrived: int
    exit_status: int

    @property
    def good(self) -> bool:
        told = self.alarms_heard == self.alarms and self.stall_told == self.stalled
        return (
            told and self.missing <= self.counted_lost and self.after_arrived == self.after and not self.exit_status
        )

    def __str__(self) -> str:
        return (
            f"disk full ({self.how}): {self.alarms_heard} of {self.alarms} alarms heard, the slowest after "
            f"{self.slowest_alarm_s * 1000:.0f} ms; the log stalled: {self.stalled}, and that was told: "
            f"{self.stall_told}; {self.missing} readings missing in Kafka, {self.counted_lost} counted as lost; "
            f"{self.after_arrived} of {self.after} arrived once there was room again; exit status {self.exit_status}"
        )


class _FullDisk:
    """A farm whose disk fills up, and what was heard and counted meanwhile."""

    def __init__(self, farm: Farm, publisher: Publisher, listener: Listener) -> None:
        self.farm = farm
        self.publisher = publisher
        self.listener = listener
        self.published = 0
        self.alarms: list[float | None] = []
        self.lost = 0.0

    def publish(self, count: int, per_second: float) -> set[int]:
        """More readings; the numbers that the broker took."""
        self.publisher.publish_evenly(self.published, count, per_second, TOPICS)
        first, self.published = self.published, self.published + count
        return {number for number in self.publisher.wait_acked() if number >= first}

    def sound(self) -> None:
        """Raise the alarm anew, and note how long it took to be heard."""
        number = -1 - 2 * len(self.alarms)
        self.publisher.publish(number, _ALARM_TOPIC, "1")
        begun = time.monotonic()
        value = 1_000_000.0 + len(self.alarms)
        self.publisher.publish(number - 1, _ALARM_TOPIC, str(value))
        try:
            at, _ = self.listener.wait_for(lambda _, said: said.get("value") == value)
        except TimeoutError:
            self.alarms.append(None)
        else:
            self.alarms.append(at - begun)

    def count_lost(self) -> None:
        """Add what this run of the daemon has counted as lost."""
        self.lost += self.farm.daemon.total("tidegate_dropped_total", what="record", source="log")

    def stalled(self) -> bool:
        return self.farm.daemon.total("tidegate_log_stalled") == 1


def full(how: str, kafka: ApacheKafka | None = None, readings: int = 2_000) -> Full:
    """Under load, fill the disk and start the daemon anew on it ("loop"), or bound the size of files ("fsize").

    Later there is room again.
    """
    with ExitStack() as stack:
        disk = stack.enter_context(LoopDisk()) if how == "loop" else None
        state = {"state_dir": str(disk.folder)} if disk is not None else {}
        farm = stack.enter_context(Farm(kafka, gateway=state))
        publisher = stack.enter_context(Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors"))
        listener = stack.enter_context(Listener(farm.mosquitto.host, farm.mosquitto.port))
        report = _FullDisk(farm, publisher, listener)
        daemon = farm.daemon.start()
        daemon.until_ready()
        farm.until_arrived(report.publish(readings, 1_000))
        if disk is not None:
            disk.fill()
        else:
            bound_files(daemon.pid, 4_096)
        during = report.publish(readings, 500)
        report.sound()
        if disk is None:
            daemon.until(report.stalled, "telling that the disk takes nothing", 30)
        else:
            report.count_lost()
            daemon.stop()
            daemon.start().until_ready()
        during |= report.publish(readings // 2, 500)
        report.sound()
        stalled = report.stalled()
        told = _heard(listener, "log/stalled", 10.0) if stalled else False
        if disk is not None:
            disk.free()
        else:
            bound_files(daemon.pid, None)
        daemon.until(lambda: not report.stalled(), "writing again", 60)
        after = report.publish(readings, 1_000)
        there = farm.until_arrived(after)
        report.count_lost()
        status = daemon.stop()
        return Full(
            how,
            sum(alarm is not None for alarm in report.alarms),
            len(report.alarms),
            max((alarm for alarm in report.alarms if alarm is not None), default=0.0),
            stalled,
            told,
            int(report.lost),
            len(there.missing(during)),
            len(after),
            len(after) - len(there.missing(after)),
            status,
        )


def _heard(listener: Listener, alert_id: str = "alarm_count/high", timeout_s: float = 20.0) -> bool:
    try:
        listener.wait_for_alarm(alert_id, timeout_s=timeout_s)
    except TimeoutError:
        return False
    return True


def main() -> int:
    outcomes = [noise(), full("fsize"), *([full("loop")] if LoopDisk.possible() else [])]
    for outcome in outcomes:
        print(outcome)
    if not LoopDisk.possible():
        print("the full disk on a loop device needs root: left out")
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
