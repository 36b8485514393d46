"""What drivers emit: readings are judged on receipt, encoded and posted; frames go to their model's slot."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from operator import itemgetter
from typing import TYPE_CHECKING

from agent.events import Alert, AlertState, Severity
from agent.farm.limits import Crossing, Limits, LimitWatch
from agent.farm.quality import RANGE, SAID, verdict_of
from agent.pipeline.freshness import judged
from agent.pipeline.times import DeviceTimes
from agent.pipeline.unreadable import UnreadableSampler
from drivers import Reading, Receipted, Unreadable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from agent.events import Encoder
    from agent.pipeline.alerts import Alerts
    from agent.pipeline.farm.water import Water
    from agent.pipeline.judging import Judgement
    from agent.pipeline.outbox import Outbox
    from drivers import Observation


_MOST_TYPES = 256
"""Topics name sensor types, so strangers could otherwise fill the memory; past it they are counted together."""

_sensor_id = itemgetter(Reading._fields.index("sensor_id"))
_sensor_type = itemgetter(Reading._fields.index("sensor_type"))
_doubt = itemgetter(Reading._fields.index("doubt"))
_NEVER = datetime.min.replace(tzinfo=UTC)
_STEP_NS = 1_000_000_000
_MOST_OWED = 64
"""Receipts of batches that brought no record, which go with the next one that does."""


@dataclass(frozen=True, slots=True)
class SensorLimits:
    """The limits of one sensor, by its id."""

    sensor_id: str
    limits: Limits


@dataclass(slots=True)
class IntakeStats:
    """What has come in."""

    readings: int = 0
    by_type: dict[str, int] = field(default_factory=dict)
    not_judged: Counter[str] = field(default_factory=Counter)
    """Readings of sensors with limits that changed no alarm because of when they were measured, by the reason."""


class _Watched(LimitWatch):
    """A sensor with limits: which are crossed, and when the newest reading was measured by which that was judged."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.max_age = timedelta(seconds=limits.max_age_s)
        self.newest = _NEVER
        self.doubts = 0
        """Those about the newest reading that was not plainly within the limits."""


