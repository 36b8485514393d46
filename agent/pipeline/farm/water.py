"""Calibration and derived quantities: readings in, calibrated values and derived ones out.

U3  A derived quantity is computed from the newest values at its own interval, and goes upstream each time, with a
    value or with the reason why it has none. Its limits are judged like a sensor's.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Final

import orjson

from agent.events.figures import derived_envelope
from agent.events.records import Quality
from agent.farm.quality import RANGE
from agent.farm.water.derived import DerivedSettings, Newest, derive
from agent.farm.water.swing import History
from drivers import Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.farm.figure import Figure
    from agent.farm.water.calibration import Calibration
    from agent.pipeline.farm.hours import Hours
    from sync.values import Envelope

_sensor_id = itemgetter(Reading._fields.index("sensor_id"))
_OVERDUE: Final = "calibration overdue"


class Water:
    """The newest values of the sensors that anything is derived of, and what is derived."""

    def __init__(self, site_id: str, hours: Hours, now_s: Callable[[], float] = time.time) -> None:
        self._site_id = site_id
        self._hours = hours
        self._now_s = now_s
        self._settings: tuple[DerivedSettings, ...] = ()
        self._due: dict[str, float] = {}
        self._newest: dict[str, Newest] = {}
        self._calibrations: Mapping[str, Calibration] = {}
        self.figures: dict[str, tuple[DerivedSettings, Figure]] = {}
        """The newest of each derived quantity, by its id."""
        self.watched: frozenset[str] = frozenset()
        """The sensors whose readings `observe` needs."""
        self.trusted: Callable[[], bool] = lambda: True
        """Whether the gateway's clock is right; hours are kept only then."""

    def reconfigure(self, settings: Sequence[DerivedSettings]) -> None:
        """Take new derived quantities. What is known of a sensor that stays is kept."""
        self._settings = tuple(settings)
        ids = {one.id for one in settings}
        over_time = {one.sensors["of"] for one in settings if "of" in one.sensors}
        wanted = {name for one in settings for name in one.sensors.values()} | ids
        self._newest = {name: self._newest.get(name) or Newest() for name in wanted}
        for name, known in self._newest.items():
            known.history = (known.history or History()) if name in over_time else None
        self.figures = {name: found for name, found in self.figures.items() if name in ids}
        self._due = {name: due for name, due in self._due.items() if name in ids}
        self.watched = self._hours.wanted.union(self._newest)

    def calibrate(self, calibrations: Mapping[str, Calibration]) -> None:
        """Take new calibrations, by sensor."""
        self._calibrations = calibrations

    @property
    def calibrations(self) -> Mapping[str, Calibration]:
        """The calibrations in use, by sensor."""
        return self._calibrations

    def calibrated(self, readings: list[Reading]) -> list[Reading]:
        """The same readings, with the calibrated value in place of the raw one (U1): the list itself if none is."""
        known = self._calibrations
        if not known or known.keys().isdisjoint(map(_sensor_id, readings)):
            return readings
        return [
            reading
            if (found := known.get(reading.sensor_id)) is None
            else reading._replace(value=found.apply(reading.value))
            for reading in readings
        ]

    def stamp(self, readings: Sequence[Reading], envelopes: list[Envelope]) -> None:
        """Write the calibrated value beside the raw one into the records of calibrated probes (U1, U2)."""
        if not self._calibrations or self._calibrations.keys().isdisjoint(map(_sensor_id, readings)):
            return
        now = datetime.fromtimestamp(self._now_s(), UTC)
        for place, reading in enumerate(readings):
            found = self._calibrations.get(reading.sensor_id)
            if found is None:
                continue
            said = {
                "calibrated": found.apply(reading.value),
                "calibrated_on": found.on.isoformat(),
                **({"calibration_overdue": True} if found.overdue(now) else {}),
            }
            envelope = envelopes[place]
            envelopes[place] = envelope._replace(value=envelope.value[:-1] + b"," + orjson.dumps(said)[1:])

    def observe(
        self, readings: list[Reading], raw: list[Reading], doubts: Sequence[int] | None = None
    ) -> list[Reading]:
        """Take calibrated readings; what goes upstream: the raw values, with what was found of their times.

        `doubts` are those of each reading (agent.farm.quality).
        """
        if not self.watched.isdisjoint(map(_sensor_id, readings)):
            self._observe(readings, doubts)
        if readings is raw:
            return raw
        return [one._replace(value=as_it_came.value) for one, as_it_came in zip(readings, raw, strict=True)]

    def _observe(self, readings: Sequence[Reading], doubts: Sequence[int] | None = None) -> None:
        """One whose time is in doubt says nothing of now, and is passed over; so is one that is out of range.

        Hours are made of readings without a doubt.
        """
        now_s = self._now_s()
        hours = self._hours.wanted if self.trusted() else frozenset[str]()
        for reading, doubted in zip(readings, repeat(0) if doubts is None else doubts, strict=False):
            name = reading.sensor_id
            if doubted > 0 and doubted & RANGE:
                continue
            known = self._newest.get(name)
            if known is None and name not in hours:
                continue
            doubt = reading.doubt
            if doubt is not None and not doubt.steady and (doubt.far or doubt.retained or doubt.queued):
                continue
            at_s = reading.at.timestamp() if reading.at_device and doubt is None else now_s
            if known is not None:
                self._take(known, reading, at_s, now_s)
            if name in hours and doubted <= 0:
                self._hours.add(name, at_s, reading.value, now_s)

    def _take(self, known: Newest, reading: Reading, at_s: float, now_s: float) -> None:
        at_s = min(at_s, now_s)
        if known.history is not None:
            known.history.add(int(at_s // 60), reading.value)
        if known.at_s is not None and at_s < known.at_s <= now_s:
            return  # late: something newer is known
        known.value, known.unit, known.at_s = reading.value, reading.unit, at_s
        found = self._calibrations.get(reading.sensor_id)
        overdue = found is not None and found.overdue(datetime.fromtimestamp(now_s, UTC))
        known.note = f"{reading.sensor_id}: {_OVERDUE}" if overdue else ""

    def derive(self) -> tuple[list[Reading], list[Envelope]]:
        """Compute what is due: values to be judged, and the records of all (U3)."""
        now_s = self._now_s()
        now = datetime.fromtimestamp(now_s, UTC)
        at = now.isoformat(timespec="milliseconds")[:23] + "Z"
        readings: list[Reading] = []
        envelopes: list[Envelope] = []
        for settings in self._settings:
            due = self._due.get(settings.id, 0.0)
            # A clock that was set back must not stop it.
            if now_s < due <= now_s + settings.every_s:
                continue
            self._due[settings.id] = now_s + settings.every_s
            found = derive(settings, self._newest, now_s)
            self.figures[settings.id] = settings, found
            quality = Quality.SUSPECT if found.notes else Quality.UNJUDGED
            quality = Quality.BAD if found.value is None else quality
            envelopes.append(
                derived_envelope(found, settings.kind, (self._site_id, settings.tank_id), at, quality.value)
            )
            if found.value is None:
                continue
            reading = Reading(
                settings.id,
                settings.kind,
                found.value,
                found.unit,
                settings.tank_id,
                self._site_id,
                now,
                at_device=False,
                received_ns=time.monotonic_ns(),
            )
            readings.append(reading)
            self._observe([reading])
        return readings, envelopes
