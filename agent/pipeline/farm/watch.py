"""Alerts on figures: mortality over 30 days, mortality of a day against the usual, the water-quality score."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from agent.events import Alert, AlertState, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.farm.figure import Figure
    from agent.pipeline.alerts import Alerts
    from agent.pipeline.farm.settings import FarmSettings
    from agent.pipeline.farm.tank import TankFigures

KINDS: Final = ("mortality", "mortality_day", "water_score")


class _Rule(NamedTuple):
    kind: str
    figure: str
    limit: float | None
    above: bool
    text: str


class FigureWatch:
    """Raises and clears; says nothing of a figure that has no value."""

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts

    def look(self, tanks: Iterable[TankFigures], settings: FarmSettings) -> None:
        """Judge the newest figures. What can be judged no more, since its tank or limit is gone, is cleared."""
        rules = (
            _Rule("mortality", "mortality_rolling", settings.mortality_alert_percent, True, "mortality over 30 days"),
            _Rule(
                "mortality_day",
                "mortality_times_usual",
                settings.mortality_alert_times,
                True,
                "mortality today, against the 14 days before,",
            ),
            _Rule("water_score", "water_score", settings.score_alert, False, "the water-quality score of 7 days"),
        )
        possible = set()
        for tank in tanks:
            for rule in rules:
                found = tank.get(rule.figure)
                if rule.limit is None or found is None or tank.cycle_began is None:
                    continue
                alert_id = f"{tank.tank_id}/{rule.kind}"
                possible.add(alert_id)
                if found.value is not None:
                    self._judge(alert_id, rule, rule.limit, found, tank.tank_id, settings.site_id)
        self._alerts.end_others(KINDS, possible, "the tank or the limit is gone")

    def _judge(  # noqa: PLR0917 - the parts of one alert
        self, alert_id: str, rule: _Rule, limit: float, found: Figure, tank_id: str, site_id: str
    ) -> None:
        value = found.value or 0.0
        raised = value > limit if rule.above else value < limit
        unit = "" if found.unit == "1" else f" {found.unit}"
        verb = "is" if raised else "is no longer"
        side = "above" if rule.above else "below"
        self._alerts.say(
            Alert(
                alert_id=alert_id,
                state=AlertState.RAISED if raised else AlertState.CLEARED,
                severity=Severity.WARNING if raised else Severity.INFO,
                kind=rule.kind,
                source=tank_id,
                text=f"{rule.text} in {tank_id} {verb} {side} {limit:g}{unit}: {value:.3g}{unit}",
                at=datetime.now(UTC),
                site_id=site_id,
                tank_id=tank_id,
                value=value,
                unit=found.unit,
                limit=limit,
            )
        )
