"""What people record, and the figures made of it: events in, answers out, figures by tank.

G7  At the end of each hour every tank has one record of its figures, made once: of an hour that has one, no other is
    made, whatever happens later. What a void, a correction or a back-dated event changes in figures that were told
    goes upstream as a record of its own.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import orjson

from agent.events.farm import farm_event
from agent.events.figures import figure_body
from agent.events.records import RECOMPUTED
from agent.farm.stock.events import StockEvent, cycles, in_force
from agent.farm.water.calibration import Calibration, coefficients_of
from agent.pipeline.farm.settings import FarmSettings, TankSettings
from agent.pipeline.farm.tank import Basis, TankFigures, site_figures, tank_figures
from agent.pipeline.farm.trouble import look
from agent.records import Told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from agent.events import SystemEvent
    from agent.events.farm import FarmEvent
    from agent.pipeline.farm.hours import Hours
    from agent.records import FarmFile

log = logging.getLogger("tidegate.farm")

_FIRST_HOUR: Final = "first_hour"
_LAST_HOUR: Final = "last_hour"
_LOOKED: Final = "looked_for_trouble"
_SETTLE_S: Final = 120.0
"""After the end of an hour: what was measured in it has time to arrive."""
_MOST_HOURS: Final = 48
"""So many hours are made up for after a stop; none older."""
_MOST_REASONS: Final = 100


class Answer(NamedTuple):
    """What became of an event. `known`: it was recorded before, and nothing changed."""

    id: str
    outcome: Literal["recorded", "known", "refused"]
    reason: str = ""


class Register:
    """All events, in memory and in the file, and the figures that follow from them."""

    def __init__(self, file: FarmFile, hours: Hours, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._file = file
        self._hours = hours
        self._now = now
        self._settings = FarmSettings("")
        self._bodies: dict[str, str] = {}
        self._events: list[StockEvent] = []
        self._in_force: list[StockEvent] = []
        self._temperatures: dict[str, Mapping[date, float]] = {}
        self._loaded = False
        self._first_hour: int | None = None
        self._last_hour: int | None = None
        """Hours (counted since 1970): figures were told of those after the first, up to the last."""
        self._lock = asyncio.Lock()
        self.figures: dict[str, TankFigures] = {}
        """By tank; of the site under the empty name."""
        self.recorded = self.refused = self.known = 0
        self.changed = asyncio.Event()
        """Set when there is something new to go upstream."""

    def reconfigure(self, settings: FarmSettings) -> None:
        """Take new settings; figures follow at the next `refresh`."""
        self._settings = settings

    @property
    def settings(self) -> FarmSettings:
        """The settings in use."""
        return self._settings

    async def load(self) -> None:
        """Read all events from the file, once. Raises NotReady and Misconfigured."""
        async with self._lock:
            if self._loaded:
                return
            for row in await self._file.events():
                self._bodies[row.id] = row.body
                self._events.append(stock_event(farm_event(orjson.loads(row.body), datetime.max.replace(tzinfo=UTC))))
            self._in_force = in_force(self._events)
            self._last_hour = await self._file.number(_LAST_HOUR)
            self._first_hour = await self._file.number(_FIRST_HOUR)
            self._loaded = True

    async def record(self, documents: Sequence[Any]) -> list[Answer]:
        """Record events as they were reported; those that are not refused are on disk when this is done.

        Raises:
            NotReady: the disk does not take them now; none is recorded.
            Misconfigured: the file is damaged.
        """
        await self.load()
        async with self._lock:
            return await self._record(documents)

    async def _record(self, documents: Sequence[Any]) -> list[Answer]:
        now = self._now()
        answers: list[Answer] = []
        fresh: dict[str, tuple[str, StockEvent]] = {}
        for document in documents:
            name = str(document.get("id", ""))[:100] if isinstance(document, dict) else ""
            try:
                event = farm_event(document, now)
                body = orjson.dumps(event.document(), option=orjson.OPT_SORT_KEYS).decode()
                known = self._bodies.get(event.id) or fresh.get(event.id, ("",))[0]
                if known:
                    self._hold_against(event, body, known)
                    answers.append(Answer(event.id, "known"))
                    continue
                found = stock_event(event)
                self._look_at_target(found, fresh)
            except ValueError as why:
                answers.append(Answer(name, "refused", str(why)))
                continue
            fresh[event.id] = body, found
            answers.append(Answer(event.id, "recorded"))
        if fresh:
            await self._take(fresh, now)
        self.recorded += len(fresh)
        self.known += sum(answer.outcome == "known" for answer in answers)
        self.refused += sum(answer.outcome == "refused" for answer in answers)
        return answers

    def _hold_against(self, event: FarmEvent, body: str, known: str) -> None:
        if body != known:
            raise ValueError(
                f"the id {event.id} is that of another event; to change that one, record a new event that corrects it"
            )

    def _look_at_target(self, event: StockEvent, fresh: Mapping[str, tuple[str, StockEvent]]) -> None:
        target = next((one for one in self._events if one.id == event.corrects), None)
        if target is None and event.corrects in fresh:
            target = fresh[event.corrects][1]
        if target is not None and target.kind != event.kind:
            raise ValueError(
                f"{event.corrects} is a {target.kind}, and can be corrected only by one, not a {event.kind}"
            )

    async def _take(self, fresh: Mapping[str, tuple[str, StockEvent]], now: datetime) -> None:
        events = [*self._events, *(event for _, event in fresh.values())]
        counting = in_force(events)
        causes = self._causes(fresh)
        tanks = self._affected([event for _, event in fresh.values() if event.id in causes]) if causes else set()
        before = {tank: self._figures_of(tank, self._in_force, now) for tank in sorted(tanks)}
        outgoing = []
        for tank, old in before.items():
            new = self._figures_of(tank, counting, now)
            told = self._recomputed(tank, old, new, causes, now)
            outgoing += [told] if told is not None else []
        await self._file.add(
            [(name, body) for name, (body, _) in fresh.items()], int(now.timestamp() * 1000), outgoing
        )
        self._events, self._in_force = events, counting
        self._bodies |= {name: body for name, (body, _) in fresh.items()}
        for told in outgoing:
            log.info("figures recomputed: %s", told.id)
        self.changed.set()

    def _causes(self, fresh: Mapping[str, tuple[str, StockEvent]]) -> dict[str, str]:
        nothing_told = self._last_hour is None or self._last_hour == self._first_hour
        told_until = None if nothing_told else datetime.fromtimestamp((self._last_hour or 0) * 3600, UTC)
        found = {}
        for name, (_, event) in fresh.items():
            if event.kind == "void":
                found[name] = "void"
            elif event.corrects:
                found[name] = "correction"
            elif told_until is not None and event.at < told_until:
                found[name] = "back_dated"
        return dict(list(found.items())[:_MOST_REASONS])

    def _affected(self, events: Sequence[StockEvent]) -> set[str]:
        by_id = {event.id: event for event in self._events}
        found: set[str] = set()
        for event in events:
            for one in (event, by_id.get(event.voids), by_id.get(event.corrects)):
                if one is not None:
                    found |= {name for name in (one.tank_id, one.to_tank) if name}
        return found

    def _recomputed(
        self, tank_id: str, old: TankFigures, new: TankFigures, causes: Mapping[str, str], now: datetime
    ) -> Told | None:
        was = {one.name: one.value for one in old.figures}
        isnow = {one.name: one.value for one in new.figures}
        changed = {
            name: (was.get(name), isnow.get(name)) for name in {**was, **isnow} if was.get(name) != isnow.get(name)
        }
        if not changed:
            return None
        name = f"{self._settings.site_id}/{tank_id}/{next(iter(causes))}"
        body = {
            "figures_id": name,
            "site_id": self._settings.site_id,
            "tank_id": tank_id,
            "at": _text(now),
            "events": dict(causes),
            "changed": changed,
        }
        return Told("outgoing", f"recomputed/{name}", RECOMPUTED, int(now.timestamp() * 1000), _json(body))

    def tanks(self) -> list[TankSettings]:
        """The tanks of the configuration, and those that events name."""
        known = {tank.tank_id: tank for tank in self._settings.tanks}
        for event in self._in_force:
            for name in (event.tank_id, event.to_tank):
                if name and name not in known:
                    known[name] = TankSettings(name)
        return list(known.values())

    def events_in_force(self) -> Sequence[StockEvent]:
        """The events that count, by their times."""
        return self._in_force

    def calibrations(self) -> list[Calibration]:
        """The calibrations that were recorded and count, in the order of their dates."""
        return [
            Calibration(event.sensor_id, event.coefficients, event.at.date(), event.by, event.valid_days)
            for event in self._in_force
            if event.kind == "calibration"
        ]

    async def refresh(self) -> None:
        """Compute all figures as of now. Raises NotReady and Misconfigured."""
        await self.load()
        now = self._now()
        found: dict[str, TankFigures] = {}
        for tank in self.tanks():
            await self._learn_temperatures(tank)
            found[tank.tank_id] = self._figures_of(tank.tank_id, self._in_force, now)
            await asyncio.sleep(0)  # one tank takes milliseconds, and alarms must not wait for all of them
        site = site_figures(self._in_force, self._settings, now)
        self.figures = found | ({"": site} if site is not None else {})

    async def make_hourly(self) -> int:
        """Make the records of the hours that are over (G7); how many. Raises NotReady and Misconfigured."""
        await self.load()
        async with self._lock:
            now = self._now()
            newest = int((now.timestamp() - _SETTLE_S) // 3600)
            if self._last_hour is None:
                # The first figures are those of the hour that runs now.
                first = int(now.timestamp() // 3600)
                await self._file.put([], {_FIRST_HOUR: first, _LAST_HOUR: first})
                self._first_hour = self._last_hour = first
            made = 0
            for hour in range(max(self._last_hour + 1, newest - _MOST_HOURS + 1), newest + 1):
                outgoing = [self._hourly(tank, hour) for tank in self.tanks()]
                site = self._hourly_of_site(hour)
                outgoing += [site] if site is not None else []
                await self._file.put(outgoing, {_LAST_HOUR: hour})
                self._last_hour = hour
                made += len(outgoing)
            if made:
                self.changed.set()
            return made

    def _hourly(self, tank: TankSettings, hour: int) -> Told:
        end = datetime.fromtimestamp(hour * 3600, UTC)
        # What happened at the very end belongs to the next hour, and to the next day.
        found = self._figures_of(tank.tank_id, self._in_force, end - timedelta(milliseconds=1))
        return self._told(found, hour)

    def _hourly_of_site(self, hour: int) -> Told | None:
        end = datetime.fromtimestamp(hour * 3600, UTC)
        found = site_figures(self._in_force, self._settings, end - timedelta(milliseconds=1))
        return None if found is None else self._told(found, hour)

    def _told(self, found: TankFigures, hour: int) -> Told:
        end = datetime.fromtimestamp(hour * 3600, UTC)
        name = f"{self._settings.site_id}/{found.tank_id}/{end:%Y-%m-%dT%HZ}"
        body = {
            "figures_id": name,
            "site_id": self._settings.site_id,
            "tank_id": found.tank_id,
            "species": found.species,
            "cycle_began": None if found.cycle_began is None else _text(found.cycle_began),
            "at": _text(end),
            "events": sum(event.at < end for event in self._in_force),
            "figures": [figure_body(one) for one in found.figures],
        }
        return Told("outgoing", name, "farm-figures", hour * 3_600_000, _json(body))

    def _figures_of(self, tank_id: str, events: Sequence[StockEvent], until: datetime) -> TankFigures:
        tank = next((one for one in self._settings.tanks if one.tank_id == tank_id), TankSettings(tank_id))
        temperatures = self._temperatures.get(tank_id, {})
        return tank_figures(tank, events, Basis(self._hours, self._settings, temperatures), until)

    async def look_for_trouble(self) -> list[SystemEvent]:
        """Once a day: technical trouble that came together with mortality (G8). Raises NotReady and Misconfigured."""
        now = self._now()
        today = now.astimezone(self._settings.zone).date().toordinal()
        if await self._file.number(_LOOKED) == today:
            return []
        events = []
        since = int(now.timestamp() // 3600) - 24 * 91
        for tank in self._settings.tanks:
            current = cycles(self._in_force, tank.tank_id)[-1:]
            if not current or current[0].closed is not None:
                continue
            seen = {
                name: {one.hour: one.seen for one in await self._file.hours_of(name, since)} for name in tank.sensors
            }
            events += look(tank, current[0], seen, self._settings, now)
        await self._file.put([], {_LOOKED: today})
        return events

    async def _learn_temperatures(self, tank: TankSettings) -> None:
        current = cycles(self._in_force, tank.tank_id)[-1:]
        if not tank.temperature or not current:
            return
        begun, zone = current[0].begun, self._settings.zone
        self._temperatures[tank.tank_id] = await self._hours.daily_means(tank.temperature, begun, zone)


def stock_event(event: FarmEvent) -> StockEvent:
    """An event as figures take it.

    Raises:
        ValueError: its calibration is none.
    """
    coefficients: tuple[float, ...] = ()
    if event.kind == "calibration":
        points = None if event.points is None else tuple(event.points)
        coefficients = coefficients_of(points, None if event.coefficients is None else tuple(event.coefficients))
    return StockEvent(
        id=event.id,
        kind=event.kind,
        tank_id=event.tank_id or "",
        at=event.at.astimezone(UTC),
        count=event.count or 0,
        kg=event.kg or 0.0,
        mean_weight_g=event.mean_weight_g,
        species=event.species or "",
        cause=event.cause or "",
        to_tank=event.to_tank or "",
        fish=event.fish or 0,
        adult_females=event.adult_females or 0,
        sensor_id=event.sensor_id or "",
        coefficients=coefficients,
        valid_days=event.valid_days,
        by=event.by or "",
        corrects=event.corrects or "",
        voids=event.voids or "",
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


def _json(body: Mapping[str, Any]) -> str:
    return orjson.dumps(body).decode()
