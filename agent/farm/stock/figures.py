"""The figures of one tank, from a cycle's tally: each with its inputs, formula and source (G1, G2). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from agent.farm.figure import Figure, Formula, Input, NoValue
from agent.farm.stock import growth
from agent.farm.stock.tally import tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date, tzinfo

    from agent.farm.stock.events import Cycle
    from agent.farm.stock.tally import Tally, Weighing

_STOCK: Final = Formula("stocked + transferred - dead - removed - harvested, set by counts", "recorded events")
_WEIGHT: Final = Formula("the last mean weight of a stocking or weighing", "recorded events")
_BIOMASS: Final = Formula("fish * mean weight", "recorded events; a camera alone claims no biomass")
_FEED: Final = Formula("sum of the feedings", "recorded events")
_DEAD: Final = Formula("sum of the recorded dead", "recorded events")
_TIMES_USUAL: Final = Formula("mortality rate of the day / mean of those of the 14 days before", "own definition")
_PRODUCTION: Final = Formula(
    "(biomass gained + taken out - brought in) / days between two weighings", "own definition"
)
ROLLING_DAYS: Final = 30
_WEEK: Final = 7
_USUAL_DAYS: Final = 14
EVENTS: Final = "events"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What figures need besides events: the daily mean temperatures of the tank, by day."""

    temperatures: Mapping[date, float] = field(default_factory=dict)
    temperature_sensor: str = ""


def stock_figures(
    cycle: Cycle, now: datetime, zone: tzinfo = UTC, around: Surroundings | None = None
) -> list[Figure]:
    """Every stock figure of a cycle, as of a moment."""
    found = tally(cycle, now, zone)
    around = around or Surroundings()
    today = now.astimezone(zone).date()
    return [
        _plain("stock_fish", float(found.fish), "fish", _STOCK, found, *_parts(found)),
        _made("mean_weight", "g", _WEIGHT, lambda: _mean_weight(found, now)),
        _made("biomass", "kg", _BIOMASS, lambda: _biomass(found, now)),
        _plain("feed_day", _feed(found, today, 1), "kg", _FEED, found),
        _plain("feed_week", _feed(found, today, _WEEK), "kg", _FEED, found),
        _plain("feed_cycle", found.feed_kg, "kg", _FEED, found),
        _plain("dead_day", float(_dead(found, today)), "fish", _DEAD, found),
        _plain("dead_cycle", float(found.dead), "fish", _DEAD, found),
        _made("mortality_rate_day", "1", growth.MORTALITY_RATE, lambda: _rate_of(found, today)),
        _made("mortality_times_usual", "1", _TIMES_USUAL, lambda: _times_usual(found, today)),
        _made("mortality_rolling", "%", growth.MORTALITY_RISK, lambda: _risk(found, today, ROLLING_DAYS)),
        _made("mortality_cycle", "%", growth.MORTALITY_RISK, lambda: _risk(found, today, None)),
        _made("fcr_economic", "1", growth.FCR_ECONOMIC, lambda: _fcr(found, biological=False)),
        _made("fcr_biological", "1", growth.FCR_BIOLOGICAL, lambda: _fcr(found, biological=True)),
        _made("sgr", "%/d", growth.SGR, lambda: _sgr(found)),
        _made("tgc", "1", growth.TGC, lambda: _tgc(found, zone, around)),
        _made("production_day", "kg/d", _PRODUCTION, lambda: _production(found)),
    ]


_Value = tuple[float, tuple[Input, ...]]


def _plain(name: str, value: float, unit: str, formula: Formula, found: Tally, *inputs: Input) -> Figure:
    return Figure(name, value, unit, formula, inputs, notes=tuple(found.doubts))


def _made(name: str, unit: str, formula: Formula, make: Callable[[], _Value]) -> Figure:
    try:
        value, inputs = make()
    except NoValue as why:
        return Figure(name, None, unit, formula, reason=str(why))
    return Figure(name, value, unit, formula, inputs)


def _parts(found: Tally) -> tuple[Input, ...]:
    counts = {
        "stocked": found.brought,
        "dead": found.dead,
        "culled": found.culled,
        "escaped": found.escaped,
        "harvested": found.harvested,
        "moved to other tanks": found.moved,
        "counting difference": found.difference,
    }
    return tuple(Input(name, float(count), "fish", EVENTS) for name, count in counts.items())


def _last(found: Tally) -> Weighing:
    if not found.weighings or found.mean_g is None:
        raise NoValue("no mean weight is known: record a weighing")
    return found.weighings[-1]


def _mean_weight(found: Tally, now: datetime) -> _Value:
    last = _last(found)
    return last.mean_g, (Input("weighing", last.mean_g, "g", last.event_id, (now - last.at).total_seconds()),)


def _biomass(found: Tally, now: datetime) -> _Value:
    weight, inputs = _mean_weight(found, now)
    return found.fish * weight / 1000, (Input("stock_fish", float(found.fish), "fish", EVENTS), *inputs)


def _feed(found: Tally, today: date, days: int) -> float:
    first = today - timedelta(days=days - 1)
    return sum(day.feed_kg for at, day in found.days.items() if first <= at <= today)


def _dead(found: Tally, today: date) -> int:
    return found.days[today].dead if today in found.days else 0


