"""What lives as long as the process: the log, the pipeline, supervision, and what they say upstream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent import logs
from agent.app.certificates import CertificateDates, TimeFloor
from agent.app.farm import Farm
from agent.app.guarantee import COMPACTED
from agent.app.identity import Identity
from agent.app.judging import judged, rule_book
from agent.app.sources import Sources
from agent.app.uplink import Uplink
from agent.app.verify import refusals
from agent.events import NUMBERS, Encoder, Minutes, Severity, SystemEventKind, restamp
from agent.farm.limits import Limits
from agent.metrics import Histogram
from agent.pipeline import (
    Alerts,
    BrokerWatch,
    Conditions,
    GatewayEvents,
    Intake,
    LogWatch,
    Outbox,
    RaisedAlerts,
    SensorLimits,
    StreamWatch,
    brokers,
    streams,
)
from agent.pipeline.judging import Judgement, RuleWatch
from agent.pipeline.judging import rules as judging_rules
from agent.reload import Hooks, Reload, Topology
from agent.supervisor import State, Supervisor
from models.host import ModelHost
from sync.log import LogSettings, SqliteLog
from sync.log.clock import Clock
from sync.values import EARLIEST_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.config import Config
    from agent.config.schema import Derived, Mqtt, Sensor
    from agent.events.records import FleetReported
    from agent.http import HttpServer
    from agent.reload import Choice, Planned
    from agent.supervisor import UnitReport


_MOST_WAITING = 4_000
_UNIT_FAILED = "unit_failed"
_JUDGED_AFTER_S = 10.0
_UNDECIDED = (State.STARTING, State.RUNNING, State.BACKING_OFF)
_WINDOW_OF_311 = 20
"""mosquitto's `max_inflight_messages` unless it is set; MQTT 3.1.1 cannot ask."""


class Hub:
    """The parts that no document replaces, wired to one another; `plan` gives the units of a document."""

    def __init__(self, path: Path, choice: Choice, plan: Callable[[Config], Sequence[Planned]]) -> None:
        config = choice.config
        self.identity = config.gateway
        self.log = SqliteLog(log_settings(config))
        self.ack_latency = Histogram()
        self.encoder = Encoder(config.gateway.id, config.gateway.site)
        self.outbox = Outbox(self.log)
        self.alerts = Alerts(self.outbox, self.encoder, RaisedAlerts(config.gateway.state_dir / "alerts.json"))
        self.judgement = Judgement(self.alerts)
        self.intake = Intake(
            self.outbox,
            self.alerts,
            self.encoder,
            self.ack_latency.observe,
            trusted=lambda: self.log.stats().clock_trusted,
            judgement=self.judgement,
        )
        self._conditions = Conditions(self.alerts, config.gateway.site)
        self._events = GatewayEvents(self.outbox, self.encoder)
        self.watch = LogWatch(self.log, self.outbox, self.alerts, self.encoder, config.gateway.site)
        self.models = ModelHost()
        self._clock = Clock(config.log.clock_file)
        self.certificates = CertificateDates(self._clock_trusted, time_floor(config))
        self.sources = Sources(
            self.intake, self.alerts, self.outbox, self.encoder, self.models, dates=self.certificates
        )
        self.brokers = BrokerWatch(
            lambda: self.sources.brokers(self.supervisor.reports()),
            self.alerts,
            self.outbox,
            self.encoder,
            config.gateway.site,
        )
        self.rules = RuleWatch(self.judgement, self.alerts, config.gateway.site, self._connected)
        self.judgement.at_work = self.rules.at_work
        self.rules.also = self.intake.grade
        self.sources.session_lost = self.brokers.session_lost
        self.streams = StreamWatch(lambda: self.sources.connections, self.alerts, config.gateway.site)
        self.own = Identity(self.log, self.outbox, self.encoder, config.gateway)
        site_id = config.gateway.site
        self.uplink = Uplink(
            self.log,
            self.outbox,
            self.alerts,
            encoder=self.encoder,
            own=self.own,
            site_id=site_id,
            dates=self.certificates,
        )
        self.supervisor = Supervisor(self._unit_changed)
        self.farm = Farm(config, self.log, self.intake, self.outbox, self.alerts, self.encoder)
        self.farm.water.trusted = lambda: self.log.stats().clock_trusted
        self._plan = plan
        hooks = Hooks(self._planned, refusals, self._adopt, self._report)
        self.reload = Reload(path, Topology(self.supervisor), hooks, choice)
        self.http: HttpServer | None = None

    def event(self, kind: SystemEventKind, text: str, data: dict[str, object]) -> None:
        """Say upstream what happened to the gateway itself."""
        self._events.post(kind, Severity.INFO, source="daemon", text=text, data=data)

    def _clock_trusted(self) -> bool:
        """By the log's rules (C1 to C3); before it is open, by what the machine says right now."""
        stats = self.log.stats()
        return stats.clock_trusted if stats.log_id else clock_synchronised(self._clock)

    def _connected(self) -> dict[str, bool]:
        return {one.name: not one.down for one in self.sources.brokers(self.supervisor.reports())}

    def _adopt(self, config: Config) -> None:
        logs.configure(config.logging.level, config.logging.format)
        self.judgement.reconfigure(judged(config))
        self.rules.reconfigure(rule_book(config))
        self.alerts.end_others(judging_rules.KINDS, self.rules.alert_ids(), "this rule is no longer configured")
        self.farm.adopt(config)
        self.intake.reconfigure(
            [
                SensorLimits(
                    sensor.id,
                    Limits(sensor.limits.low, sensor.limits.high, sensor.limits.hysteresis, sensor.limits.max_age_s),
                )
                for sensor in limited_by(config)
            ]
        )

        limited = {
            f"{sensor.id}/{kind}"
            for sensor in limited_by(config)
            for kind, bound in (("low", sensor.limits.low), ("high", sensor.limits.high))
            if bound is not None
        }
        self.alerts.end_others(("low", "high"), limited, "this limit is no longer configured")
        connected = {alert_id for connection in config.mqtt for alert_id in brokers.alert_ids(connection.name)}
        self.alerts.end_others(brokers.KINDS, connected, "this connection is no longer configured")
        subscribed = {
            alert_id
            for connection in config.mqtt
            for alert_id in streams.alert_ids(
                connection.name, [subscription.topic for subscription in connection.subscriptions]
            )
        }
        self.alerts.end_others(streams.KINDS, subscribed, "this connection or topic is no longer configured")

    def _planned(self, config: Config) -> Sequence[Planned]:
        planned = self._plan(config)
        units = {_of_unit(unit.name) for unit in planned} | {_of_unit("reload")}
        self.alerts.end_others((_UNIT_FAILED,), units, "this unit is no longer configured")
        return planned

    def _report(self, report: FleetReported) -> None:
        self.outbox.post([self.encoder.fleet_reported(report)])
        if report.outcome == "applied":
            self.event(
                SystemEventKind.CONFIG_CHANGED,
                f"configuration {report.revision[:12]} from {report.source} applied",
                {"revision": report.revision, "units": report.changed_units, "problems": report.problems},
            )

    def _unit_changed(self, report: UnitReport) -> None:
        if report.state in _UNDECIDED and self.alerts.unjudged(_of_unit(report.name)):
            self._look_later(report.name)
        else:
            self._tell_of(report)

    def _look_later(self, name: str) -> None:
        """A unit that failed before the restart has only been started: its alert stands until it is seen to serve."""
        asyncio.get_running_loop().call_later(_JUDGED_AFTER_S, self._look_again, name)

    def _look_again(self, name: str) -> None:
        report = next((one for one in self.supervisor.reports() if one.name == name), None)
        if report is None or not self.alerts.unjudged(_of_unit(name)):
            return
        if report.state is State.RUNNING:
            self._tell_of(report)
        else:
            self._unit_changed(report)

    def _tell_of(self, report: UnitReport) -> None:
        failed = report.state is State.FAILED
        self._conditions.say(
            _of_unit(report.name),
            Severity.WARNING if failed else None,
            kind=_UNIT_FAILED,
            source=report.name,
            text=f"{report.name} failed: {report.reason}" if failed else f"{report.name} is {report.state.value}",
        )


