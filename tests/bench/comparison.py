"""This gateway beside others and beside itself, with the same load in the same rounds."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from tests.bench import bare_subscriber, others, rates
from tests.bench.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_READINGS = 300_000


@dataclass(slots=True)
class Rounds:
    """What each program did with the same load in the same rounds; the best of each counts."""

    found: dict[str, list[rates.Rate]] = field(default_factory=dict)

    def add(self, name: str, measure: Callable[[], rates.Rate]) -> None:
        try:
            self.found.setdefault(name, []).append(measure())
        except (OSError, subprocess.SubprocessError) as fault:
            print(f"{name} cannot be run here: {fault}", file=sys.stderr, flush=True)

    def per_second(self, name: str) -> float:
        return max((one.per_second for one in self.found.get(name, [])), default=0.0)

    def cpu_us(self, name: str) -> float:
        return min((one.cpu_us for one in self.found.get(name, [])), default=math.inf)

    def rows(self, load: str, promises: Mapping[str, str]) -> list[Row]:
        rows = []
        for name, found in self.found.items():
            rate_ratio = self.per_second(name) / self.per_second(_OURS)
            cpu_ratio = self.cpu_us(name) / self.cpu_us(_OURS)
            missing, repeated = sum(one.missing for one in found), sum(one.repeated for one in found)
            rows.append(
                Row(
                    f"in the same rounds, {load}: {name}",
                    f"{self.per_second(name):,.0f} readings/s ({rate_ratio:.2f}), "
                    f"{self.cpu_us(name):.1f} µs CPU each ({cpu_ratio:.2f})",
                    "",
                    None,
                    f"{missing} missing, {repeated} duplicated{'; ' * (name in promises)}{promises.get(name, '')}",
                )
            )
        return rows


_OURS = "Tidegate"
_ONE_FIELD = "Tidegate, one field, no time, five sensors"
_ROUNDS = 2
_PROMISES = {
    _OURS: "acknowledges after fsync; on disk before it leaves; once each in Kafka, in order, over kills and outages",
    others.MQ_BRIDGE.name: others.MQ_BRIDGE.promises,
    others.PLAIN.name: others.PLAIN.promises,
}
BEFORE_TREE: list[Path] = []
"""An earlier, built checkout that is measured in the same rounds (`--before TREE`)."""


def compare() -> list[Row]:
    """Rounds by turns, so that other load on the machine meets all alike; the better of each."""
    beside_them, waiting_there = Rounds(), Rounds()
    ceilings = [bare_subscriber.ceiling(_READINGS)]
    for _ in range(_ROUNDS):
        for rounds, measure, waits in (
            (beside_them, rates.beside_publisher, False),
            (waiting_there, rates.waiting_session, True),
        ):
            rounds.add(_OURS, partial(measure, _READINGS))
            rounds.add(others.MQ_BRIDGE.name, partial(others.mq_bridge, others.MQ_BRIDGE.readings, waiting=waits))
            rounds.add(_ONE_FIELD, partial(measure, _READINGS, sent=rates.ONE_FIELD))
            for tree in BEFORE_TREE:
                executable = tree.resolve() / ".venv" / "bin" / "tidegate"
                rounds.add("Tidegate before", partial(measure, _READINGS, executable=executable))
        ceilings.append(bare_subscriber.ceiling(_READINGS))
    beside_them.add(others.PLAIN.name, partial(others.plain, others.PLAIN.readings))
    ceiling = max(ceilings, key=lambda one: one.per_second)
    return [
        *beside_them.rows("beside the same publisher", _PROMISES),
        _beside_nobody(ceiling, beside_them.per_second(_OURS)),
        *waiting_there.rows("from a waiting session", _PROMISES),
        *_ratios(beside_them, waiting_there, ceiling.per_second),
    ]


def _ratios(beside_them: Rounds, waiting_there: Rounds, ceiling: float) -> list[Row]:
    theirs, rows = others.MQ_BRIDGE.name, []

    def row(what: str, ratio: float, bound: float, *, most: bool = False) -> None:
        holds = ratio <= bound if most else ratio >= bound
        rows.append(Row(what, f"{ratio:.2f}", f"{'≤' if most else '≥'} {bound}", holds))

    row(
        "readings/s beside a publisher, to a subscriber that only reads",
        beside_them.per_second(_OURS) / ceiling,
        0.85,
    )
    one_field = beside_them.cpu_us(_OURS) / beside_them.cpu_us(_ONE_FIELD)
    row("CPU a reading beside a publisher, to that with one field", one_field, 1.3, most=True)
    if theirs in beside_them.found and theirs in waiting_there.found:
        faster = beside_them.per_second(_OURS) / beside_them.per_second(theirs)
        row("readings/s beside a publisher, to mq-bridge's", faster, 1.15)
        row("CPU a reading, to mq-bridge's", beside_them.cpu_us(_OURS) / beside_them.cpu_us(theirs), 0.5, most=True)
        faster = waiting_there.per_second(_OURS) / waiting_there.per_second(theirs)
        row("readings/s from a waiting session, to mq-bridge's", faster, 1.5)
    return rows


def _beside_nobody(found: bare_subscriber.Ceiling, ours: float) -> Row:
    ratio = found.per_second / ours
    return Row(
        "in the same rounds, beside the same publisher: a subscriber that only reads and acknowledges; no Kafka runs",
        f"{found.per_second:,.0f} readings/s ({ratio:.2f})",
        "",
        None,
        f"what mosquitto itself can give here, at {found.broker_share:.0%} of one core; throws all away",
    )
