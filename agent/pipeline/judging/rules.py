"""The unit with a clock of its own: what happens when nothing comes, and where values go.

A5  A sensor that is not heard of for `silent_after_s` is silent. A tank of which no watched oxygen sensor has given a
    good reading for `unwatched_after_s` is unwatched, an alarm of its own.
A6  While the MQTT connections that can bring a sensor are down, its silence is theirs: one alert, `mqtt/NAME/away`.
    Once a connection has served for a while since the sensor was last heard of, A5 holds again.
A7  A value that will cross its limit within `forecast_s`, by its trend and its usual day, raises `forecast`; one that
    changes faster than `fall_per_hour` or `rise_per_hour`, `trend`. Both end at once when the limit's own alarm is
    raised: one incident.
A8  An alert that nobody acknowledges within `escalate_after_s` is sent again as an alarm, once. A snooze puts that
    off.
A9  In a maintenance window of a tank nothing but its limits raises an alert, and those a warning, which is an alarm
    if it still holds when the window ends.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from agent.events import Alert, AlertState, Severity
from agent.farm.rules import Change, Condition, Escalation, Forecast, Window, is_open
from agent.pipeline.times import spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.farm.quality import SensorJudge
    from agent.pipeline.alerts import Alerts
    from agent.pipeline.judging.quality import Judgement

KINDS: Final = ("silent", "unwatched", "forecast", "trend")
"""The kinds of the alerts that are raised here."""
_EVERY_S: Final = 1.0
_SETTLES_S: Final = 60.0
"""A connection that is back is given so long to bring what has waited."""
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rule:
    """The rules of one sensor; None: not this one. Limits are those of the sensor."""

    sensor_id: str
    sensor_type: str
    unit: str
    tank_id: str
    low: float | None = None
    high: float | None = None
    silent_after_s: float | None = None
    unwatched_after_s: float | None = None
    fall_per_hour: float | None = None
    rise_per_hour: float | None = None
    forecast_s: float | None = None
    trend_s: float = 1_200.0
    hold_off_s: float = 60.0
    clear_after_s: float = 300.0
    connections: frozenset[str] = frozenset()
    """The MQTT connections that can bring the sensor."""

    def alert_ids(self) -> set[str]:
        """The alerts that it may raise."""
        found = {f"{self.sensor_id}/silent": self.silent_after_s, f"{self.sensor_id}/forecast": self.forecast_s}
        found[f"{self.tank_id}/unwatched"] = self.unwatched_after_s
        trends = (one for one in (self.fall_per_hour, self.rise_per_hour) if one is not None)
        found[f"{self.sensor_id}/trend"] = next(trends, None)
        return {alert_id for alert_id, wanted in found.items() if wanted is not None}


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All rules of a configuration. `zone` is that of daily windows."""

    rules: tuple[Rule, ...] = ()
    windows: tuple[Window, ...] = ()
    zone: str = "UTC"
    escalate_after_s: float | None = None


@dataclass(slots=True)
class _Watched:
    """What is known of a sensor with rules."""

    rule: Rule
    conditions: dict[str, Condition]
    forecast: Forecast
    fed_s: float = 0.0
    seen_ns: int | None = None
    served_s: float = 0.0
    """For how long its connections had served when it was last heard of."""


