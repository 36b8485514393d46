"""The units that bring data in and look at it, built from their sections of the configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.config import Problem
from agent.metrics import Histogram
from agent.pipeline import Connection, FrameSlots, ModelRunner
from agent.reload import Part, Planned
from agent.supervisor import Stage, State, Unit
from drivers import Misconfigured, units
from drivers.camera import CameraDriver, CameraSettings
from drivers.mqtt import (
    ChannelSettings,
    KnownSensor,
    LayoutField,
    MqttDriver,
    MqttSettings,
    PayloadSettings,
    SubscriptionSettings,
    TlsSettings,
)
from drivers.mqtt.topics.routes import Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from agent.app.certificates import CertificateDates
    from agent.config import Config
    from agent.config.schema import Mqtt, Subscription
    from agent.config.schema.sensors import Range
    from agent.events import Encoder
    from agent.pipeline import Alerts, Intake, Outbox
    from agent.supervisor import UnitReport
    from models.host import ModelHost
    from models.values import Prediction

_GATHERED_SHARE = 0.08
_GATHERED_MOST_S = 0.016
"""An alarm among other readings waits so long at most, one that comes alone not at all; at 200 readings/s three or
four are read at a time then, for less than half of the CPU."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model as its unit takes it."""

    name: str
    path: Path
    threads: int
    score_threshold: float | None


@dataclass(frozen=True, slots=True)
class WatchedCamera:
    """A camera, and the model that looks at its frames."""

    settings: CameraSettings
    model: str | None


class Sources:
    """Builds MQTT connections, cameras and models, and knows those of the plan, for figures and status."""

    def __init__(
        self,
        intake: Intake,
        alerts: Alerts,
        outbox: Outbox,
        encoder: Encoder,
        host: ModelHost,
        *,
        dates: CertificateDates | None = None,
    ) -> None:
        self._intake = intake
        self._alerts = alerts
        self._outbox = outbox
        self._encoder = encoder
        self._host = host
        self._dates = dates
        self._local = ""
        self._names: dict[str, str] = {}
        """The connections of the plan, by their units' names."""
        self.session_lost: Callable[[str], None] = lambda _: None
        """Told the name of a connection whose broker has lost the session."""
        self.slots: dict[str | None, FrameSlots] = {}
        self.connections: dict[str, MqttDriver] = {}
        self.cameras: dict[str, CameraDriver] = {}
        self.runners: dict[str, ModelRunner] = {}
        self.inference: dict[str, Histogram] = {}

    def plan(self, config: Config) -> list[Planned]:
        """In the order in which data flows: what looks is there before what brings."""
        self._forget_all_but(config)
        self._local = next((one.name for one in config.mqtt if one.local), "")
        self._names = {_unit_of(one): one.name for one in config.mqtt}
        site = config.gateway.site
        return [
            *(
                Planned(
                    f"model:{model.name}",
                    ModelSettings(model.name, model.path, model.threads, model.score_threshold),
                    self._model,
                )
                for model in config.models
            ),
            *(
                Planned(
                    _unit_of(connection),
                    (connection.local, mqtt_settings(connection, config, self._dates)),
                    self._mqtt,
                )
                for connection in config.mqtt
            ),
            *(
                Planned(
                    f"camera:{camera.name}",
                    WatchedCamera(
                        CameraSettings(
                            name=camera.name,
                            source=camera.source,
                            tank_id=camera.tank,
                            site_id=site,
                            fps=camera.fps,
                            loop=camera.loop,
                            heartbeat_timeout_s=camera.heartbeat_timeout_s,
                            max_width=camera.max_width,
                            max_height=camera.max_height,
                        ),
                        camera.model,
                    ),
                    self._camera,
                )
                for camera in config.cameras
            ),
        ]

    def brokers(self, reports: Iterable[UnitReport]) -> Iterator[Connection]:
        """The MQTT connections as they are now, by what the supervisor reports of them."""
        for report in reports:
            name = self._names.get(report.name)
            if name is None:
                continue  # not an MQTT connection, or one that is being stopped
            driver = self.connections.get(name)
            unsteady = driver.unsteady if driver is not None else ""
            served = report.state is State.RUNNING or (driver is not None and driver.connected and unsteady)
            why = f"{report.reason or report.state.value}{report.hint and f' ({report.hint})'}"
            yield Connection(name, name == self._local, "" if served else why, unsteady)

    def _mqtt(self, planned: tuple[bool, MqttSettings]) -> Part:
        local, settings = planned
        driver: MqttDriver | None = None

        async def run() -> None:
            # Made here, so that what its constructor refuses is the supervisor's to judge, like all the rest.
            # Once: over its reconnects it counts, and knows what the session at the broker holds.
            nonlocal driver
            if driver is None:
                driver = MqttDriver(settings, receipts=self._outbox.receipts, hurry=self._outbox.hurry)
                driver.on_session_lost = lambda: self.session_lost(settings.name)
            self.connections[settings.name] = driver
            if local:
                driver.on_connect = self._alerts.connected
                self._alerts.local = driver
            try:
                await driver.run(self._intake.take)
            finally:
                if self._alerts.local is driver:
                    self._alerts.local = None

        async def adapt(fresh: tuple[bool, MqttSettings]) -> bool:
            nonlocal settings
            if driver is None or fresh[0] != local or not await driver.reconfigure(fresh[1]):
                return False
            settings = fresh[1]
            return True

        def up() -> str | None:
            if driver is not None and driver.unsteady:
                return driver.unsteady
            if driver is None or not driver.connected:
                return f"connecting to {settings.host}:{settings.port}"
            refused = driver.stats.refused
            return f"the broker refuses the subscription to {', '.join(refused)}" if refused else None

        return Part(Unit(f"mqtt:{settings.name}", Stage.SOURCE, run, up=up), adapt)

    def _camera(self, watched: WatchedCamera) -> Part:
        settings = watched.settings
        slots = self._slots_of(watched.model)
        driver: CameraDriver | None = None

        async def run() -> None:
            nonlocal driver
            if driver is None:
                driver = CameraDriver(settings)
            self.cameras[settings.name] = driver
            await driver.run(slots.put)

        def up() -> str | None:
            return None if driver is not None and driver.stats.open else "no picture yet"

        return Part(Unit(f"camera:{settings.name}", Stage.SOURCE, run, up=up))

    def _model(self, settings: ModelSettings) -> Part:
        seconds = self.inference.setdefault(settings.name, Histogram())

        def observe(prediction: Prediction) -> None:
            seconds.observe(prediction.inference_s)

        runner = ModelRunner(
            lambda: self._host.load(settings.name, settings.path, settings.threads, settings.score_threshold),
            self._slots_of(settings.name),
            self._outbox,
            self._encoder,
            observe,
        )
        self.runners[settings.name] = runner
        return Part(Unit(f"model:{settings.name}", Stage.PROCESS, runner.run))

    def _forget_all_but(self, config: Config) -> None:
        """What a document no longer names must not stay in the figures, as if it still stood there."""
        connections, cameras, models = (
            {entry.name for entry in entries} for entries in (config.mqtt, config.cameras, config.models)
        )
        self.connections = {name: one for name, one in self.connections.items() if name in connections}
        self.cameras = {name: one for name, one in self.cameras.items() if name in cameras}
        self.runners = {name: one for name, one in self.runners.items() if name in models}
        self.inference = {name: one for name, one in self.inference.items() if name in models}
        self.slots = {name: one for name, one in self.slots.items() if name is None or name in models}

    def _slots_of(self, model: str | None) -> FrameSlots:
        return self.slots.setdefault(model, FrameSlots())


