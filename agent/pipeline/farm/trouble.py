"""Technical trouble beside farm figures on one time line: sensors that were silent, and fish that died (G8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from agent.events import Severity, SystemEvent, SystemEventKind
from agent.farm.correlation import Together, together
from agent.farm.stock.tally import tally

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.farm.stock.events import Cycle
    from agent.pipeline.farm.settings import FarmSettings, TankSettings

_DAYS: Final = 90
_DAY_MINUTES: Final = 24 * 60


def dead_by_day(cycle: Cycle, now: datetime, settings: FarmSettings) -> dict[int, float]:
    """Mortality rate of each of the last 90 days that are over, by day number."""
    found = tally(cycle, now, settings.zone)
    today = now.astimezone(settings.zone).date()
    return {
        day.toordinal(): one.dead / max(1, one.at_start)
        for day, one in found.days.items()
        if timedelta(0) < today - day <= timedelta(days=_DAYS)
    }


def silent_by_day(seen: Mapping[int, int], first: int, settings: FarmSettings) -> dict[int, float]:
    """Minutes without a value of each day from the first hour on, by day number, from the minutes seen by hour."""
    days: dict[int, float] = {}
    for hour in range(first, max(seen, default=first - 1) + 1):
        day = datetime.fromtimestamp(hour * 3600, settings.zone).date().toordinal()
        days[day] = days.get(day, float(_DAY_MINUTES)) - seen.get(hour, 0)
    return {day: max(0.0, silent) for day, silent in days.items()}


def said(tank: TankSettings, sensor_id: str, found: Together, now: datetime) -> SystemEvent:
    """What goes upstream; it names both sides, and no cause."""
    later = "the same day" if found.lag_days == 0 else f"{found.lag_days} days later"
    text = (
        f"{sensor_id} was silent for longer together with a higher mortality in {tank.tank_id} {later}: rank "
        f"correlation {found.rho:.2f} ({found.low:.2f} to {found.high:.2f}) over {found.n} days"
    )
    return SystemEvent(
        event=SystemEventKind.TOGETHER_WITH,
        severity=Severity.INFO,
        source=tank.tank_id,
        text=text,
        at=now.astimezone(UTC),
        data={
            "tank_id": tank.tank_id,
            "figure": "mortality_rate_day",
            "technical": f"{sensor_id} silent",
            "rho": round(found.rho, 3),
            "low": round(found.low, 3),
            "high": round(found.high, 3),
            "n": found.n,
            "lag_days": found.lag_days,
        },
    )


def look(
    tank: TankSettings,
    cycle: Cycle,
    seen: Mapping[str, Mapping[int, int]],
    settings: FarmSettings,
    now: datetime,
) -> list[SystemEvent]:
    """Every sensor of a tank against its mortality; `seen` has the minutes with a value, by sensor and hour."""
    dead = dead_by_day(cycle, now, settings)
    # Before the cycle began, nobody may have looked at the sensors.
    first = int(max(cycle.begun, now - timedelta(days=_DAYS)).timestamp() // 3600) + 1
    events = []
    for sensor_id, hours in seen.items():
        found = together(silent_by_day(hours, first, settings), dead, comparisons=max(1, len(seen)))
        if found is not None:
            events.append(said(tank, sensor_id, found, now))
    return events