def _rate_of(found: Tally, at: date) -> _Value:
    day = found.days.get(at)
    if day is None:
        raise NoValue(f"there were no fish on {at}")
    rate = growth.mortality_rate(day.dead, day.at_start, day.at_end)
    return rate, (
        Input("dead", float(day.dead), "fish", EVENTS),
        Input("fish at start", float(day.at_start), "fish", EVENTS),
        Input("fish at end", float(day.at_end), "fish", EVENTS),
    )


def _times_usual(found: Tally, today: date) -> _Value:
    rate, inputs = _rate_of(found, today)
    before = [today - timedelta(days=number) for number in range(1, _USUAL_DAYS + 1)]
    rates = [_rate_of(found, day)[0] for day in before if day in found.days]
    if len(rates) < _WEEK:
        raise NoValue(f"there are only {len(rates)} days before, and {_WEEK} are needed")
    usual = sum(rates) / len(rates)
    if usual == 0:
        raise NoValue("no fish died on the days before")
    return rate / usual, (*inputs, Input("usual rate", usual, "1", EVENTS))


def _risk(found: Tally, today: date, days: int | None) -> _Value:
    first = None if days is None else today - timedelta(days=days - 1)
    chosen = {at: day for at, day in found.days.items() if first is None or at >= first}
    # A day on which the tank was empty has no rate; it adds nothing.
    rates = {
        at: growth.mortality_rate(day.dead, day.at_start, day.at_end)
        for at, day in chosen.items()
        if day.at_start + day.at_end > 0
    }
    if not rates:
        raise NoValue("there were no fish")
    dead = sum(day.dead for day in chosen.values())
    inputs = (
        Input("dead", float(dead), "fish", EVENTS),
        Input("days", float(len(rates)), "d", EVENTS),
        Input("sum of the rates", sum(rates.values()), "1", EVENTS),
    )
    return growth.mortality_risk_percent(rates.values()), inputs


def _fcr(found: Tally, *, biological: bool) -> _Value:
    last = _last(found)
    if len(found.weighings) < 2:
        raise NoValue("there is no weighing since the stocking")
    if last.feed_kg == 0:
        raise NoValue("no feed is recorded up to the last weighing")
    if found.unweighed:
        raise NoValue("fish came, went or died while no mean weight was known")
    dead_kg = last.lost_kg if biological else 0.0
    value = growth.fcr(last.feed_kg, last.biomass_kg, last.taken_kg, last.brought_kg, dead_kg)
    inputs = [
        Input("feed", last.feed_kg, "kg", EVENTS),
        Input("biomass", last.biomass_kg, "kg", last.event_id),
        Input("taken out", last.taken_kg, "kg", EVENTS),
        Input("brought in", last.brought_kg, "kg", EVENTS),
    ]
    if biological:
        inputs.append(Input("lost", last.lost_kg, "kg", EVENTS))
    return value, tuple(inputs)


def _pair(found: Tally) -> tuple[Weighing, Weighing]:
    """The last weighing and the one before it, between which no fish were put in."""
    if len(found.weighings) < 2:
        raise NoValue("there is only one weighing")
    first, second = found.weighings[-2:]
    if second.brought != first.brought:
        raise NoValue("fish were put in between the last two weighings, so their mean weights cannot be compared")
    return first, second


def _days(first: Weighing, second: Weighing) -> float:
    return (second.at - first.at).total_seconds() / 86_400


def _weights(first: Weighing, second: Weighing) -> tuple[Input, Input]:
    return Input("W1", first.mean_g, "g", first.event_id), Input("W2", second.mean_g, "g", second.event_id)


def _sgr(found: Tally) -> _Value:
    first, second = _pair(found)
    days = _days(first, second)
    value = growth.sgr_percent(first.mean_g, second.mean_g, days)
    return value, (*_weights(first, second), Input("days", days, "d", EVENTS))


def _tgc(found: Tally, zone: tzinfo, around: Surroundings) -> _Value:
    first, second = _pair(found)
    if not around.temperature_sensor:
        raise NoValue("no temperature sensor is configured for the tank")
    begin, end = first.at.astimezone(zone).date(), second.at.astimezone(zone).date()
    days = [begin + timedelta(days=number) for number in range((end - begin).days)]
    missing = [day for day in days if day not in around.temperatures]
    if missing:
        raise NoValue(f"no mean temperature on {len(missing)} of {len(days)} days, the first of them {missing[0]}")
    degree_days = sum(around.temperatures[day] for day in days)
    value = growth.tgc(first.mean_g, second.mean_g, degree_days)
    return value, (
        *_weights(first, second),
        Input("degree days", degree_days, "degC d", around.temperature_sensor),
    )


def _production(found: Tally) -> _Value:
    first, second = _pair(found)
    days = _days(first, second)
    if days <= 0:
        raise NoValue("there is no time between the two weighings")
    if found.unweighed:
        raise NoValue("fish came, went or died while no mean weight was known")
    gained = second.biomass_kg - first.biomass_kg
    taken, brought = second.taken_kg - first.taken_kg, second.brought_kg - first.brought_kg
    return (gained + taken - brought) / days, (
        Input("biomass gained", gained, "kg", second.event_id),
        Input("taken out", taken, "kg", EVENTS),
        Input("brought in", brought, "kg", EVENTS),
        Input("days", days, "d", EVENTS),
    )