class RuleWatch:
    """Looks every second at what the judgement knows of the sensors. Reads memory only."""

    def __init__(
        self, judgement: Judgement, alerts: Alerts, site_id: str, connected: Callable[[], Mapping[str, bool]]
    ) -> None:
        """`connected` says of each MQTT connection whether it serves now."""
        self._judgement = judgement
        self._alerts = alerts
        self._site_id = site_id
        self._connected = connected
        self._book = RuleBook()
        self._zone = ZoneInfo("UTC")
        self._watched: dict[str, _Watched] = {}
        self._tanks: dict[str, Condition] = {}
        self._served_s: dict[str, float] = {}
        self._looked_s: float | None = None
        self._started_s = time.monotonic()
        self._escalation = Escalation()
        self.also: Callable[[], None] = lambda: None
        """What else is to be looked at every second."""

    def reconfigure(self, book: RuleBook) -> None:
        """Take new rules. A sensor whose rules stay the same keeps its state."""
        self._book, self._zone = book, ZoneInfo(book.zone)
        self._escalation.after_s = book.escalate_after_s
        before = self._watched
        self._watched = {}
        for rule in book.rules:
            known = before.get(rule.sensor_id)
            if known is None or known.rule != rule:
                conditions = {
                    "silent": Condition(),
                    "forecast": Condition(rule.hold_off_s, rule.clear_after_s),
                    "trend": Condition(rule.hold_off_s, rule.clear_after_s),
                }
                known = _Watched(rule, conditions, Forecast(rule.trend_s))
            self._watched[rule.sensor_id] = known
        tanks = {rule.tank_id for rule in book.rules if rule.unwatched_after_s is not None}
        self._tanks = {tank: self._tanks.get(tank) or Condition() for tank in tanks}

    def alert_ids(self) -> set[str]:
        """The alerts that these rules may raise."""
        return {alert_id for rule in self._book.rules for alert_id in rule.alert_ids()}

    def at_work(self, tank_id: str) -> bool:
        """Whether a tank has a maintenance window now (A9)."""
        windows = self._book.windows
        return bool(windows) and is_open(windows, tank_id, datetime.now(self._zone))

    def acknowledge(self, alert_id: str, by: str, snooze_s: float | None = None) -> bool:
        """Somebody has seen an alert; whether there is such a one. A snooze only puts its escalation off."""
        if alert_id not in {alert.alert_id for alert in self._alerts.active()}:
            return False
        self._escalation.acknowledge(alert_id, time.monotonic(), snooze_s)
        if snooze_s is None:
            self._alerts.acknowledge(alert_id, by)
        return True

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(_EVERY_S)

    def look(self, now_s: float) -> None:
        """Compare with the last look, and tell what is new. `now_s` are monotonic seconds."""
        passed_s = 0.0 if self._looked_s is None else now_s - self._looked_s
        self._looked_s = now_s
        connected = self._connected()
        self._served_s = {
            name: self._served_s.get(name, 0.0) + (passed_s if up else 0.0) for name, up in connected.items()
        }
        self._judgement.look(int(now_s * _NS))
        for watched in self._watched.values():
            judge = self._judgement.judges.get(watched.rule.sensor_id)
            if judge is None:
                continue
            self._silence(watched, judge, now_s)
            self._course(watched, judge, now_s)
        for tank_id, condition in self._tanks.items():
            self._unwatched(tank_id, condition, now_s)
        self.also()
        raised = ((alert.alert_id, alert.acknowledged_by is not None) for alert in self._alerts.active())
        for alert_id in self._escalation.due(raised, now_s):
            self._alerts.escalate(alert_id)

    def _served(self, rule: Rule) -> float:
        return max((self._served_s.get(name, 0.0) for name in rule.connections), default=0.0)

    def _theirs(self, watched: _Watched, after_s: float) -> bool:
        """Whether a silence is that of the connections (A6)."""
        rule = watched.rule
        if not rule.connections:
            return False
        return self._served(rule) - watched.served_s < min(after_s, _SETTLES_S)

    def _silence(self, watched: _Watched, judge: SensorJudge, now_s: float) -> None:
        rule = watched.rule
        if judge.seen_ns != watched.seen_ns:
            watched.seen_ns, watched.served_s = judge.seen_ns, self._served(rule)
        if rule.silent_after_s is None:
            return
        since_s = self._started_s if judge.seen_ns is None else judge.seen_ns / _NS
        holds: bool | None = now_s - since_s >= rule.silent_after_s
        if judge.seen_ns is None and not holds:
            holds = None
        if holds and self._theirs(watched, rule.silent_after_s):
            holds = None
        text = f"{rule.sensor_type} in {rule.tank_id} is silent: nothing has come from {rule.sensor_id} for "
        text += spoken(now_s - since_s)
        ended = f"{rule.sensor_id} is heard of again"
        self._judge(watched, "silent", now_s, holds=holds, text=text, ended=ended)

    def _unwatched(self, tank_id: str, condition: Condition, now_s: float) -> None:
        """The newest good reading of any of its sensors counts, and the shortest time that a rule gives."""
        all_watched = [
            one
            for one in self._watched.values()
            if one.rule.tank_id == tank_id and one.rule.unwatched_after_s is not None
        ]
        after_s = min(one.rule.unwatched_after_s or 0.0 for one in all_watched)
        judges = [self._judgement.judges[one.rule.sensor_id] for one in all_watched]
        good_ns = max((judge.good_ns for judge in judges if judge.good_ns is not None), default=None)
        since_s = self._started_s if good_ns is None else good_ns / _NS
        holds: bool | None = now_s - since_s >= after_s
        if good_ns is None and not holds:
            holds = None
        if holds and all(self._theirs(one, after_s) for one in all_watched):
            holds = None
        text = f"{tank_id} is unwatched: no good oxygen reading for {spoken(now_s - since_s)}; look at fish and probe"
        change = self._change(condition, tank_id, now_s, holds=holds)
        if change is not None:
            severity = Severity.ALARM if change is Change.RAISED else None
            ended = f"{tank_id} has good oxygen readings again"
            self._say(f"{tank_id}/unwatched", "unwatched", severity, tank_id, tank_id, text if severity else ended)

    def _course(self, watched: _Watched, judge: SensorJudge, now_s: float) -> None:
        """Trend and forecast (A7)."""
        rule, forecast = watched.rule, watched.forecast
        if rule.forecast_s is None and rule.fall_per_hour is None and rule.rise_per_hour is None:
            return
        if judge.doubts <= 0 and judge.at_s > watched.fed_s and judge.good_ns is not None:
            watched.fed_s = judge.at_s
            forecast.add(judge.value, judge.at_s)
        over = (rule.low is not None and judge.value < rule.low) or (
            rule.high is not None and judge.value > rule.high
        )
        fresh = judge.good_ns is not None and now_s - judge.good_ns / _NS <= judge.settings.max_age_s
        known = fresh and forecast.trend.settled
        an_hour = forecast.trend.per_s * 3_600
        if rule.forecast_s is not None:
            ahead_s = forecast.crosses_in_s(rule.low, rule.high, watched.fed_s, rule.forecast_s) if known else None
            if over:
                self._end(watched, "forecast", "the limit is crossed")
            else:
                self._forecast(watched, judge, ahead_s, now_s, known=known)
        fast = (rule.fall_per_hour is not None and an_hour < -rule.fall_per_hour) or (
            rule.rise_per_hour is not None and an_hour > rule.rise_per_hour
        )
        if over:
            self._end(watched, "trend", "the limit is crossed")
            return
        verb = "falls" if an_hour < 0 else "rises"
        text = f"{rule.sensor_type} in {rule.tank_id} {verb} {abs(an_hour):.3g} {rule.unit} an hour"
        text += f": {judge.value:g} {rule.unit}"
        ended = f"{rule.sensor_type} in {rule.tank_id} no longer changes fast"
        self._judge(watched, "trend", now_s, holds=fast if known else None, text=text, ended=ended)

    def _forecast(
        self, watched: _Watched, judge: SensorJudge, ahead_s: float | None, now_s: float, *, known: bool
    ) -> None:
        rule = watched.rule
        falls = watched.forecast.trend.per_s < 0
        side, bound = (
            ("below", rule.low) if rule.high is None or (falls and rule.low is not None) else ("above", rule.high)
        )
        text = ""
        if ahead_s is not None and bound is not None:
            text = (
                f"{rule.sensor_type} in {rule.tank_id} will be {side} {bound:g} {rule.unit} in about "
                f"{spoken(ahead_s)}: {judge.value:g} {rule.unit} now"
            )
        ended = f"{rule.sensor_type} in {rule.tank_id} is no longer on its way to a limit"
        holds = (ahead_s is not None) if known else None
        self._judge(watched, "forecast", now_s, holds=holds, text=text, ended=ended)

    def _judge(
        self, watched: _Watched, kind: str, now_s: float, *, holds: bool | None, text: str, ended: str
    ) -> None:
        rule = watched.rule
        change = self._change(watched.conditions[kind], rule.tank_id, now_s, holds=holds)
        if change is not None:
            severity = Severity.WARNING if change is Change.RAISED else None
            alert_id = f"{rule.sensor_id}/{kind}"
            self._say(alert_id, kind, severity, rule.sensor_id, rule.tank_id, text if severity else ended)

    def _end(self, watched: _Watched, kind: str, why: str) -> None:
        rule = watched.rule
        if watched.conditions[kind].end() is not None:
            self._say(f"{rule.sensor_id}/{kind}", kind, None, rule.sensor_id, rule.tank_id, why)

    def _change(self, condition: Condition, tank_id: str, now_s: float, *, holds: bool | None) -> Change | None:
        """In a maintenance window nothing is raised (A9)."""
        if holds and not condition.raised and self.at_work(tank_id):
            return None
        return condition.look(now_s, holds=holds)

    def _say(  # noqa: PLR0917 - the fields of an alert
        self, alert_id: str, kind: str, severity: Severity | None, source: str, tank_id: str, text: str
    ) -> None:
        self._alerts.say(
            Alert(
                alert_id=alert_id,
                state=AlertState.CLEARED if severity is None else AlertState.RAISED,
                severity=severity or Severity.INFO,
                kind=kind,
                source=source,
                text=text,
                at=datetime.now(UTC),
                site_id=self._site_id,
                tank_id=tank_id,
            )
        )
