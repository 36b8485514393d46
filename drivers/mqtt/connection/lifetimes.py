"""How long connections last: one that ends soon says little, a row of them that something is wrong.

It looks the same whether another client takes the session (MQTT 3.1.1 has no word for it, and mosquitto 2.0 does not
use that of MQTT 5), the broker restarts again and again, or something on the way cuts connections. So it is a
suspicion, said aloud, and no reason to stop trying.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drivers.mqtt.connection.refusals import where

if TYPE_CHECKING:
    from drivers.mqtt.settings import MqttSettings

SHORT_S: Final = 15.0
IN_A_ROW: Final = 3
_REMEMBERED_S: Final = 60.0
"""So long after the last of them a broker that is not there any more is the better explanation."""


class Lifetimes:
    """Counts connections in a row that ended within `SHORT_S`. All times are seconds of the loop's clock."""

    def __init__(self, settings: MqttSettings) -> None:
        self._where = where(settings)
        self._client_id = settings.client_id
        self._short = 0
        self._last_end = 0.0

    def ended(self, connected_at: float, now: float) -> None:
        """A connection that stood has ended."""
        self._short = self._short + 1 if now - connected_at < SHORT_S else 0
        self._last_end = now

    def unsteady(self, connected_at: float | None, now: float) -> str:
        """What is wrong and what may be behind it, or empty.

        `connected_at` is that of the connection that stands, None without one.
        """
        over = now - self._last_end >= _REMEMBERED_S if connected_at is None else now - connected_at >= SHORT_S
        if self._short < IN_A_ROW or over:
            return ""
        return (
            f"connections to {self._where} end within {SHORT_S:.0f} s, again and again (does another client use the "
            f"client id {self._client_id}, does the broker restart, or does something on the way, a balancer or a "
            "firewall, cut them?)"
        )
