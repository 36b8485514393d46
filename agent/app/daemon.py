"""The daemon as a whole. `_plan` reads as the architecture: its units stand in the order in which data flows."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvloop

from agent import __version__, logs
from agent.app.control import Reloads, Systemd
from agent.app.figures import samples
from agent.app.health import DaemonHealth
from agent.app.sources import Sources
from agent.app.uplink import Uplink
from agent.events import Alert, AlertState, Encoder, Severity, SystemEvent, SystemEventKind
from agent.farm.limits import Limits
from agent.http import HttpServer
from agent.metrics import Histogram, Metrics
from agent.pipeline import Alerts, Intake, LogWatch, Outbox, SensorLimits
from agent.reload import Hooks, Part, Planned, Reload, Topology, choose
from agent.supervisor import EssentialUnitFailed, Stage, State, Supervisor, Unit
from agent.systemd import Notifier
from models.host import ModelHost
from models.spec import read as read_model
from models.values import Misconfigured as ModelMisconfigured
from sync.log import LogSettings, SqliteLog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from agent.config import Config
    from agent.config.schema import Http
    from agent.events.records import FleetReported
    from agent.reload import Choice
    from agent.supervisor import UnitReport

log = logging.getLogger("tidegate")

_STOP_BOUND_S = 25.0


def run(path: Path) -> int:
    """Run the daemon until it is told to stop; the exit status.

    Raises:
        agent.config.ConfigErrors: there is no document to run on.
    """
    choice = choose(path)
    logs.configure(choice.config.logging.level, choice.config.logging.format)
    for note in choice.notes:
        log.error("%s", note)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Daemon(path, choice).main())


class Daemon:
    """Everything that lives as long as the process: the log, the pipeline, supervision; and the plan of the rest."""

    def __init__(self, path: Path, choice: Choice) -> None:
        config = choice.config
        self.identity = config.gateway
        self.log = SqliteLog(log_settings(config))
        self.ack_latency = Histogram()
        self.encoder = Encoder(config.gateway.id, config.gateway.site)
        self.outbox = Outbox(self.log)
        self.alerts = Alerts(self.outbox, self.encoder)
        self.intake = Intake(self.outbox, self.alerts, self.encoder, self.ack_latency.observe)
        self.watch = LogWatch(self.log, self.outbox, self.alerts, self.encoder, config.gateway.site)
        self.host = ModelHost()
        self.sources = Sources(self.intake, self.alerts, self.outbox, self.encoder, self.host)
        self.uplink = Uplink(self.log, self.outbox, self.alerts, config.gateway.site)
        self.supervisor = Supervisor(self._unit_changed)
        self.reload = Reload(
            path,
            Topology(self.supervisor),
            Hooks(self._plan, _refusals, self._adopt, self._report),
            choice,
        )
        self.metrics = Metrics()
        self.metrics.source(lambda: samples(self))
        self.health = DaemonHealth(self)
        self.notifier = Notifier.from_environment()
        self.systemd = Systemd(self.notifier, self.supervisor)
        self.reloads = Reloads(self.reload, choice, self.notifier)
        self._server: HttpServer | None = None

    @property
    def http_port(self) -> int | None:
        """The TCP port that is bound."""
        return self._server.port if self._server else None

    async def main(self) -> int:
        """Start from nothing, run, stop in order; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self.reloads.hangup)
        try:
            await self.supervisor.run(self._begin)
        except EssentialUnitFailed as failure:
            log.critical("stopped: %s", failure)
            return 1
        finally:
            await asyncio.to_thread(self.host.close)
        log.info("stopped in order")
        return 0

    def _begin(self) -> None:
        log.info("tidegate %s, gateway %s", __version__, self.identity.id)
        self._event(SystemEventKind.STARTED, f"tidegate {__version__} started", {"version": __version__})
        self.supervisor.start(Unit("reload", Stage.CONTROL, self.reloads.run, essential=True))

    def _plan(self, config: Config) -> Sequence[Planned]:
        return [
            _lasting("log", Stage.CONTROL, self.log.run, essential=True),
            _lasting("pipeline", Stage.PROCESS, self._pipeline, essential=True),
            *self.sources.plan(config),
            *self.uplink.plan(config, self.reloads.from_push),
            Planned("http", config.http, self._http),
            _lasting("systemd", Stage.CONTROL, self.systemd.run),
        ]

    async def _pipeline(self) -> None:
        """The pipeline's own running half; readings themselves are judged where they are received."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.alerts.run(), name="alerts")
            group.create_task(self.watch.run(), name="log-watch")

    def _http(self, settings: Http) -> Part:
        self._server = HttpServer(settings.host, settings.port, self.identity.runtime_dir, self.health)
        return Part(Unit("http", Stage.CONTROL, self._server.run))

    def _adopt(self, config: Config) -> None:
        logs.configure(config.logging.level, config.logging.format)
        self.intake.reconfigure(
            [
                SensorLimits(sensor.id, Limits(sensor.limits.low, sensor.limits.high, sensor.limits.hysteresis))
                for sensor in config.sensors
            ]
        )

    def _report(self, report: FleetReported) -> None:
        envelopes = [self.encoder.fleet_reported(report)]
        if report.outcome == "applied":
            event = SystemEvent(
                event=SystemEventKind.CONFIG_CHANGED,
                severity=Severity.INFO,
                source="reload",
                text=f"document {report.revision[:12]} from {report.source} applied",
                at=report.at,
                data={"revision": report.revision, "units": report.changed_units, "problems": report.problems},
            )
            envelopes.append(self.encoder.system_event(event))
        self.outbox.post(envelopes)

    def _unit_changed(self, report: UnitReport) -> None:
        failed = report.state is State.FAILED
        known = any(alert.alert_id == f"unit/{report.name}" for alert in self.alerts.active())
        if failed == known or report.state is State.STARTING:
            return
        self.alerts.say(
            Alert(
                alert_id=f"unit/{report.name}",
                state=AlertState.RAISED if failed else AlertState.CLEARED,
                severity=Severity.WARNING if failed else Severity.INFO,
                kind="unit_failed",
                source=report.name,
                text=f"{report.name} failed: {report.reason}" if failed else f"{report.name} is {report.state.value}",
                at=datetime.now(UTC),
                site_id=self.identity.site,
            )
        )

    def _event(self, kind: SystemEventKind, text: str, data: dict[str, object]) -> None:
        event = SystemEvent(
            event=kind, severity=Severity.INFO, source="daemon", text=text, at=datetime.now(UTC), data=data
        )
        self.outbox.post([self.encoder.system_event(event)])

    def _stop(self, number: int) -> None:
        if self.supervisor.is_stopping:
            log.critical("stopped at once, at the second signal; what was acknowledged is on disk")
            os._exit(128 + number)
        log.info("stopping")
        self.notifier.stopping()
        self._event(SystemEventKind.STOPPED, "told to stop", {"signal": signal.Signals(number).name})
        # A thread of native code that hangs would keep the interpreter from ending; what counts is on disk.
        bound = threading.Timer(_STOP_BOUND_S, os._exit, (1,))
        bound.daemon = True
        bound.start()
        self.supervisor.stop()


def log_settings(config: Config) -> LogSettings:
    """The log as its spoke takes it."""
    return LogSettings(
        path=config.gateway.state_dir / "log.sqlite",
        gateway_id=config.gateway.id,
        site_id=config.gateway.site,
        commit_interval_s=config.log.commit_interval_ms / 1000,
        log_stall_s=config.log.log_stall_s,
        max_bytes=config.log.max_bytes,
        max_age_s=config.log.max_age_days * 86_400,
        compression_level=config.log.compression_level,
    )


def _lasting(name: str, stage: Stage, run: Callable[[], Awaitable[None]], *, essential: bool = False) -> Planned:
    """A unit that no document changes."""
    return Planned(name, None, lambda _: Part(Unit(name, stage, run, essential=essential)))


def _refusals(config: Config) -> list[str]:
    """Models that config names and that will never answer. A folder that is not there yet is no such reason."""
    problems = []
    for number, model in enumerate(config.models):
        try:
            read_model(model.path)
        except ModelMisconfigured as fault:
            problems.append(f"models[{number}].path: {fault.reason}")
    return problems
