"""What the gateway says about itself: alerts about its units, connections, log and uplink, and events upstream.

Alerts about sensors are built by `intake.py`, from readings; all alerts leave by `alerts.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.events import Alert, AlertState, Severity, SystemEvent

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Container, Mapping

    from agent.events import Encoder, SystemEventKind
    from agent.pipeline.alerts import Alerts
    from agent.pipeline.outbox import Outbox


class Conditions:
    """The conditions that one part of the gateway watches, each an alert while it holds."""

    def __init__(self, alerts: Alerts, site_id: str) -> None:
        self._alerts = alerts
        self._site_id = site_id
        self._judged: dict[str, bool] = {}

    def judge(self, alert_id: str, severity: Severity | None, *, kind: str, source: str, text: str) -> None:
        """Raise or clear, as `say` does, if this is not what was judged the last time."""
        holds = severity is not None
        if self._judged.get(alert_id) is holds:
            return
        self._judged[alert_id] = holds
        self.say(alert_id, severity, kind=kind, source=source, text=text)

    def say(self, alert_id: str, severity: Severity | None, *, kind: str, source: str, text: str) -> None:
        """Raise an alert, or clear it if `severity` is None."""
        self._alerts.say(
            Alert(
                alert_id=alert_id,
                state=AlertState.CLEARED if severity is None else AlertState.RAISED,
                severity=severity or Severity.INFO,
                kind=kind,
                source=source,
                text=text,
                at=datetime.now(UTC),
                site_id=self._site_id,
            )
        )

    def forget_all_but(self, possible: Container[str]) -> None:
        """Judge all others from nothing if they come back: a connection that is removed may be configured again."""
        self._judged = {alert_id: holds for alert_id, holds in self._judged.items() if alert_id in possible}


class GatewayEvents:
    """What happened to the gateway, told upstream by the log."""

    def __init__(self, outbox: Outbox, encoder: Encoder) -> None:
        self._outbox = outbox
        self._encoder = encoder

    def post(
        self, kind: SystemEventKind, severity: Severity, *, source: str, text: str, data: Mapping[str, object]
    ) -> asyncio.Future[None]:
        """Append an event to the log; the future is that of `Outbox.post`."""
        event = SystemEvent(
            event=kind, severity=severity, source=source, text=text, at=datetime.now(UTC), data=dict(data)
        )
        return self._outbox.post([self._encoder.system_event(event)])
