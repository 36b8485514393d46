"""Kafka away for a minute under load: nothing lost, memory flat, the backlog drained soon after its return."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from dataclasses import dataclass

from tests.support.farm import TOPICS, Farm
from tests.support.publisher import Publisher

_MIB = 1024 * 1024
FLAT_BYTES = 24 * _MIB
"""Less than the records of an outage would take if they were kept in memory; more than an allocator's noise."""
DRAINED_S = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Memory is PSS over all processes, in bytes: under load before, half through, at the end, and while draining."""

    outage_s: float
    backlog: int
    acknowledged: int
    missing: int
    repeated_ce_ids: int
    memory_before: int
    memory_half: int
    memory_end: int
    memory_draining: int
    drained_s: float

    @property
    def delivered(self) -> bool:
        return self.acknowledged > 0 and self.missing == 0 and self.repeated_ce_ids == 0

    @property
    def good(self) -> bool:
        most = max(self.memory_end, self.memory_draining)
        flat = most - self.memory_before <= FLAT_BYTES and self.memory_end <= 1.1 * self.memory_half
        return self.delivered and flat and self.drained_s <= DRAINED_S

    def __str__(self) -> str:
        return (
            f"Kafka away for {self.outage_s:.0f} s: backlog of {self.backlog} records drained {self.drained_s:.1f} s "
            f"after its return (bound {DRAINED_S:.0f} s); of {self.acknowledged} acknowledged readings "
            f"{self.missing} missing, {self.repeated_ce_ids} duplicated; "
            f"memory {self.memory_before / _MIB:.0f} MiB before, {self.memory_half / _MIB:.0f} MiB half through, "
            f"{self.memory_end / _MIB:.0f} MiB at its end, {self.memory_draining / _MIB:.0f} MiB after draining "
            f"(bound +{FLAT_BYTES / _MIB:.0f} MiB, and a tenth from half to end)"
        )


def outage(outage_s: float, per_second: float) -> Outcome:
    """Stop Kafka in an orderly way while readings come; start it again on its data while they still come."""
    with Farm() as farm, Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        daemon = farm.daemon.start()
        daemon.until_ready()
        ended = threading.Event()
        arguments = (0, 10_000_000, per_second, TOPICS, ended)
        sending = threading.Thread(target=publisher.publish_evenly, args=arguments, daemon=True)
        sending.start()
        try:
            daemon.until(lambda: daemon.total("tidegate_log_delivered_records_total") > per_second, "delivering")
            before = daemon.memory_bytes()
            farm.kafka.stop()
            time.sleep(outage_s / 2)
            half = daemon.memory_bytes()
            time.sleep(outage_s / 2)
            end = daemon.memory_bytes()
            backlog = int(daemon.total("tidegate_log_depth_records"))
            farm.kafka.start()
            returned = time.monotonic()
            # Readings still come: drained means that what waits is no older than what is always under way.
            daemon.until(
                lambda: daemon.total("tidegate_log_depth_records") < per_second, "drained", max(60.0, outage_s)
            )
            drained_s = time.monotonic() - returned
            draining = daemon.memory_bytes()
        finally:
            ended.set()
            sending.join()
        acknowledged = set(publisher.wait_acked())
        there = farm.until_arrived(acknowledged)
        daemon.stop()
    return Outcome(
        outage_s,
        backlog,
        len(acknowledged),
        len(there.missing(acknowledged)),
        there.repeated_ce_ids,
        before,
        half,
        end,
        draining,
        drained_s,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--per-second", type=float, default=2_000.0)
    given = parser.parse_args()
    outcome = outage(given.seconds, given.per_second)
    print(outcome)
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
