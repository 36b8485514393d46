"""A disk that turns read-only, hangs or becomes slow under the running daemon: alarms sound as fast as ever.

From publishing to a foreign client that hears the alarm; two passages of the broker are included. Readings that the
disk does not take are counted, or, where the daemon ends with it, told without a count.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.account import of_gateway
from tests.support.consumer import read_topic_blocking
from tests.support.farm import TOPICS, Farm
from tests.support.forgetful.mount import Forgetful
from tests.support.listener import Listener
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from tests.support.kafka import ApacheKafka

FAULTS: dict[str, dict[str, Any]] = {
    "slow (100 ms an fsync)": {"fsync_delay_s": 0.1},
    "read-only": {"read_only": True},
    "hung": {"hangs": True},
}
_ALARM_TOPIC = "farm/site/alarm/count"
_PER_S = 50.0
_TARGET_S = 0.020


@dataclass(frozen=True, slots=True)
class Stalled:
    """Alarms while the disk was bad for `lasted_s`, and what became of the readings.

    `ahead_of_stall`: the first alarm was heard before the log gave anything up. `while_bad`: how many were heard
    before the disk came back.
    """

    how: str
    lasted_s: float
    sent: int
    heard: int
    ahead_of_stall: bool
    while_bad: int
    p50_s: float
    p99_s: float
    slowest_s: float
    missing: int
    counted_lost: int
    uncounted: int
    ended: int

    @property
    def good(self) -> bool:
        told = self.missing <= self.counted_lost or self.uncounted > 0
        return self.ahead_of_stall and self.while_bad == self.sent and told and not self.ended

    def __str__(self) -> str:
        return (
            f"disk {self.how} for {self.lasted_s:.0f} s: {self.heard} of {self.sent} alarms heard, "
            f"{self.while_bad} meanwhile, the first ahead of a stall: {self.ahead_of_stall}; p50 "
            f"{self.p50_s * 1000:.1f} ms, p99 {self.p99_s * 1000:.1f} ms, slowest {self.slowest_s * 1000:.0f} ms; "
            f"{self.missing} readings are not in Kafka, {self.counted_lost} counted as lost, "
            f"{self.uncounted} losses told without a count; exit status {self.ended}"
        )


def stall(how: str, lasts_s: float, kafka: ApacheKafka | None = None, *, restart: bool = False) -> Stalled:
    """Let the disk be bad for so long while readings and alarms come; with `restart` the daemon is killed in it."""
    with (
        Forgetful() as disks,
        Farm(kafka, gateway={"state_dir": str(disks.disk("state"))}) as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
        Listener(farm.mosquitto.host, farm.mosquitto.port) as listener,
    ):
        daemon = farm.daemon.start()
        daemon.until_ready()
        publisher.publish_evenly(0, 500, 500, TOPICS)
        farm.until_arrived(set(publisher.wait_acked()))
        disks.faults(**FAULTS[how])
        # No commit succeeds until the disk is well, so an alarm that waits for one waits until the log gives up.
        sent: dict[float, float] = {1_500: time.monotonic()}
        publisher.publish(500, _ALARM_TOPIC, "1500")
        listener.wait_for(lambda _, said: said.get("value") == 1_500)
        ahead_of_stall = daemon.total("tidegate_log_stalled") == 0
        begun = time.monotonic()
        number = 502
        while time.monotonic() - begun < lasts_s:
            time.sleep(max(0.0, begun + len(sent) / _PER_S - time.monotonic()))
            # Above the limit of 100 and below it in turn, each value once, so that an alert names its reading.
            value = 1_000 + number if len(sent) % 2 == 0 else -number
            sent[value] = time.monotonic()
            publisher.publish(number, _ALARM_TOPIC, str(value))
            publisher.publish(number + 1, TOPICS[0], str(number + 1))
            number += 2
        with contextlib.suppress(TimeoutError):
            listener.wait_for(lambda _, said: said.get("value") == value)
        if restart:
            daemon.signal(9)
        else:
            lost = daemon.total("tidegate_dropped_total", what="record", source="log")
        bad_until = time.monotonic()
        disks.well()
        if restart:
            daemon.wait()
            daemon.start().until_ready()
            lost = 0.0
        daemon.until(lambda: daemon.total("tidegate_log_stalled") == 0, "writing again", 60)
        there = farm.until_arrived(publisher.wait_acked(), 20)
        lost = max(lost, daemon.total("tidegate_dropped_total", what="record", source="log"))
        status = daemon.stop()
        # When first: a daemon that is started anew says the last ones again.
        heard = {json.loads(payload).get("value"): at for at, _, payload in reversed(listener.heard)}
        took, while_bad, at_latest = [], 0, math.inf
        for value, at in reversed(sent.items()):
            # An alarm that was over before it was said is told by what followed it.
            at_latest = heard.get(value, at_latest)
            took.append(at_latest - at)
            while_bad += at_latest <= bad_until
        took.sort()
        plain = {one for one in publisher.wait_acked() if one < 500 or one % 2}
        events = of_gateway(read_topic_blocking(farm.kafka.bootstrap, "system-events"), farm.gateway)
        said = [json.loads(event.value or b"{}") for event in events]
        return Stalled(
            how + (", killed in it" if restart else ""),
            lasts_s,
            len(sent),
            sum(value in heard for value in sent),
            ahead_of_stall,
            while_bad,
            took[len(took) // 2],
            took[int(len(took) * 0.99)],
            took[-1],
            len(there.missing(plain)),
            int(lost),
            sum(one["event"] == "records_lost" and one["data"]["count"] is None for one in said),
            status,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    if not Forgetful.possible():
        print("needs root and FUSE 3")
        return 1
    told = [stall(how, given.seconds) for how in FAULTS]
    told.append(stall("hung", min(given.seconds, 20.0), restart=True))
    print(*told, sep="\n")
    print(f"target: p99 below {_TARGET_S * 1000:.0f} ms from receipt")
    return 0 if all(one.good and one.p99_s < _TARGET_S for one in told) else 1


if __name__ == "__main__":
    sys.exit(main())
