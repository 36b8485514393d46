"""What the log says of itself, turned into alerts and events: a stall, dead letters, a file put aside.

Losses are not among it: the loss ledger is shipped by the log itself, in the commit that loses them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from agent.events import Severity, SystemEventKind
from agent.pipeline.gateway import Conditions, GatewayEvents

if TYPE_CHECKING:
    from agent.events import Encoder
    from agent.pipeline.alerts import Alerts
    from agent.pipeline.outbox import Outbox
    from sync.seams import LogFigures
    from sync.values import LogStats

_EVERY_S: Final = 1.0
_STALLED, _WAITS, _DEAD_LETTERS = "stalled", "waits", "dead_letters"


class LogWatch:
    """Looks at the log's figures every second. Reads memory only, so a dead disk cannot hold it up."""

    def __init__(self, durable: LogFigures, outbox: Outbox, alerts: Alerts, encoder: Encoder, site_id: str) -> None:
        self._log = durable
        self._conditions = Conditions(alerts, site_id)
        self._events = GatewayEvents(outbox, encoder)
        self._quarantined = 0
        self._dead_letters: int | None = None

    async def run(self) -> None:
        """Watch until cancelled; a last look tells what the last second brought."""
        try:
            while True:
                self.look(self._log.stats())
                await asyncio.sleep(_EVERY_S)
        finally:
            self.look(self._log.stats())

    def look(self, stats: LogStats) -> None:
        """Compare with the last look, and tell what is new."""
        self._alert(
            _STALLED,
            raised=stats.stalled,
            text="the log cannot write to its disk: readings still raise alarms, but are not stored"
            if stats.stalled
            else "the log can write to its disk again",
        )
        self._alert(
            _WAITS,
            raised=stats.waiting > 0,
            text=f"the log was restored or copied: {stats.waiting} records are held until `tidegate log "
            "adopt` or `tidegate log discard`"
            if stats.waiting
            else "no records of a restored or copied log are held any more",
        )
        # Put aside first, begun anew a moment later: told once the new log has its name.
        if stats.quarantined > self._quarantined and stats.log_id:
            self._quarantined = stats.quarantined
            self._events.post(
                SystemEventKind.LOG_QUARANTINED,
                Severity.ALARM,
                source="log",
                text=f"a log file was put aside, for {stats.quarantined_why}; "
                f"new records are named by log {stats.log_id}",
                data={"log_id": stats.log_id, "files": stats.quarantined, "why": stats.quarantined_why},
            )
        if not stats.log_id:
            return  # not open yet: what lies in the file is not known
        if self._dead_letters is None:
            self._alert(_DEAD_LETTERS, raised=False, text="Kafka has refused no record since the start")
        elif stats.dead_letters > self._dead_letters:
            self._alert(_DEAD_LETTERS, raised=True, text="Kafka refused records: see `tidegate log dead-letters`")
        self._dead_letters = stats.dead_letters

    def _alert(self, kind: str, *, raised: bool, text: str) -> None:
        severity = Severity.ALARM if raised else None
        self._conditions.judge(f"log/{kind}", severity, kind=kind, source="log", text=text)
