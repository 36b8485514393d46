"""The state of MQTT connections, turned into alerts and events: away for minutes, unsteady, session lost.

Alerts of a connection that is no longer configured are ended by the hub (A4), not here.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.events import Severity, SystemEventKind
from agent.pipeline.gateway import Conditions, GatewayEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.events import Encoder
    from agent.pipeline.alerts import Alerts
    from agent.pipeline.outbox import Outbox

AWAY_S: Final = 120.0
"""Away for longer is no restart of a broker any more."""
_EVERY_S: Final = 1.0
_EVENT_EVERY_S: Final = 60.0
_BLIND = "its sensors are not read"
_MUTE = "its sensors are not read, and alarms are not published on the farm's network"
_AWAY, _UNSTEADY = "away", "unsteady"
KINDS: Final = (f"mqtt_{_AWAY}", f"mqtt_{_UNSTEADY}")
"""The kinds of the alerts that are raised here."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One MQTT connection as it is now.

    `down` says why it does not serve, `unsteady` that it serves but never for long; each is empty if it is not so.
    """

    name: str
    local: bool
    down: str
    unsteady: str = ""


@dataclass(slots=True)
class _Lost:
    """Sessions lost and not told yet, and when the last event left."""

    count: int = 0
    told_at: float | None = None


def alert_ids(name: str) -> set[str]:
    """The alerts that a connection may have."""
    return {f"mqtt/{name}/{what}" for what in (_AWAY, _UNSTEADY)}


class BrokerWatch:
    """Looks at the connections every second. `now` are monotonic seconds."""

    def __init__(
        self,
        connections: Callable[[], Iterable[Connection]],
        alerts: Alerts,
        outbox: Outbox,
        encoder: Encoder,
        site_id: str,
    ) -> None:
        self._connections = connections
        self._conditions = Conditions(alerts, site_id)
        self._events = GatewayEvents(outbox, encoder)
        self._down_since: dict[str, float] = {}
        self._lost: dict[str, _Lost] = {}
        self.away: dict[str, str] = {}
        """Connections that have not served for `AWAY_S`, and why."""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(_EVERY_S)

    def look(self, now: float) -> None:
        """Compare with the last look, and tell what is new."""
        connections = {connection.name: connection for connection in self._connections()}
        since = self._down_since
        self._down_since = {name: since.get(name, now) for name, one in connections.items() if one.down}
        self.away = {
            name: connections[name].down for name, down_at in self._down_since.items() if now - down_at >= AWAY_S
        }
        for connection in connections.values():
            self._judge(connection)
        self._conditions.forget_all_but({alert_id for name in connections for alert_id in alert_ids(name)})
        for name in self._lost:
            self._tell_lost(name, now)

    def _judge(self, connection: Connection) -> None:
        """Raise and clear its alerts. Nothing is cleared before it is connected: until then nothing is known."""
        name = connection.name
        if name in self.away:
            blind = _MUTE if connection.local else _BLIND
            self._alert(name, _AWAY, Severity.ALARM, f"mqtt:{name} is down: {connection.down}; {blind}")
        elif not connection.down:
            self._alert(name, _AWAY, None, f"mqtt:{name} is connected again")
        if connection.unsteady:
            self._alert(name, _UNSTEADY, Severity.WARNING, f"mqtt:{name}: {connection.unsteady}")
        elif not connection.down:
            self._alert(name, _UNSTEADY, None, f"mqtt:{name}: the connection is stable again")

    def session_lost(self, name: str) -> None:
        """A broker no longer had the session of a connection. One event now, later ones at most one a minute."""
        self._lost.setdefault(name, _Lost()).count += 1
        self._tell_lost(name, time.monotonic())

    def _tell_lost(self, name: str, now: float) -> None:
        lost = self._lost[name]
        if not lost.count or (lost.told_at is not None and now - lost.told_at < _EVENT_EVERY_S):
            return
        self._events.post(
            SystemEventKind.SESSION_LOST,
            Severity.WARNING,
            source=f"mqtt:{name}",
            text="the broker no longer has this gateway's session: the messages queued in it are lost",
            data={"connection": name, "times": lost.count},
        )
        lost.count, lost.told_at = 0, now

    def _alert(self, name: str, what: str, severity: Severity | None, text: str) -> None:
        """Raise an alert, or clear it if `severity` is None."""
        self._conditions.judge(f"mqtt/{name}/{what}", severity, kind=f"mqtt_{what}", source=f"mqtt:{name}", text=text)
