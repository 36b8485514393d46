"""mosquitto restarted under load, in order and after kill -9: what was lost, and by whom.

With the gateway connected mosquitto holds next to nothing; killed while the gateway is away, it loses what it had
queued since it last saved.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.farm import TOPICS, Farm
from tests.support.mqtt_tap import MqttTap
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from tests.support.kafka import ApacheKafka


_HOW = {
    "order": "restarted in order",
    "kill": "killed with -9",
    "alone": "killed with -9 while the gateway was away",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts of readings. What mosquitto acknowledged and the gateway did not is mosquitto's to answer for."""

    how: str
    published: int
    acknowledged_by_mosquitto: int
    acknowledged_by_gateway: int
    lost_by_mosquitto: int
    never_handed_over: int
    lost_by_gateway: int
    repeated_ce_ids: int
    away_s: float

    @property
    def good(self) -> bool:
        nothing_lost = self.lost_by_mosquitto == 0 or self.how != "order"
        return self.acknowledged_by_gateway > 0 and self.lost_by_gateway == self.repeated_ce_ids == 0 and nothing_lost

    def __str__(self) -> str:
        how = _HOW[self.how]
        return (
            f"mosquitto {how}, {self.away_s:.1f} s away: "
            f"{self.acknowledged_by_mosquitto} of {self.published} readings acknowledged by mosquitto, "
            f"{self.acknowledged_by_gateway} by the gateway; lost by mosquitto {self.lost_by_mosquitto} "
            f"({self.never_handed_over} of them never handed to the gateway), lost by the gateway "
            f"{self.lost_by_gateway}, duplicated by ce_id {self.repeated_ce_ids}"
        )


def restart(how: str, readings: int, per_second: float, away_s: float, kafka: ApacheKafka | None = None) -> Outcome:
    """End mosquitto ("order", "kill", or "alone": kill, the gateway being away) under load, start it on its data."""
    with Farm(kafka) as farm:
        mqtt_tap = MqttTap()
        host, port = farm.mosquitto.host, farm.mosquitto.port
        with Proxy(host, port, tap=mqtt_tap) as proxy, Publisher(host, port, "sensors") as publisher:
            farm.mqtt_port = proxy.port
            farm.reconfigure()
            farm.daemon.start().until_ready()
            arguments = (0, readings, per_second, TOPICS)
            sending = threading.Thread(target=publisher.publish_evenly, args=arguments, daemon=True)
            sending.start()
            while publisher.sent < readings / 3:
                time.sleep(0.01)
            if how == "alone":
                farm.daemon.stop()
                while publisher.sent < readings / 2:
                    time.sleep(0.01)
            if how == "order":
                farm.mosquitto.stop()
            else:
                farm.mosquitto.kill()
            time.sleep(away_s)
            farm.mosquitto.start()
            if how == "alone":
                farm.daemon.start()
            sending.join()
            acknowledged = set(publisher.wait_acked())
            farm.daemon.until_ready()
            _until_quiet(mqtt_tap)
            farm.until_arrived(acknowledged if how == "order" else set(mqtt_tap.acknowledged))
            farm.daemon.stop()
            taken = set(mqtt_tap.acknowledged)
            there = farm.arrival()
            gone = there.missing(acknowledged)
            return Outcome(
                how,
                publisher.sent,
                len(acknowledged),
                len(taken),
                len(gone - taken),
                len(gone - mqtt_tap.handed_over),
                len(there.missing(taken)),
                there.repeated_ce_ids,
                away_s,
            )


def _until_quiet(mqtt_tap: MqttTap) -> None:
    """Wait until mosquitto has handed over all that it still has."""
    seen = -1
    while len(mqtt_tap.acknowledged) > seen:
        seen = len(mqtt_tap.acknowledged)
        time.sleep(2.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.restart", description=__doc__)
    parser.add_argument("--readings", type=int, default=60_000)
    parser.add_argument("--per-second", type=float, default=2_000.0)
    parser.add_argument("--away", type=float, default=5.0, metavar="SECONDS")
    given = parser.parse_args()
    outcomes = [restart(how, given.readings, given.per_second, given.away) for how in _HOW]
    for outcome in outcomes:
        print(outcome)
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
