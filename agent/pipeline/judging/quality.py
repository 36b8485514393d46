"""The step `judge` of a batch: a column of doubts beside the readings, and the alerts about sensors that have any.

The rules are Q1 to Q5 in `agent/farm/quality`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from agent.events import Alert, AlertState, Severity
from agent.farm.quality import (
    PLAUSIBLE,
    RANGE,
    SAID,
    UNJUDGED,
    QualitySettings,
    SensorJudge,
    plausible,
    verdict_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.pipeline.alerts import Alerts
    from drivers import Reading

KINDS: Final = ("range", "fault")
"""The kinds of the alerts that are raised here: `bad` and `suspect`."""
CALM_S: Final = 300.0
_FRESH_S: Final = 600.0
"""A reading that was measured longer ago is of a backlog, and no sign of life."""
_MOST_FAULTS: Final = 10_000
_FORGOTTEN_S: Final = 86_400.0
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Judged:
    """A sensor that is judged or listened to. Without `settings` it is `unjudged`, and only listened to."""

    sensor_id: str
    sensor_type: str
    unit: str
    settings: QualitySettings | None = None
    neighbour: str | None = None
    low: float | None = None
    high: float | None = None
    """Its range, if it is only listened to and config has one; else that of its kind."""
    calm_s: float = CALM_S
    """Its alert ends after so long without a doubt."""


@dataclass(slots=True)
class _Fault:
    """An alert that is raised, when its sensor last had a doubt, and when it then had none (0: not yet)."""

    alert: Alert
    doubted_ns: int
    calm_s: float
    good_ns: int = 0


class Judgement:
    """Judges batches, and keeps what is known of each configured sensor."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self._wanted: dict[str, Judged] = {}
        self._faults: dict[tuple[str, str], _Fault] = {}
        self._faulty: dict[str, int] = {}
        """Sensors with an alert, and how many they have."""
        self.judges: dict[str, SensorJudge] = {}
        self.counts: dict[tuple[str, str], int] = {}
        """Doubted readings by quality and reason, for the metrics."""
        self.at_work: Callable[[str], bool] = lambda _: False
        """Whether a tank has a maintenance window now."""
        for alert in alerts.active():
            if alert.kind in KINDS:
                # Left by an earlier run: it ends as one of this run does.
                self._begin((alert.source, alert.kind), _Fault(alert, time.monotonic_ns(), CALM_S))

    def reconfigure(self, wanted: Sequence[Judged]) -> None:
        """Take new settings. A sensor whose settings stay the same keeps what was learned of it."""
        before, self._wanted = self._wanted, {one.sensor_id: one for one in wanted}
        self.judges = {
            one.sensor_id: self.judges[one.sensor_id] if before.get(one.sensor_id) == one else _judge_of(one)
            for one in wanted
        }
        for one in wanted:
            self.judges[one.sensor_id].neighbour = self.judges.get(one.neighbour) if one.neighbour else None

    def judge(self, readings: Sequence[Reading], now: datetime) -> list[int]:
        """The doubts about each reading, in their order (agent.farm.quality). The hot path."""
        judges, ranges, faulty = self.judges, PLAUSIBLE, self._faulty
        now_s = now.timestamp()
        fresh_s = now_s - _FRESH_S
        last = now
        at_s = now_s
        column: list[int] = []
        append = column.append
        for reading in readings:
            sensor_id, sensor_type, value, unit, _, _, at, _, received_ns, _, unusual = reading
            judge = judges.get(sensor_id)
            if judge is None:
                doubts = UNJUDGED
                kinds = ranges.get(sensor_type)
                if kinds is not None:
                    bounds = kinds.get(unit)
                    if bounds is not None and not bounds[0] <= value <= bounds[1]:
                        doubts = RANGE
            elif unusual is not None:
                doubts = self._unusual(judge, reading, now_s)
            else:
                if at is not last:
                    last, at_s = at, at.timestamp()
                doubts = judge.judge(value, at_s) or judge.calm
                if at_s >= fresh_s:
                    judge.seen_ns = received_ns
                    if doubts <= 0:
                        judge.good_ns = received_ns
            append(doubts)
            if doubts > 0 or (faulty and sensor_id in faulty):
                self._note(reading, doubts)
        return column

    def _unusual(self, judge: SensorJudge, reading: Reading, now_s: float) -> int:
        """A reading with something unusual about its time (Q5).

        Without a usable time, or with a device's clock that is wrong by a constant, it is of now.
        """
        unusual = reading.doubt
        if unusual is not None and not unusual.steady and (unusual.far or unusual.retained or unusual.queued):
            live = not (unusual.retained or unusual.queued)
            doubts = UNJUDGED if judge.low <= reading.value <= judge.high else RANGE
        else:
            live = True
            doubts = judge.judge(reading.value, now_s) or judge.calm
        if live:
            judge.seen_ns = reading.received_ns
            if doubts <= 0:
                judge.good_ns = reading.received_ns
        return doubts

    def _note(self, reading: Reading, doubts: int) -> None:
        sensor_id = reading.sensor_id
        if doubts <= 0:
            for kind in KINDS:
                fault = self._faults.get((sensor_id, kind))
                if fault is not None:
                    fault.good_ns = reading.received_ns
            return
        verdict = verdict_of(doubts)
        for reason in verdict.reasons:
            name = verdict.quality, reason
            self.counts[name] = self.counts.get(name, 0) + 1
        kind = "range" if doubts & RANGE else "fault"
        fault = self._faults.get((sensor_id, kind))
        if fault is not None:
            fault.doubted_ns, fault.good_ns = reading.received_ns, 0
            return
        if len(self._faults) >= _MOST_FAULTS or self.at_work(reading.tank_id):
            return
        known = self._wanted.get(sensor_id)
        said = ", ".join(SAID[reason] for reason in verdict.reasons)
        alert = Alert(
            alert_id=f"{sensor_id}/{kind}",
            state=AlertState.RAISED,
            severity=Severity.ALARM if kind == "range" else Severity.WARNING,
            kind=kind,
            source=sensor_id,
            text=f"probe suspected: {reading.sensor_type} in {reading.tank_id} {said}: "
            f"{reading.value:g} {reading.unit}",
            at=reading.at,
            site_id=reading.site_id,
            tank_id=reading.tank_id,
            value=reading.value,
            unit=reading.unit,
        )
        calm_s = known.calm_s if known is not None else CALM_S
        self._begin((sensor_id, kind), _Fault(alert, reading.received_ns, calm_s))
        self._alerts.say(alert)

    def look(self, now_ns: int) -> None:
        """End the alerts of sensors that have been without a doubt for long enough. Called every second."""
        over = {
            name: "is good again" if fault.good_ns else "has not been heard of for a day"
            for name, fault in self._faults.items()
            if now_ns - fault.doubted_ns >= (fault.calm_s if fault.good_ns else _FORGOTTEN_S) * _NS
        }
        for name, why in over.items():
            alert = self._faults.pop(name).alert
            self._faulty[name[0]] -= 1
            if not self._faulty[name[0]]:
                del self._faulty[name[0]]
            end = {"state": AlertState.CLEARED, "severity": Severity.INFO, "text": f"{name[0]} {why}", "value": None}
            self._alerts.say(alert.model_copy(update=end | {"at": datetime.now(UTC)}))

    def witness(self, sensor_id: str, low: float, high: float) -> bool:
        """Whether a neighbour without a doubt, that is heard of and moves, is within these limits (Q4)."""
        judge = self.judges.get(sensor_id)
        other = judge.neighbour if judge is not None else None
        if other is None or other.good_ns is None or other.doubts > 0 or not other.moved():
            return False
        age_s = (time.monotonic_ns() - other.good_ns) / _NS
        return age_s <= other.settings.max_age_s and low <= other.value <= high

    def _begin(self, name: tuple[str, str], fault: _Fault) -> None:
        self._faults[name] = fault
        self._faulty[name[0]] = self._faulty.get(name[0], 0) + 1


def _judge_of(one: Judged) -> SensorJudge:
    settings = one.settings
    if settings is None:
        low, high = plausible(one.sensor_type, one.unit)
        low, high = low if one.low is None else one.low, high if one.high is None else one.high
        return SensorJudge(QualitySettings(low=low, high=high), UNJUDGED)
    return SensorJudge(settings)