class Intake:
    """Takes batches. Never blocks: judging is done when `take` returns, the disk when its awaitable is."""

    def __init__(  # noqa: PLR0917 - what it hands on to
        self,
        outbox: Outbox,
        alerts: Alerts,
        encoder: Encoder,
        observe_ack: Callable[[float, int], None],
        trusted: Callable[[], bool] = lambda: True,
        judgement: Judgement | None = None,
    ) -> None:
        """`trusted` says whether the gateway's clock is. Without a judgement all readings are `unjudged`."""
        self._outbox = outbox
        self._alerts = alerts
        self._encoder = encoder
        self._observe_ack = observe_ack
        self._judgement = judgement
        self._warned: set[str] = set()
        """Sensors of which a limit is crossed that is a warning only, for now (Q4, A9)."""
        self._watches: dict[str, _Watched] = {}
        self._wall_ns = 0
        self._limits: dict[str, Limits] = {}
        self._places: dict[str, Reading] = {}
        self._owed: deque[tuple[str, bytes]] = deque(maxlen=_MOST_OWED)
        self.stats = IntakeStats()
        self.times = DeviceTimes(trusted, self._watches)
        self.unreadable = UnreadableSampler()
        self.water: Water | None = None
        """Calibrates probes and derives quantities from readings, if any is configured."""

    def reconfigure(self, sensors: Sequence[SensorLimits]) -> None:
        """Take new limits. A watch whose limits stay the same keeps its state; one that goes clears its alarms."""
        wanted: Mapping[str, Limits] = {sensor.sensor_id: sensor.limits for sensor in sensors}
        for sensor_id in [name for name, limits in self._limits.items() if wanted.get(name) != limits]:
            for kind, _ in self._watches[sensor_id].raised():
                last = self._places[sensor_id]
                self._alerts.say(_ended(last, kind))
            del self._watches[sensor_id], self._limits[sensor_id]
            self._warned.discard(sensor_id)
        for sensor_id, limits in wanted.items():
            if sensor_id not in self._limits:
                self._limits[sensor_id] = limits
                self._watches[sensor_id] = _Watched(limits)

    def take(self, batch: Sequence[Observation]) -> Awaitable[None]:  # noqa: C901, PLR0912 - what becomes of a batch, in order
        """Judge and log a batch of readings and unreadable messages (drivers.Emit)."""
        if isinstance(batch, Receipted):
            # In the log already; but whether its alarm was heard nobody knows.
            earlier = [seen for seen in batch.earlier if type(seen) is Reading]
            self._judge(earlier if self.water is None else self.water.calibrated(earlier), datetime.now(UTC))
            if batch.receipt is not None:
                self._owed.append(batch.receipt)
        readings = [seen for seen in batch if type(seen) is Reading]
        count = len(readings)
        first_ns = readings[0].received_ns if readings else None
        now = datetime.now(UTC)
        if any(map(_doubt, readings)):
            self.times.mark(readings, now)
        water = self.water
        raw = readings
        if water is not None:
            readings = water.calibrated(raw)
        doubts = self._judgement.judge(readings, now) if self._judgement is not None else None
        if not self._watches.keys().isdisjoint(map(_sensor_id, readings)):
            self._judge(readings, now, doubts)
        if water is not None:
            readings = water.observe(readings, raw, doubts)
        self._count(readings)
        envelopes = self._encoder.readings(readings, doubts)
        if water is not None:
            water.stamp(readings, envelopes)
        envelopes += map(self._encoder.system_event, self.times.told())
        if count < len(batch):
            for seen in batch:
                if isinstance(seen, Unreadable):
                    event = self.unreadable.see(seen)
                    if event is not None:
                        envelopes.append(self._encoder.system_event(event))
        if not envelopes:
            # Unreadable and not this one's turn to be shown: counted, so there is nothing left to lose.
            nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            nothing.set_result(None)
            return nothing
        posted = self._outbox.post(envelopes, tuple(self._owed))
        self._owed.clear()
        if first_ns is not None:
            since_ns = first_ns
            posted.add_done_callback(
                lambda future: (
                    None
                    if future.cancelled() or future.exception()
                    else self._observe_ack((time.monotonic_ns() - since_ns) / 1e9, count)
                )
            )
        return posted

    def judge(self, readings: list[Reading]) -> None:
        """Judge values that are computed here, such as derived quantities; they are not logged."""
        if not self._watches.keys().isdisjoint(map(_sensor_id, readings)):
            self._judge(readings, datetime.now(UTC))

    def grade(self) -> None:
        """Make an alarm of each warning whose reason to be only one has gone (Q4, A9)."""
        for sensor_id in list(self._warned):
            reading, watched = self._places[sensor_id], self._watches[sensor_id]
            self._warned.discard(sensor_id)
            for kind, bound in watched.raised():
                crossing = Crossing(kind, raised=True, limit=bound, value=reading.value)
                self._cross(reading, crossing, reading.at, doubts=watched.doubts)

    def _judge(self, readings: list[Reading], now: datetime, column: Sequence[int] | None = None) -> None:
        self._look_at_clock()
        watches, places, clocks = self._watches, self._places, self.times.clocks
        for place, reading in enumerate(readings):
            # Taken apart at once: a look-up of each field by its name takes as long as all of this.
            sensor_id, _, value, _, _, _, at, device, received_ns, _, doubt = reading
            watched = watches.get(sensor_id)
            if watched is None:
                continue
            doubts = column[place] if column is not None else 0
            if doubts > 0 and doubts & RANGE:
                # A fault of the sensor, with an alarm of its own: of the water it says nothing (Q2).
                self.stats.not_judged["out_of_range"] += 1
                continue
            if doubt is None and (not device or (watched.newest <= at and now - at <= watched.max_age)):
                watched.newest = at if device and at < now else now
                places[sensor_id] = reading
                if clocks:
                    self.times.believed(sensor_id, received_ns)
                if watched.calm_from <= value <= watched.calm_to:
                    continue
                watched.doubts = doubts
                # What is suspect ends no alarm: the next good reading does.
                for crossing in watched.judge(value, clears=doubts <= 0):
                    self._cross(reading, crossing, watched.newest, doubts=doubts)
            else:
                self._judge_unusual(readings, place, watched, now, doubts)

    def _judge_unusual(
        self, readings: list[Reading], place: int, watched: _Watched, now: datetime, doubts: int
    ) -> None:
        """A reading that is not plainly of now; what was found out about its time is written into its place."""
        reading = readings[place]
        found = judged(reading, now, watched.newest, watched.max_age, self.times)
        if isinstance(found, str):
            self.stats.not_judged[found] += 1
            return
        if found.clears:
            watched.newest = found.at
        if found.doubt is not None:
            readings[place] = reading._replace(doubt=found.doubt)
        watched.doubts = doubts
        for crossing in watched.judge(reading.value, clears=found.clears and doubts <= 0):
            self._cross(reading, crossing, found.at, found.note, doubts)
        self._places[reading.sensor_id] = reading

    def _look_at_clock(self) -> None:
        """If the gateway's clock was set, times kept by it move along: one that is set back must mute no limit."""
        wall_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        step_ns, self._wall_ns = wall_ns - self._wall_ns, wall_ns
        if abs(step_ns) > _STEP_NS:
            for watched in self._watches.values():
                if watched.newest is not _NEVER:
                    watched.newest += timedelta(microseconds=step_ns // 1_000)

    def _count(self, readings: Sequence[Reading]) -> None:
        self.stats.readings += len(readings)
        by_type = self.stats.by_type
        for kind in map(_sensor_type, readings):
            if kind in by_type:
                by_type[kind] += 1
            else:
                known = kind if len(by_type) < _MOST_TYPES else "other"
                by_type[known] = by_type.get(known, 0) + 1

    def _cross(self, reading: Reading, crossing: Crossing, at: datetime, note: str = "", doubts: int = 0) -> None:
        severity = Severity.ALARM
        if crossing.raised:
            severity, why = self._severity(reading, doubts)
            note = f"{note}; {why}" if note and why else note or why
            if severity is Severity.WARNING:
                self._warned.add(reading.sensor_id)
        over = "above" if crossing.kind == "high" else "below"
        verb = "is" if crossing.raised else "is no longer"
        self._alerts.say(
            Alert(
                alert_id=f"{reading.sensor_id}/{crossing.kind}",
                state=AlertState.RAISED if crossing.raised else AlertState.CLEARED,
                severity=severity,
                kind=crossing.kind,
                source=reading.sensor_id,
                text=f"{reading.sensor_type} in {reading.tank_id} {verb} {over} {crossing.limit:g} {reading.unit}: "
                f"{reading.value:g} {reading.unit}{note and f' ({note})'}",
                at=at,
                site_id=reading.site_id,
                tank_id=reading.tank_id,
                value=reading.value,
                unit=reading.unit,
                limit=crossing.limit,
            )
        )

    def _severity(self, reading: Reading, doubts: int) -> tuple[Severity, str]:
        """What a limit that is crossed is, and what to say of the doubt (Q4, A9)."""
        judgement = self._judgement
        if judgement is None:
            return Severity.ALARM, ""
        why = ""
        severity = Severity.ALARM
        if doubts > 0:
            why = f"probe suspected: it {', '.join(SAID[reason] for reason in verdict_of(doubts).reasons)}"
            limits = self._limits[reading.sensor_id]
            low = -inf if limits.low is None else limits.low
            high = inf if limits.high is None else limits.high
            if judgement.witness(reading.sensor_id, low, high):
                severity, why = Severity.WARNING, f"{why}; the sensor beside it is within the limits"
        if judgement.at_work(reading.tank_id):
            severity, why = Severity.WARNING, f"{why}; maintenance" if why else "maintenance"
        return severity, why


def _ended(last: Reading, kind: str) -> Alert:
    """An alarm that ends because its limit is gone or changed; a new limit judges the next reading afresh."""
    return Alert(
        alert_id=f"{last.sensor_id}/{kind}",
        state=AlertState.CLEARED,
        severity=Severity.INFO,
        kind=kind,
        source=last.sensor_id,
        text=f"the {kind} limit of {last.sensor_id} was changed",
        at=last.at,
        site_id=last.site_id,
        tank_id=last.tank_id,
    )
