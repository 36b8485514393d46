"""All figures of one tank at a moment: stock, water quality, uptime, lice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from agent.farm.figure import Figure, Formula, Input, NoValue
from agent.farm.stock import lice
from agent.farm.stock.events import cycles
from agent.farm.stock.figures import Surroundings, stock_figures
from agent.farm.water import score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from agent.farm.stock.events import StockEvent
    from agent.pipeline.farm.hours import Hours
    from agent.pipeline.farm.settings import FarmSettings, TankSettings

SCORE_HOURS: Final = 7 * 24
UPTIME_HOURS: Final = 24
_LIMITING_H: Final = 2
_COMPLIANCE: Final = Formula(
    "share of the hourly medians of the last 7 days within their objectives", "100 - F2 of CCME WQI"
)
_UPTIME: Final = Formula(
    "minutes with a value of the last 24 hours, of the sensor with the fewest, as a share of all", "own definition"
)
_LICE_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TankFigures:
    """The figures of a tank; `tank_id` is empty for those of the whole site. `cycle_began` is None if it is empty."""

    tank_id: str
    species: str
    cycle_began: datetime | None
    figures: tuple[Figure, ...]

    def get(self, name: str) -> Figure | None:
        """A figure by its name."""
        return next((one for one in self.figures if one.name == name), None)


@dataclass(frozen=True, slots=True)
class Basis:
    """What figures are made of besides events: hourly medians, settings, the tank's daily mean temperatures."""

    hours: Hours
    settings: FarmSettings
    temperatures: Mapping[date, float]


def tank_figures(tank: TankSettings, events: Sequence[StockEvent], basis: Basis, until: datetime) -> TankFigures:
    """Every figure of a tank, by events in force, as of a moment. A tank that never had fish has only its water's."""
    current = cycles((event for event in events if event.at <= until), tank.tank_id)[-1:]
    figures: list[Figure] = []
    species, began = tank.species, None
    for cycle in current:
        around = Surroundings(basis.temperatures, tank.temperature)
        figures += stock_figures(cycle, until, basis.settings.zone, around)
        species, began = cycle.species or species, cycle.begun if cycle.closed is None else None
    if tank.variables:
        figures += _water(tank, basis.hours, until)
    counted = [event for event in events if event.kind == "lice_count" and event.tank_id == tank.tank_id]
    if counted:
        figures.append(_lice(counted, until))
    return TankFigures(tank.tank_id, species, began, tuple(figures))


def site_figures(events: Sequence[StockEvent], settings: FarmSettings, until: datetime) -> TankFigures | None:
    """Figures over all tanks: sea lice against the limit; None where none are counted."""
    counted = [event for event in events if event.kind == "lice_count"]
    if not counted:
        return None
    found = _lice(counted, until)
    return TankFigures("", "", None, (found, _margin(found, counted, settings, until)))


def _water(tank: TankSettings, hours: Hours, until: datetime) -> list[Figure]:
    this_hour = int((until.timestamp() + 1) // 3600)
    objectives = {one.sensor_id: one.objective for one in tank.variables}
    medians = {name: hours.medians(name, this_hour - SCORE_HOURS, this_hour) for name in objectives}
    tests = {name: list(found.values()) for name, found in medians.items()}
    newest = {
        name: found[max(found)] for name, found in medians.items() if found and max(found) >= this_hour - _LIMITING_H
    }
    inputs = tuple(Input(name, float(len(values)), "hours", name) for name, values in tests.items())
    figures = []
    margin: float | None = None
    try:
        worst, margin = score.limiting(newest, objectives)
        limiting = Figure(
            "limiting_margin",
            100 * margin,
            "%",
            score.LIMITING,
            tuple(Input(name, value, "", name) for name, value in newest.items()),
            notes=(f"{worst} is the limiting factor",),
        )
    except NoValue as why:
        limiting = Figure("limiting_margin", None, "%", score.LIMITING, reason=str(why))
    try:
        found = score.wqi(tests, objectives)
        grade = score.grade(found.score, margin)
        figures += [
            Figure("water_score", found.score, "1", score.SCORE, inputs, notes=(grade,)),
            Figure("water_compliance", 100 - found.f2, "%", _COMPLIANCE, inputs),
        ]
    except NoValue as why:
        figures += [
            Figure("water_score", None, "1", score.SCORE, inputs, str(why)),
            Figure("water_compliance", None, "%", _COMPLIANCE, inputs, str(why)),
        ]
    shares = {
        name: 100 * hours.seen(name, this_hour - UPTIME_HOURS, this_hour) / (60 * UPTIME_HOURS)
        for name in tank.sensors
    }
    uptime = Figure(
        "uptime_day",
        min(shares.values()),
        "%",
        _UPTIME,
        tuple(Input(name, share, "%", name) for name, share in shares.items()),
    )
    return [*figures, limiting, uptime]


def _of_the_week(counted: Sequence[StockEvent], until: datetime) -> dict[str, StockEvent]:
    """The last lice count of each pen in the last 7 days."""
    return {event.tank_id: event for event in counted if until - _LICE_WEEK < event.at <= until}


def _lice(counted: Sequence[StockEvent], until: datetime) -> Figure:
    by_pen = _of_the_week(counted, until)
    counts = [lice.LiceCount(event.tank_id, event.fish, event.adult_females) for event in by_pen.values()]
    inputs = tuple(Input(one.tank_id, one.adult_females / one.fish, "1", by_pen[one.tank_id].id) for one in counts)
    try:
        found = lice.mean_of(counts)
    except NoValue:
        return Figure("lice", None, "1", lice.LICE, reason="no lice were counted in the last 7 days")
    note = f"95 % interval {found.low:.2f} to {found.high:.2f}; worth {found.effective_n:.0f} independent fish"
    return Figure("lice", found.mean, "1", lice.LICE, inputs, notes=(note,))


_MARGIN: Final = Formula("limit of the day - mean adult females a fish", "the configuration's calendar of limits")


def _margin(found: Figure, counted: Sequence[StockEvent], settings: FarmSettings, until: datetime) -> Figure:
    day = until.astimezone(settings.zone).date()
    try:
        limit = lice.limit_on(settings.lice_limits, day)
    except NoValue as why:
        return Figure("lice_margin", None, "1", _MARGIN, reason=str(why))
    given = Input("limit", limit.limit, "1", limit.source or "config")
    if found.value is None:
        return Figure("lice_margin", None, "1", _MARGIN, (given,), found.reason)
    by_pen = _of_the_week(counted, until)
    pens = {tank.tank_id for tank in settings.tanks} | by_pen.keys()
    short = sorted(
        pen for pen in pens if limit.least_fish and (pen not in by_pen or by_pen[pen].fish < limit.least_fish)
    )
    notes = [f"fewer than {limit.least_fish} fish were counted this week in {', '.join(short)}"] if short else []
    return Figure("lice_margin", limit.limit - found.value, "1", _MARGIN, (given,), notes=(*found.notes, *notes))
