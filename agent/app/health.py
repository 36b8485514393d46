"""What the daemon answers about itself over HTTP."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.app.control import status_line
from agent.metrics import CONTENT_TYPE
from agent.pipeline.brokers import AWAY_S
from agent.pipeline.streams import described
from agent.supervisor import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.app.certificates import CertificateDates
    from agent.app.control import Reloads
    from agent.app.farm import Farm
    from agent.app.hub import Hub
    from agent.metrics import Metrics
    from agent.supervisor import UnitReport
    from drivers.mqtt.topics.sources import Tally
    from sync.shipper import Shipper
    from sync.shipper.link.meter import LinkStats
    from sync.values import Forecast, Lane, LogStats


class HubHealth:
    """agent.http.Health of the whole hub. Reads memory only."""

    def __init__(self, hub: Hub, metrics: Metrics, reloads: Reloads) -> None:
        self._hub = hub
        self._metrics = metrics
        self._reloads = reloads

    def live(self) -> bool:
        """Whether supervision answers; that the loop does, the answer itself shows."""
        return self._hub.supervisor.answers()

    def ready(self) -> Sequence[str]:
        """Why readings are not taken, judged and kept right now.

        A link that is down is no reason, nor is an MQTT broker that restarts; one that has been away for minutes is.
        """
        hub = self._hub
        reasons = []
        if hub.reload.current is None:
            reasons.append("starting")
        if hub.supervisor.is_stopping:
            reasons.append("stopping")
        stats = hub.log.stats()
        if stats.stalled:
            reasons.append("log: cannot write to its disk")
        reasons += [
            f"{unit.name}: {unit.reason or unit.state.value}"
            for unit in hub.supervisor.reports()
            if unit.essential and unit.state is not State.RUNNING
        ]
        away = f"away for {AWAY_S / 60:.0f} minutes or more"
        reasons += [f"mqtt:{name}: {away}: {why}" for name, why in hub.brokers.away.items()]
        return reasons

    def detailed(self) -> dict[str, Any]:
        """Everything a person asks first, without secrets."""
        hub = self._hub
        current = hub.reload.current
        reports = hub.supervisor.reports()
        reasons = list(self.ready())
        return {
            "version": __version__,
            "gateway": hub.identity.id,
            "site": hub.identity.site,
            "status": status_line(reports),
            "ready": not reasons,
            "reasons": reasons,
            "http_port": hub.http.port if hub.http else None,
            "config": {
                "revision": current.revision if current else None,
                "source": current.source if current else None,
                "refused": hub.reload.refused,
            },
            "units": [unit(report) for report in reports],
            "clock": clock(hub.certificates),
            "log": durable(hub.log.stats()),
            "uplink": uplink(hub.uplink.shipper),
            "link": link(hub.uplink.meter.stats()),
            "readings": hub.intake.stats.readings,
            "subscriptions": [
                subscription(name, topic, tally)
                for name, driver in hub.sources.connections.items()
                for topic, tally in driver.by_subscription().items()
            ],
            "times": {
                "problems": dict(hub.intake.times.problems),
                "not_judged": dict(hub.intake.stats.not_judged),
                "wrong_clocks": {name: round(ahead_s) for name, ahead_s in hub.intake.times.wrong().items()},
            },
            "derived": hub.farm.derived(),
            "farm": {
                "tanks": len(hub.farm.register.figures),
                "events": {name: getattr(hub.farm.register, name) for name in ("recorded", "known", "refused")},
            }
            if hub.farm.configured
            else None,
            "calibrations": hub.farm.calibrations(),
            "alerts": [alert.model_dump(mode="json", exclude_none=True) for alert in hub.alerts.active()],
            "mqtt_brokers": {name: described(driver) for name, driver in hub.sources.connections.items()},
            "cameras": {
                name: {"fps": round(camera.stats.fps, 2), "open": camera.stats.open, "frames": camera.stats.captured}
                for name, camera in hub.sources.cameras.items()
            },
            "models": {name: runner.describe() for name, runner in hub.sources.runners.items()},
        }

    def metrics(self) -> tuple[bytes, str]:
        """The page and its type."""
        return self._metrics.page(), CONTENT_TYPE

    def business_metrics(self) -> tuple[bytes, str]:
        """The farm's part of the page, and its type."""
        return self._metrics.part("business_"), CONTENT_TYPE

    @property
    def farm(self) -> Farm:
        """What is known of the farm."""
        return self._hub.farm

    async def decide_log(self, *, adopt: bool) -> dict[str, Any]:
        """Send what waits of a restored or copied log, or give it up."""
        return {"records": await self._hub.own.decide(adopt=adopt)}

    def acknowledge(self, alert_id: str, by: str, snooze_s: float | None) -> bool:
        """Somebody has seen a raised alert."""
        return self._hub.rules.acknowledge(alert_id, by, snooze_s)

    async def reload(self) -> dict[str, Any]:
        """Look at config.yaml again."""
        return (await self._reloads.from_file()).model_dump(mode="json")