def limited_by(config: Config) -> list[Sensor | Derived]:
    """What may have limits: sensors, and quantities derived of them."""
    return [*config.sensors, *config.derived]


def time_floor(config: Config) -> TimeFloor:
    """The file is beside the log, and outlives it."""
    return TimeFloor(config.gateway.state_dir / "time-floor")


def clock_synchronised(clock: Clock) -> bool:
    """Whether the wall clock is said to be synchronised, and does not show a time that cannot be."""
    return clock.wall_ms() >= EARLIEST_MS and clock.synced()


def _of_unit(name: str) -> str:
    return f"unit/{name}"


def log_settings(config: Config) -> LogSettings:
    """The log as its spoke takes it."""
    return LogSettings(
        # The file itself: its lock lies beside it, and keeps out who comes by a link, too.
        path=(config.gateway.state_dir / "log.sqlite").resolve(),
        gateway_id=config.gateway.id,
        site_id=config.gateway.site,
        commit_interval_s=config.log.commit_interval_ms / 1000,
        log_stall_s=config.log.log_stall_s,
        max_bytes=config.log.max_bytes,
        min_free_bytes=config.log.min_free_bytes,
        max_age_s=config.log.max_age_days * 86_400,
        compression_level=config.log.compression_level,
        clock_file=config.log.clock_file,
        restamp=restamp,
        runtime_dir=config.gateway.runtime_dir,
        fold=Minutes(),
        numbers=NUMBERS,
        pack_after_s=config.kafka.backfill_after_s,
        newest_only=COMPACTED,
        commit_records=min(_MOST_WAITING, *(_window(connection) for connection in config.mqtt)),
    )


def _window(connection: Mqtt) -> int:
    """How many unacknowledged messages a broker lets stand: a commit must not wait for more than can come."""
    return connection.receive_maximum if connection.version == "5" else _WINDOW_OF_311
