"""Killed with -9 again and again under load: every reading that the MQTT broker took is in Kafka, none twice."""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.farm import TOPICS, Farm
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from tests.support.kafka import ApacheKafka


@dataclass(frozen=True, slots=True)
class Outcome:
    """`repeated_numbers`: mosquitto handed a message over again whose acknowledgement died with the daemon."""

    kills: int
    acknowledged: int
    missing: int
    repeated_ce_ids: int
    repeated_numbers: int

    @property
    def good(self) -> bool:
        return self.acknowledged > 0 and self.missing == 0 and self.repeated_ce_ids == 0

    def __str__(self) -> str:
        return (
            f"{self.kills} kills; {self.acknowledged} readings acknowledged by the MQTT broker, {self.missing} of "
            f"them missing in Kafka, {self.repeated_ce_ids} duplicated by ce_id; "
            f"{self.repeated_numbers} payloads came twice because mosquitto delivered them twice"
        )


def kill(kills: int, readings: int, per_second: float, kafka: ApacheKafka | None = None) -> Outcome:
    """Publish at QoS 1 and kill the daemon at random moments, evenly spread."""
    with Farm(kafka) as farm, Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        farm.daemon.start().until_ready()
        sending = threading.Thread(
            target=publisher.publish_evenly, args=(0, readings, per_second, TOPICS), daemon=True
        )
        sending.start()
        for number in range(1, kills + 1):
            share = readings / (kills + 1)
            moment = share * number + random.uniform(-0.3, 0.3) * share
            while sending.is_alive() and publisher.sent < moment:
                time.sleep(0.002)
            farm.daemon.kill()
            farm.daemon.start()
        sending.join()
        acknowledged = set(publisher.wait_acked())
        farm.daemon.until_ready()
        there = farm.until_arrived(acknowledged)
        farm.daemon.stop()
    return Outcome(
        kills, len(acknowledged), len(there.missing(acknowledged)), there.repeated_ce_ids, there.repeated_numbers
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--readings", type=int, default=50_000)
    parser.add_argument("--per-second", type=float, default=2_500.0)
    given = parser.parse_args()
    outcome = kill(given.kills, given.readings, given.per_second)
    print(outcome)
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
