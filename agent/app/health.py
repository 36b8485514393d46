"""What the daemon answers about itself over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.app.control import status_line
from agent.metrics import CONTENT_TYPE
from agent.supervisor import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.app.daemon import Daemon


class DaemonHealth:
    """agent.http.Health of the whole daemon. Reads memory only."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def live(self) -> bool:
        """Whether supervision answers; that the loop does, the answer itself shows."""
        return self._daemon.supervisor.answers()

    def ready(self) -> Sequence[str]:
        """Why readings are not taken, judged and kept right now. A link that is down is no reason."""
        daemon = self._daemon
        reasons = []
        if daemon.reload.current is None:
            reasons.append("starting")
        if daemon.supervisor.is_stopping:
            reasons.append("stopping")
        stats = daemon.log.stats()
        if stats.stalled:
            reasons.append("log: the disk takes no commit")
        reasons += [
            f"{unit.name}: {unit.reason or unit.state.value}"
            for unit in daemon.supervisor.reports()
            if unit.essential and unit.state is not State.RUNNING
        ]
        return reasons

    def detailed(self) -> dict[str, Any]:
        """Everything a person asks first, without secrets."""
        daemon = self._daemon
        current = daemon.reload.current
        stats = daemon.log.stats()
        units = daemon.supervisor.reports()
        shipper = daemon.uplink.shipper
        return {
            "version": __version__,
            "gateway": daemon.identity.id,
            "site": daemon.identity.site,
            "status": status_line(units),
            "ready": not self.ready(),
            "reasons": list(self.ready()),
            "http_port": daemon.http_port,
            "config": {
                "revision": current.revision if current else None,
                "source": current.source if current else None,
                "refused": daemon.reload.refused,
            },
            "units": [
                {
                    "name": unit.name,
                    "stage": unit.stage,
                    "state": unit.state.value,
                    "reason": unit.reason,
                    "hint": unit.hint,
                    "essential": unit.essential,
                    "crashes": unit.crashes,
                    "waits": unit.waits,
                }
                for unit in units
            ],
            "log": {
                "log_id": stats.log_id,
                "run": stats.run,
                "next_seq": stats.next_seq,
                "bytes": stats.bytes_used,
                "stalled": stats.stalled,
                "quarantined": stats.quarantined,
                "dead_letters": stats.dead_letters,
                "lost": dict(stats.lost),
                "lanes": {
                    lane.value: {
                        "depth": stats.depth.get(lane, 0),
                        "delivered": stats.delivered.get(lane, 0),
                        "oldest_pending_s": round(stats.oldest_pending_s.get(lane, 0.0), 3),
                    }
                    for lane in stats.depth
                },
            },
            "uplink": {
                "circuit": shipper.stats().circuit.value if shipper else None,
                "reason": shipper.stats().link_reason if shipper else "",
                "last_error": shipper.stats().last_error if shipper else "",
            },
            "readings": daemon.intake.stats.readings,
            "alerts": [alert.model_dump(mode="json", exclude_none=True) for alert in daemon.alerts.active()],
            "cameras": {
                name: {"fps": round(camera.stats.fps, 2), "open": camera.stats.open, "frames": camera.stats.captured}
                for name, camera in daemon.sources.cameras.items()
            },
            "models": {name: runner.describe() for name, runner in daemon.sources.runners.items()},
        }

    def metrics(self) -> tuple[bytes, str]:
        """The page and its type."""
        return self._daemon.metrics.page(), CONTENT_TYPE

    async def reload(self) -> dict[str, Any]:
        """Look at config.yaml again."""
        return (await self._daemon.reloads.from_file()).model_dump(mode="json")