def unit(report: UnitReport) -> dict[str, Any]:
    """One unit: whether it serves, and why not."""
    return {
        "name": report.name,
        "stage": report.stage,
        "state": report.state.value,
        "reason": report.reason,
        "hint": report.hint,
        "essential": report.essential,
        "crashes": report.crashes,
        "waits": report.waits,
    }


def clock(dates: CertificateDates) -> dict[str, Any]:
    """Whether the wall clock is trusted, and the floor that certificates are held against while it is not."""
    return {"trusted": dates.clock_trusted, "certificate_floor": dates.floor.isoformat(timespec="seconds")}


def subscription(connection: str, topic: str, tally: Tally) -> dict[str, Any]:
    """What one subscription brought, and the newest of what could not be read; `topic` is "" if none matched."""
    newest = tally.newest
    return {
        "connection": connection,
        "topic": topic,
        "readings": tally.readings,
        "unreadable": tally.unreadable,
        "left_out": tally.others,
        "repeated": tally.repeated,
        "newest_unreadable": None
        if newest is None
        else {"topic": newest.topic, "reason": newest.reason, "sample": newest.sample, "at": newest.at.isoformat()},
    }


def durable(stats: LogStats) -> dict[str, Any]:
    """The log: who it is, what it takes of its disk, what it lost, and how each lane stands."""
    return {
        "log_id": stats.log_id,
        "run": stats.run,
        "next_seq": stats.next_seq,
        "bytes": stats.bytes_used,
        "bound_bytes": stats.bound_bytes,
        "written_bytes_per_day": None if stats.written_per_day is None else round(stats.written_per_day),
        "disk_short": stats.disk_short,
        "forecast_missing": stats.forecast.why_not,
        "stalled": stats.stalled,
        "quarantined": stats.quarantined,
        "dead_letters": stats.dead_letters,
        "waiting": stats.waiting,
        "lost": dict(stats.lost),
        "lanes": {
            lane.value: {
                "depth": stats.depth.get(lane, 0),
                "delivered": stats.delivered.get(lane, 0),
                "oldest_pending_s": round(stats.oldest_pending_s.get(lane, 0.0), 3),
                **ahead(stats.forecast, lane),
            }
            for lane in stats.depth
        },
    }


def uplink(shipper: Shipper | None) -> dict[str, Any]:
    """The way to Kafka, and what waits for what; empty before the first configuration runs.

    `fault` is why shipping was given up until a setting changes; `troubles` why topics wait although the link is up,
    with an empty topic why nothing is sent yet; `waiting` why lanes wait for their share of the link.
    """
    stats = shipper.stats() if shipper else None
    return {
        "circuit": stats.circuit.value if stats else None,
        "reason": stats.link_reason if stats else "",
        "last_error": stats.last_error if stats else "",
        "fault": asdict(stats.fault) if stats and stats.fault else None,
        "troubles": [{"topic": topic, **asdict(why)} for topic, why in stats.waiting.items()] if stats else [],
        "waiting": {lane.value: why for lane, why in stats.holds.items()} if stats else {},
        "lost_upstream": dict(stats.lost_upstream) if stats else {},
    }


def ahead(found: Forecast, lane: Lane) -> dict[str, Any]:
    """What a lane holds, what comes in, and how long it is whole if nothing is delivered; None where none is known.

    JSON has no number for never: `full_s` is None then too, beside a rate.
    """
    rate, full_s = found.bytes_per_s.get(lane), found.full_s.get(lane, math.inf)
    return {
        "pending_bytes": found.pending_bytes.get(lane, 0),
        "bytes_per_s": None if rate is None else round(rate, 1),
        "full_s": None if math.isinf(full_s) else round(full_s),
    }


def link(stats: LinkStats) -> dict[str, Any]:
    """The metered link: what moved today, what is left, and how long that lasts."""
    return {
        "today_bytes": dict(stats.today),
        "budget_bytes": stats.budget.bytes_per_day,
        "left_bytes": stats.left,
        "alert_reserve_bytes": stats.budget.alert_reserve_bytes,
        "runs_out_s": None if stats.runs_out_s is None else round(stats.runs_out_s),
        "day_ends_s": round(stats.day_ends_s),
        "bytes_per_s": round(stats.bytes_per_s, 1),
        "idle_bytes_per_day": None if stats.idle_bytes_per_day is None else round(stats.idle_bytes_per_day),
        "idle_missing": stats.idle_missing,
    }
