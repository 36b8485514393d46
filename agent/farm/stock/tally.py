"""One cycle of one tank, added up event by event: fish, weights, feed and the dead of each day. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, tzinfo

    from agent.farm.stock.events import Cycle, StockEvent


@dataclass(slots=True)
class Day:
    """One day of a cycle, in the farm's own time zone. `at_start` includes the fish that were put in on the day."""

    at_start: int
    at_end: int
    dead: int = 0
    feed_kg: float = 0.0


@dataclass(frozen=True, slots=True)
class Weighing:
    """A mean weight, and what had gone in and out of the tank up to then.

    `brought_kg` came in by stocking and transfer, `taken_kg` went out by harvest and transfer; `lost_kg` died, was
    culled or escaped.
    """

    at: datetime
    mean_g: float
    event_id: str
    fish: int
    feed_kg: float
    brought_kg: float
    taken_kg: float
    lost_kg: float
    brought: int

    @property
    def biomass_kg(self) -> float:
        """Of all fish then."""
        return self.fish * self.mean_g / 1000


@dataclass(slots=True)
class Tally:
    """A cycle up to some moment. `doubts` are events that cannot be right, in words."""

    fish: int = 0
    brought: int = 0
    dead: int = 0
    culled: int = 0
    escaped: int = 0
    harvested: int = 0
    moved: int = 0
    difference: int = 0
    """Counting errors: what counts found, less what the events before them gave."""
    feed_kg: float = 0.0
    brought_kg: float = 0.0
    taken_kg: float = 0.0
    lost_kg: float = 0.0
    mean_g: float | None = None
    days: dict[date, Day] = field(default_factory=dict)
    weighings: list[Weighing] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    unweighed: bool = False
    """Fish went in, out or died while no mean weight was known: kilograms are not known either."""

    def kg_of(self, event: StockEvent, count: int) -> float:
        """What so many fish of an event weigh, by the event's own mean weight or the last one known."""
        mean_g = self.mean_g if event.mean_weight_g is None else event.mean_weight_g
        if mean_g is None:
            self.unweighed = True
            return 0.0
        return count * mean_g / 1000


def tally(cycle: Cycle, until: datetime, zone: tzinfo = UTC) -> Tally:
    """Add up a cycle's events up to a moment. Days without an event are there too, up to that moment."""
    found = Tally()
    for event in cycle.events:
        if event.at > until:
            break
        day = _day(found, event.at.astimezone(zone).date())
        _apply(found, day, event, cycle.tank_id)
        day.at_end = found.fish
        if found.fish < 0:
            found.doubts.append(f"after {event.kind} {event.id} the tank holds {found.fish} fish")
            found.fish = 0
            day.at_end = 0
    last = until if cycle.closed is None else min(until, cycle.closed)
    if found.days:
        _day(found, last.astimezone(zone).date())
    return found


def _day(found: Tally, wanted: date) -> Day:
    """A day of the tally; days that passed without an event are filled in before it."""
    if found.days:
        day = next(reversed(found.days)) + timedelta(days=1)
        while day <= wanted:
            found.days[day] = Day(found.fish, found.fish)
            day += timedelta(days=1)
    return found.days.setdefault(wanted, Day(found.fish, found.fish))


def _apply(found: Tally, day: Day, event: StockEvent, tank_id: str) -> None:
    match event.kind:
        case "stocking":
            _bring(found, day, event)
        case "transfer" if event.to_tank == tank_id:
            _bring(found, day, event)
        case "transfer" | "harvest":
            found.taken_kg += event.kg or found.kg_of(event, event.count)
            found.fish -= event.count
            found.harvested += event.count if event.kind == "harvest" else 0
            found.moved += event.count if event.kind == "transfer" else 0
        case "removal":
            found.lost_kg += found.kg_of(event, event.count)
            found.fish -= event.count
            found.culled += event.count if event.cause == "cull" else 0
            found.escaped += event.count if event.cause == "escape" else 0
        case "mortality":
            found.dead += event.count
            day.dead += event.count
            found.lost_kg += found.kg_of(event, event.count)
            found.fish -= event.count
        case "feeding":
            found.feed_kg += event.kg
            day.feed_kg += event.kg
        case "fish_count":
            found.difference += event.count - found.fish
            found.fish = event.count
        case "weighing" if event.mean_weight_g is not None:
            found.mean_g = event.mean_weight_g
            _weigh(found, event)
        case _:
            pass  # lice counts and closings change no number of fish


def _bring(found: Tally, day: Day, event: StockEvent) -> None:
    kg = found.kg_of(event, event.count) if event.mean_weight_g is not None else 0.0
    if event.mean_weight_g is None:
        found.mean_g, found.unweighed = None, True
    elif found.fish <= 0:
        found.mean_g = event.mean_weight_g
    elif found.mean_g is not None:
        found.mean_g = (found.fish * found.mean_g + event.count * event.mean_weight_g) / (found.fish + event.count)
    found.fish += event.count
    found.brought += event.count
    found.brought_kg += kg
    day.at_start += event.count
    if found.mean_g is not None:
        _weigh(found, event)


def _weigh(found: Tally, event: StockEvent) -> None:
    found.weighings.append(
        Weighing(
            event.at,
            found.mean_g or 0.0,
            event.id,
            found.fish,
            found.feed_kg,
            found.brought_kg,
            found.taken_kg,
            found.lost_kg,
            found.brought,
        )
    )