def _unit_of(connection: Mqtt) -> str:
    return f"mqtt:{connection.name}"


def mqtt_settings(connection: Mqtt, config: Config, dates: CertificateDates | None = None) -> MqttSettings:
    """A connection as the driver takes it, with the sensors that config knows by name."""
    tls = connection.tls
    return MqttSettings(
        name=connection.name,
        client_id=connection.client_id or f"tidegate-{config.gateway.id}-{connection.name}",
        site=config.gateway.site,
        host=connection.host,
        port=connection.port,
        version=connection.version,
        username=connection.username,
        password_file=connection.password_file,
        tls=TlsSettings(tls.ca_file, tls.cert_file, tls.key_file, tls.insecure_skip_verify, dates) if tls else None,
        keepalive_s=connection.keepalive_s,
        session_expiry_s=connection.session_expiry_s,
        receive_maximum=connection.receive_maximum,
        subscriptions=tuple(_subscription(item) for item in connection.subscriptions),
        sensors=tuple(
            KnownSensor(
                known.id,
                known.type,
                units.name_of(known.unit, known.type) or known.unit,
                known.tank,
                known.device_kind or "",
                tuple(known.sentinels),
                _bounds(known.range),
            )
            for known in config.sensors
        ),
        subscriptions_file=config.gateway.state_dir / f"mqtt-{connection.name}.subscriptions",
        gather_s=min(config.log.commit_interval_ms / 1_000 * _GATHERED_SHARE, _GATHERED_MOST_S),
    )


def _bounds(measured: Range) -> tuple[float, float] | None:
    if measured.low is None and measured.high is None:
        return None
    return (
        -math.inf if measured.low is None else measured.low,
        math.inf if measured.high is None else measured.high,
    )


def unusable(config: Config) -> list[Problem]:
    """Subscriptions that no connection can use, though the document is valid by the schema."""
    problems = []
    for number, connection in enumerate(config.mqtt):
        try:
            Routes(mqtt_settings(connection, config))
        except Misconfigured as fault:
            problems.append(Problem("", 0, ("mqtt", number, *fault.where), fault.reason, fault.hint))
    return problems


def _subscription(item: Subscription) -> SubscriptionSettings:
    return SubscriptionSettings(
        topic=item.topic,
        qos=item.qos,
        payload=PayloadSettings(
            **item.payload.model_dump(exclude={"columns", "layout"}),
            columns=tuple(item.payload.columns),
            layout=tuple(LayoutField(**field.model_dump()) for field in item.payload.layout),
        ),
        sensor_id=item.sensor_id,
        sensor_type=item.sensor_type,
        tank=item.tank,
        site=item.site,
        unit=None if item.unit is None else units.name_of(item.unit, item.sensor_type) or item.unit,
        channels=tuple(ChannelSettings(one.channel, one.sensor_id, one.device) for one in item.channels),
    )
