"""The daemon as a whole. `_plan` reads as the architecture: its units stand in the order in which data flows."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

import uvloop

from agent import __version__, logs
from agent.app import metrics_upstream
from agent.app.control import Reloads, Systemd
from agent.app.figures import samples
from agent.app.health import HubHealth
from agent.app.hub import Hub
from agent.events import SystemEventKind
from agent.http import ControlSocket, HttpServer
from agent.metrics import Metrics
from agent.reload import Part, Planned, choose
from agent.supervisor import EssentialUnitFailed, Stage, Unit
from agent.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from agent.config import Config
    from agent.config.schema import Http
    from agent.reload import Choice

log = logging.getLogger("tidegate")

_STOP_BOUND_S = 25.0
_COLLECT_AFTER = 50_000
"""Objects made before rings of garbage are looked for. Readings make none; at Python's own 700 that look was a sixth
of all CPU at full load."""


def run(path: Path) -> int:
    """Run the daemon until it is told to stop; the exit status.

    Raises:
        agent.config.ConfigErrors: there is no document to run on.
    """
    choice = choose(path)
    logs.configure(choice.config.logging.level, choice.config.logging.format)
    for note in choice.notes:
        log.error("%s", note)
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Daemon(path, choice).main())


class Daemon:
    """One run: signals in, units started and stopped in order, an exit status out."""

    def __init__(self, path: Path, choice: Choice) -> None:
        self.hub = Hub(path, choice, self._plan)
        self._metrics = Metrics()
        self._metrics.source(lambda: samples(self.hub))
        self._notifier = Notifier.from_environment()
        self._systemd = Systemd(self._notifier, self.hub.supervisor)
        self._reloads = Reloads(self.hub.reload, choice, self._notifier)
        self._health = HubHealth(self.hub, self._metrics, self._reloads)
        self._control = ControlSocket(choice.config.gateway.runtime_dir, self._health)

    async def main(self) -> int:
        """Start from nothing, run, stop in order; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reloads.hangup)
        try:
            await self.hub.supervisor.run(self._begin)
        except EssentialUnitFailed as failure:
            log.critical("stopped: %s", failure)
            return 1
        log.info("stopped cleanly")
        return 0

    def _begin(self) -> None:
        log.info("tidegate %s, gateway %s", __version__, self.hub.identity.id)
        self.hub.event(SystemEventKind.STARTED, f"tidegate {__version__} started", {"version": __version__})
        self.hub.supervisor.start(Unit("reload", Stage.CONTROL, self._reloads.run, essential=True))

    def _plan(self, config: Config) -> Sequence[Planned]:
        hub = self.hub
        return [
            _lasting("log", Stage.CONTROL, hub.log.run, essential=True),
            _lasting("pipeline", Stage.PROCESS, self._pipeline, essential=True),
            _lasting("model-host", Stage.PROCESS, self._model_host),
            *hub.farm.plan(config, hub.certificates),
            *hub.sources.plan(config),
            *hub.uplink.plan(config, self._reloads.from_push),
            *metrics_upstream.planned(config, self._metrics, hub.outbox, hub.log),
            Planned("http", config.http, self._http),
            _lasting("control", Stage.CONTROL, self._control.run),
            _lasting("systemd", Stage.CONTROL, self._systemd.run),
        ]

    async def _pipeline(self) -> None:
        """The pipeline's own running half; readings themselves are judged where they are received."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.hub.alerts.run(), name="alerts")
            group.create_task(self.hub.watch.run(), name="log-watch")
            group.create_task(self.hub.certificates.run(), name="certificate-dates")
            group.create_task(self.hub.brokers.run(), name="broker-watch")
            group.create_task(self.hub.streams.run(), name="stream-watch")
            group.create_task(self.hub.rules.run(), name="rules")

    async def _model_host(self) -> None:
        """Ends the models' process when the stage stops, so that a model that hangs holds nobody up."""
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(self.hub.models.close)

    def _http(self, settings: Http) -> Part:
        self.hub.http = HttpServer(settings.host, settings.port, self.hub.identity.runtime_dir, self._health)
        return Part(Unit("http", Stage.CONTROL, self.hub.http.run))

    def _stop(self, number: int) -> None:
        if self.hub.supervisor.is_stopping:
            log.critical("second signal: stopped at once; everything acknowledged is on disk")
            os._exit(128 + number)
        log.info("stopping")
        self._notifier.stopping()
        self.hub.event(SystemEventKind.STOPPED, "stopping", {"signal": signal.Signals(number).name})
        # A thread of native code that hangs would keep the interpreter from ending; what counts is on disk.
        bound = threading.Timer(_STOP_BOUND_S, os._exit, (1,))
        bound.daemon = True
        bound.start()
        self.hub.supervisor.stop()


def _lasting(name: str, stage: Stage, run: Callable[[], Awaitable[None]], *, essential: bool = False) -> Planned:
    """A unit that no document changes."""
    return Planned(name, None, lambda _: Part(Unit(name, stage, run, essential=essential)))
