"""What judgement costs a reading: the same batches through an intake with it and without. `make bench-judging`.

150 sensors, all judged by range, rate, stuck, spike, scatter and neighbour, in batches as they come. CPU time of
`take`, without the log on both sides; the two in turns, the least of several rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from math import sin
from typing import TYPE_CHECKING

from agent.events import Encoder
from agent.farm.quality import QualitySettings
from agent.pipeline import Alerts, Intake, Outbox
from agent.pipeline.judging import Judged, Judgement
from drivers import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.values import Envelope

_SENSORS = 150
_READINGS = 12_000
_ROUNDS = 9


class Nowhere(Outbox):
    """Takes everything and keeps nothing: what the log costs is not asked here."""

    def __init__(self) -> None:
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done.set_result(None)

    def post(self, envelopes: Sequence[Envelope], receipts: Sequence[tuple[str, bytes]] = ()) -> asyncio.Future[None]:
        del envelopes, receipts
        return self._done


def intake(*, on: bool) -> Intake:
    """With all checks, or with none and no look at ranges."""
    outbox, encoder = Nowhere(), Encoder("gw-1", "site")
    alerts = Alerts(outbox, encoder)
    judgement = Judgement(alerts) if on else None
    if judgement is not None:
        settings = QualitySettings(
            low=0, high=20, rate_per_minute=60, stuck_s=3_600, spike=30, scatter=30, tolerance=2
        )
        judgement.reconfigure(
            [
                Judged(f"t_oxygen_{number}", "oxygen", "mg/L", settings, f"t_oxygen_{number ^ 1}")
                for number in range(_SENSORS)
            ]
        )
    return Intake(outbox, alerts, encoder, lambda *_: None, judgement=judgement)


def batches(size: int, number: int) -> list[list[Reading]]:
    """One round's readings with times of their devices."""
    began = datetime.now(UTC) - timedelta(seconds=300)
    readings = []
    for place in range(_READINGS):
        sensor, turn = place % _SENSORS, (number * _READINGS + place) // _SENSORS
        value = round(8 + sin(turn / 400) * 0.3 + (turn * 7 % 5) * 0.01, 3)
        at = began + timedelta(milliseconds=turn * 200 + sensor)
        received_ns = time.monotonic_ns()
        readings.append(Reading(f"t_oxygen_{sensor}", "oxygen", value, "mg/L", "t", "site", at, True, received_ns))
    return [readings[first : first + size] for first in range(0, _READINGS, size)]


async def measure(size: int) -> tuple[float, float]:
    """Microseconds of CPU a reading, without and with judgement."""
    both = {on: intake(on=on) for on in (False, True)}
    least = {on: float("inf") for on in both}
    for number in range(_ROUNDS):
        made = batches(size, number)
        for on in (False, True) if number % 2 else (True, False):
            take = both[on].take
            began = time.process_time()
            for batch in made:
                take(batch)
            least[on] = min(least[on], (time.process_time() - began) / _READINGS * 1e6)
            await asyncio.sleep(0)
    return least[False], least[True]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_judging", description=__doc__)
    parser.parse_args()
    print("| readings a batch | off, µs | on, µs | more, µs |")
    print("|---:|---:|---:|---:|")
    for size in (1, 5, 40, 400):
        off, on = asyncio.run(measure(size))
        print(f"| {size} | {off:.2f} | {on:.2f} | {on - off:.2f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
