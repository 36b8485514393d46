"""Alerts: at once to the local broker, side by side with the log; neither waits for the other.

A1  An alert's newest state is published once on the local broker, retained, in order for each alert. What was over
    within one batch of readings is told upstream only.
A2  After each connect of the local broker every alert of this run is published again with its newest state,
    so that what was raised while the broker was away sounds all the same.
A3  The first word of a run about a condition that does not hold is for the farm alone: it ends what an earlier run
    may have left raised on the broker, and would be noise upstream.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

import drivers
from agent.events import Alert, AlertState

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from agent.events import Encoder
    from agent.pipeline.outbox import Outbox

log = logging.getLogger("tidegate.alerts")

TOPIC = "tidegate/alerts/"
_MOST_ALERTS = 10_000


class LocalBroker(Protocol):
    """Where alerts are published on the farm's own network."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> Awaitable[None]:
        """Done at the broker's acknowledgement. Raises drivers.NotReady at once when not connected."""


class Alerts:
    """The state of every alert of this run, and its two ways out."""

    def __init__(self, outbox: Outbox, encoder: Encoder) -> None:
        self._outbox = outbox
        self._encoder = encoder
        self._newest: dict[str, Alert] = {}
        self._unpublished: dict[str, Alert] = {}
        self._wake = asyncio.Event()
        self.local: LocalBroker | None = None
        self.published = 0
        self.publish_failures = 0

    def say(self, alert: Alert) -> None:
        """Raise or clear. A state that the alert already has is not told again."""
        known = self._newest.get(alert.alert_id)
        if known is not None and known.state is alert.state:
            return
        if alert.alert_id not in self._newest and len(self._newest) >= _MOST_ALERTS:
            self._forget_one()
        self._newest[alert.alert_id] = alert
        if alert.state is AlertState.RAISED:
            log.warning("alert %s raised: %s", alert.alert_id, alert.text)
        elif known is not None:
            log.info("alert %s cleared: %s", alert.alert_id, alert.text)
        self._unpublished[alert.alert_id] = alert
        self._wake.set()
        if known is not None or alert.state is AlertState.RAISED:
            self._outbox.post([self._encoder.alert(alert)])

    def active(self) -> list[Alert]:
        """What is raised now, oldest first."""
        return [alert for alert in self._newest.values() if alert.state is AlertState.RAISED]

    def connected(self) -> None:
        """The local broker is there (again): everything is published anew (A2)."""
        self._unpublished = {**self._newest}
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled. An alert that could not be published stays for the next connect."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                waiting, self._unpublished = self._unpublished, {}
                for alert in waiting.values():
                    # Called in order; only the acknowledgements are awaited side by side (A1).
                    group.create_task(self._publish(alert), name=f"alert:{alert.alert_id}")

    async def _publish(self, alert: Alert) -> None:
        payload = alert.model_dump_json(exclude_none=True).encode()
        try:
            if self.local is None:
                raise drivers.NotReady("the local connection is between two attempts")  # noqa: TRY301 - the same end
            await self.local.publish(TOPIC + alert.alert_id, payload, qos=1, retain=True)
        except drivers.NotReady:
            # `connected` will bring it; until then the count says that it has not sounded.
            self.publish_failures += 1
        else:
            self.published += 1

    def _forget_one(self) -> None:
        """Topics name sensors, so their number must be bounded: the oldest cleared alert goes, else the oldest."""
        cleared = (name for name, alert in self._newest.items() if alert.state is AlertState.CLEARED)
        self._newest.pop(next(cleared, next(iter(self._newest))))
