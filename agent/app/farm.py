"""The units of the farm: derived quantities, figures, and the session on which events come."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import orjson

from agent.app.sources import mqtt_settings
from agent.events.figures import figure_body
from agent.farm.stock.lice import LiceLimit
from agent.farm.water.calibration import Calibration, coefficients_of, newest
from agent.farm.water.derived import INPUTS, DerivedSettings
from agent.farm.water.score import Objective
from agent.pipeline.farm import Dispatch, FarmSettings, Hours, Register, ScoreVariable, TankSettings, Water
from agent.pipeline.farm.watch import FigureWatch
from agent.records import FarmFile
from agent.reload import Part, Planned
from agent.supervisor import Stage, Unit
from drivers import Document, Unreadable
from drivers.mqtt import MqttDriver, SubscriptionSettings
from drivers.mqtt.documents import documents
from sync.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.app.certificates import CertificateDates
    from agent.config import Config
    from agent.config.schema import Derived, ProbeCalibration
    from agent.events import Encoder
    from agent.farm.figure import Figure
    from agent.pipeline import Alerts, Intake, Outbox
    from agent.pipeline.farm.register import Answer
    from drivers import Observation
    from drivers.mqtt import MqttSettings
    from sync.seams import Log

log = logging.getLogger("tidegate.farm")

ANSWERS: Final = "tidegate/farm/answers"
"""Where on the local broker it is said what became of an event."""
_EVERY_S: Final = 60.0
_LOOK_S: Final = 1.0
_SAMPLE: Final = 200


class Farm:
    """Lives as long as the process; `plan` gives the units of a document."""

    def __init__(  # noqa: PLR0917 - what it stands between
        self, config: Config, durable: Log, intake: Intake, outbox: Outbox, alerts: Alerts, encoder: Encoder
    ) -> None:
        self._intake = intake
        self._outbox = outbox
        self._encoder = encoder
        self._log = durable
        self._watch = FigureWatch(alerts)
        site = config.gateway.site
        self._file = FarmFile(config.gateway.state_dir / "farm.sqlite")
        self.hours = Hours(self._file)
        self.water = Water(site, self.hours)
        self.register = Register(self._file, self.hours)
        self._dispatch = Dispatch(self._file, durable, site)
        self._configured: list[Calibration] = []
        self._derived: tuple[DerivedSettings, ...] = ()
        self.configured = False
        """Whether there is a farm section."""

    def plan(self, config: Config, dates: CertificateDates | None) -> list[Planned]:
        """The units of a document, in the order in which data flows."""
        planned = []
        if config.derived:
            planned.append(Planned("derived", None, lambda _: Part(Unit("derived", Stage.PROCESS, self._derive))))
        if config.farm is not None:
            planned.append(Planned("farm", None, lambda _: Part(Unit("farm", Stage.PROCESS, self._run))))
            if config.farm.topic is not None:
                planned.append(Planned("farm-events", _session(config, config.farm.topic, dates), self._events))
        return planned

    def adopt(self, config: Config) -> None:
        """Take a document that is applied."""
        self.configured = config.farm is not None
        self._configured = [_calibration(one) for one in config.calibrations]
        settings = farm_settings(config)
        self.register.reconfigure(settings)
        self.hours.want(name for tank in settings.tanks for name in tank.sensors)
        self._derived = tuple(derived_settings(one) for one in config.derived)
        self.water.reconfigure(self._derived)
        self._calibrate()
        needed = self._derived or self.hours.wanted or self._configured or self.configured
        self._intake.water = self.water if needed else None

    def _calibrate(self) -> None:
        self.water.calibrate(newest([*self._configured, *self.register.calibrations()]))

    async def _derive(self) -> None:
        """Compute derived quantities until cancelled."""
        while True:
            readings, envelopes = self.water.derive()
            if readings:
                self._intake.judge(readings)
            if envelopes:
                self._outbox.post(envelopes)
            await asyncio.sleep(_LOOK_S)

    async def _run(self) -> None:
        """Keep figures until cancelled. Raises NotReady and Misconfigured, as the file has it."""
        await self.register.load()
        await self.hours.load(datetime.now(UTC).timestamp())
        self._calibrate()
        try:
            while True:
                # Before the figures: what is recorded while they are computed must wake this again.
                self.register.changed.clear()
                await self._once()
                await self._dispatch.run_once()
                seconds = _EVERY_S - datetime.now(UTC).timestamp() % _EVERY_S
                try:
                    async with asyncio.timeout(min(seconds, _EVERY_S)):
                        await self.register.changed.wait()
                except TimeoutError:
                    pass
        finally:
            # What was measured in this minute is kept; a disk that hangs or is full holds no stop up.
            with contextlib.suppress(TimeoutError, NotReady, Misconfigured):
                async with asyncio.timeout(2.0):
                    await self.hours.write(datetime.now(UTC).timestamp(), last=True)
                    await self._file.close()

    async def _once(self) -> None:
        trusted = self._log.stats().clock_trusted
        if trusted:
            await self.hours.write(datetime.now(UTC).timestamp())
        await self.register.refresh()
        if trusted:
            await self.register.make_hourly()
            for event in await self.register.look_for_trouble():
                self._outbox.post([self._encoder.system_event(event)])
        self._calibrate()
        self._watch.look(self.register.figures.values(), self.register.settings)

    def _events(self, settings: MqttSettings) -> Part:
        driver: MqttDriver | None = None

        async def run() -> None:
            nonlocal driver
            if driver is None:
                driver = MqttDriver(settings, read=documents)
            said = driver
            await driver.run(lambda batch: self._take(batch, said))

        async def adapt(fresh: MqttSettings) -> bool:
            nonlocal settings
            if driver is None or not await driver.reconfigure(fresh):
                return False
            settings = fresh
            return True

        def up() -> str | None:
            connected = driver is not None and driver.connected
            return None if connected else f"connecting to {settings.host}:{settings.port}"

        return Part(Unit("farm-events", Stage.SOURCE, run, up=up), adapt)

    async def _take(self, batch: Sequence[Observation], driver: MqttDriver) -> None:
        """Record what a batch reports; done once it is on disk. Raises NotReady and Misconfigured."""
        found: list[tuple[Document, Any]] = []
        for seen in batch:
            if isinstance(seen, Unreadable):
                self._refuse(seen)
            elif isinstance(seen, Document) and not seen.topic.startswith(ANSWERS):
                try:
                    said = orjson.loads(seen.payload)
                except ValueError:
                    said = None
                found += [(seen, one) for one in (said if isinstance(said, list) else [said])]
        answers = await self.register.record([one for _, one in found])
        for (document, _), answer in zip(found, answers, strict=True):
            if answer.outcome == "refused":
                sample = document.payload[:_SAMPLE].decode(errors="backslashreplace")[:_SAMPLE]
                self._refuse(Unreadable("farm-events", document.topic, answer.reason, sample, document.at))
        if answers:
            self._answering = asyncio.ensure_future(_answer(driver, answers))

    def _refuse(self, message: Unreadable) -> None:
        event = self._intake.unreadable.see(message)
        if event is not None:
            self._outbox.post([self._encoder.system_event(event)])

    async def record(self, found: Sequence[Any]) -> list[dict[str, Any]]:
        """Record events that were reported over HTTP; what became of each. Raises NotReady and Misconfigured."""
        return [answer._asdict() for answer in await self.register.record(found)]

    def figures(self) -> list[dict[str, Any]]:
        """The newest figures of every tank."""
        return [
            {
                "tank_id": tank.tank_id,
                "species": tank.species,
                "cycle_began": None if tank.cycle_began is None else tank.cycle_began.isoformat(),
                "figures": [figure_body(one) for one in tank.figures],
            }
            for tank in self.register.figures.values()
        ]

    def derived(self) -> list[dict[str, Any]]:
        """The newest of each derived quantity."""
        return [
            {"id": name, "kind": settings.kind, "tank_id": settings.tank_id, **figure_body(found)}
            for name, (settings, found) in self.water.figures.items()
        ]

    def calibrations(self) -> list[dict[str, Any]]:
        """The calibrations in use, and whether a new one is due."""
        now = datetime.now(UTC)
        return [
            {"sensor_id": one.sensor_id, "done": one.on.isoformat(), "by": one.by, "overdue": one.overdue(now)}
            for one in self.water.calibrations.values()
        ]

    def explain(self, name: str) -> list[dict[str, Any]]:
        """A figure of every tank that has it, or a derived quantity, with inputs, formula and source."""
        found: list[tuple[str, Figure]] = [
            (tank.tank_id, one) for tank in self.register.figures.values() for one in tank.figures if one.name == name
        ]
        if name in self.water.figures:
            settings, figure = self.water.figures[name]
            found.append((settings.tank_id, figure))
        return [{"tank_id": tank_id, **figure_body(one, explained=True)} for tank_id, one in found]

    def names(self) -> list[str]:
        """What `explain` can be asked for."""
        figures = [one.name for tank in self.register.figures.values() for one in tank.figures]
        return list(dict.fromkeys([*figures, *self.water.figures]))


async def _answer(driver: MqttDriver, answers: Sequence[Answer]) -> None:
    """Tell whoever reported what became of it; nobody need listen."""
    try:
        for answer in answers:
            await driver.publish(ANSWERS, orjson.dumps(answer._asdict()), qos=1)
    except NotReady:
        return  # the session ended; the same event sent again is answered with `known`


def _session(config: Config, topic: str, dates: CertificateDates | None) -> MqttSettings:
    """A session of its own on the local broker: a disk that does not take events must hold no reading up."""
    local = next(one for one in config.mqtt if one.local)
    settings = mqtt_settings(local, config, dates)
    return dataclasses.replace(
        settings,
        name=f"{settings.name}-farm",
        client_id=f"{settings.client_id}-farm",
        subscriptions=(SubscriptionSettings(topic=topic, sensor_id="event", sensor_type="event", tank="event"),),
        sensors=(),
        subscriptions_file=config.gateway.state_dir / f"mqtt-{settings.name}-farm.subscriptions",
        gather_s=0.0,
    )


def farm_settings(config: Config) -> FarmSettings:
    """The farm section as the pipeline takes it."""
    farm = config.farm
    if farm is None:
        return FarmSettings(config.gateway.site)
    return FarmSettings(
        site_id=config.gateway.site,
        zone=ZoneInfo(farm.zone),
        tanks=tuple(
            TankSettings(
                tank.tank,
                tank.species,
                tank.temperature or "",
                tuple(ScoreVariable(one.sensor, Objective(one.low, one.high, one.source)) for one in tank.score),
            )
            for tank in farm.tanks
        ),
        lice_limits=tuple(
            LiceLimit(one.limit, one.first_week, one.last_week, one.year, one.least_fish, one.source)
            for one in farm.lice_limits
        ),
        mortality_alert_percent=farm.alerts.mortality_percent or None,
        mortality_alert_times=farm.alerts.mortality_times or None,
        score_alert=farm.alerts.score or None,
    )


def derived_settings(item: Derived) -> DerivedSettings:
    """One derived quantity as the domain takes it."""
    names = INPUTS[item.kind]
    fixed = {"salinity": item.salinity_psu, "pressure": item.pressure_hpa}
    return DerivedSettings(
        id=item.id,
        kind=item.kind,
        tank_id=item.tank,
        sensors={name: sensor for name in names if (sensor := getattr(item, name)) is not None},
        fixed={name: value for name in names if (value := fixed.get(name)) is not None},
        max_age_s=item.max_age_s,
        every_s=item.every_s,
    )


def _calibration(item: ProbeCalibration) -> Calibration:
    points = None if item.points is None else tuple((raw, true) for raw, true in item.points)
    numbers = None if item.coefficients is None else tuple(item.coefficients)
    return Calibration(item.sensor, coefficients_of(points, numbers), item.done, item.by, item.valid_days)
