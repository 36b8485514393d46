"""What happens to fish, as events; and which of them count, once voids and corrections are applied. Pure.

G3  An event has an id and counts once. Events in force are a function of all events and the order in which they were
    recorded, so a restart or a repetition changes nothing.
G4  A void takes an event out; a correction takes its place. Both are events, and can be voided themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

Kind = Literal[
    "stocking",
    "feeding",
    "mortality",
    "removal",
    "harvest",
    "transfer",
    "fish_count",
    "weighing",
    "lice_count",
    "calibration",
    "close",
    "void",
]


@dataclass(frozen=True, slots=True)
class StockEvent:
    """One event. Which fields are set depends on `kind`; `agent.events.farm` holds events to that.

    `count` is a number of fish, `kg` of feed or of harvested fish, `mean_weight_g` of one fish. `corrects` names the
    event whose place this one takes, `voids` the one that it takes out.
    """

    id: str
    kind: Kind
    tank_id: str
    at: datetime
    count: int = 0
    kg: float = 0.0
    mean_weight_g: float | None = None
    species: str = ""
    cause: str = ""
    to_tank: str = ""
    fish: int = 0
    adult_females: int = 0
    sensor_id: str = ""
    coefficients: tuple[float, ...] = ()
    valid_days: int | None = None
    by: str = ""
    corrects: str = ""
    voids: str = ""


def in_force(recorded: Sequence[StockEvent]) -> list[StockEvent]:
    """The events that count, in the order of their times; `recorded` is in the order of recording (G4)."""
    voided: set[str] = set()
    # From the newest: a void that was voided later takes nothing out.
    for event in reversed(recorded):
        if event.kind == "void" and event.id not in voided:
            voided.add(event.voids)
    last: dict[str, str] = {}
    for event in recorded:
        if event.corrects and event.id not in voided:
            last[event.corrects] = event.id
    found = [
        event
        for event in recorded
        if event.kind != "void"
        and event.id not in voided
        and event.id not in last
        and (not event.corrects or last[event.corrects] == event.id)
    ]
    return sorted(found, key=lambda event: event.at)


def of_tank(events: Iterable[StockEvent], tank_id: str) -> list[StockEvent]:
    """Those that concern a tank, transfers into it included."""
    return [event for event in events if tank_id in (event.tank_id, event.to_tank)]


@dataclass(frozen=True, slots=True)
class Cycle:
    """The events of one tank from a first stocking on, until it was closed. `closed` is None while it is open."""

    tank_id: str
    species: str
    begun: datetime
    closed: datetime | None
    events: tuple[StockEvent, ...]


def cycles(events: Iterable[StockEvent], tank_id: str) -> list[Cycle]:
    """The cycles of a tank, oldest first, by events in force. What comes before any fish belongs to none."""
    found: list[Cycle] = []
    current: list[StockEvent] = []
    for event in of_tank(events, tank_id):
        brings = event.kind == "stocking" or (event.kind == "transfer" and event.to_tank == tank_id)
        if not current and not brings:
            continue
        current.append(event)
        if event.kind == "close":
            found.append(_cycle(tank_id, current, event.at))
            current = []
    if current:
        found.append(_cycle(tank_id, current, None))
    return found


def _cycle(tank_id: str, events: list[StockEvent], closed: datetime | None) -> Cycle:
    species = next((event.species for event in events if event.species), "")
    return Cycle(tank_id, species, events[0].at, closed, tuple(events))
