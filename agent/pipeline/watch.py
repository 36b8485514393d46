"""What the log says of itself, turned into alerts and events: a stall, dead letters, a file put aside.

Losses are not among it: the loss ledger is shipped by the log itself, in the commit that loses them.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.events import Alert, AlertState, Severity, SystemEvent, SystemEventKind

if TYPE_CHECKING:
    from agent.events import Encoder
    from agent.pipeline.alerts import Alerts
    from agent.pipeline.outbox import Outbox
    from sync.seams import Log
    from sync.values import LogStats

_EVERY_S = 1.0


class LogWatch:
    """Looks at the log's figures every second. Reads memory only, so a dead disk cannot hold it up."""

    def __init__(self, durable: Log, outbox: Outbox, alerts: Alerts, encoder: Encoder, site_id: str) -> None:
        self._log = durable
        self._outbox = outbox
        self._alerts = alerts
        self._encoder = encoder
        self._site_id = site_id
        self._raised: dict[str, bool] = {}
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
            "log/stalled",
            raised=stats.stalled,
            text="the log's disk takes no commit: readings are judged but not kept"
            if stats.stalled
            else "the log's disk takes commits again",
        )
        self._alert(
            "log/waits",
            raised=stats.waiting > 0,
            text=f"the log was restored or copied: {stats.waiting} records wait for `tidegate log adopt` or `discard`"
            if stats.waiting
            else "no records of a restored or copied log wait",
        )
        # Put aside first, begun anew a moment later: told once the new log has its name.
        if stats.quarantined > self._quarantined and stats.log_id:
            self._quarantined = stats.quarantined
            self._event(
                SystemEventKind.LOG_QUARANTINED,
                f"a log file was put aside, for {stats.quarantined_why}; new records are named by log {stats.log_id}",
                {"log_id": stats.log_id, "files": stats.quarantined, "why": stats.quarantined_why},
            )
        if not stats.log_id:
            return  # not open yet: what lies in the file is not known
        if self._dead_letters is None:
            self._alert("log/dead_letters", raised=False, text="no record was refused in this run")
        elif stats.dead_letters > self._dead_letters:
            self._alert("log/dead_letters", raised=True, text="Kafka refused records: see tidegate log dead-letters")
        self._dead_letters = stats.dead_letters

    def _alert(self, alert_id: str, *, raised: bool, text: str) -> None:
        if self._raised.get(alert_id) is raised:
            return
        self._raised[alert_id] = raised
        self._alerts.say(
            Alert(
                alert_id=alert_id,
                state=AlertState.RAISED if raised else AlertState.CLEARED,
                severity=Severity.ALARM if raised else Severity.INFO,
                kind=alert_id.split("/")[1],
                source="log",
                text=text,
                at=datetime.now(UTC),
                site_id=self._site_id,
            )
        )

    def _event(self, kind: SystemEventKind, text: str, data: dict[str, object]) -> None:
        event = SystemEvent(
            event=kind, severity=Severity.ALARM, source="log", text=text, at=datetime.now(UTC), data=data
        )
        self._outbox.post([self._encoder.system_event(event)])
