"""Alerts: at once to the local broker, side by side with the log; neither waits for the other.

A1  An alert's newest state is published once on the local broker, retained, in order for each alert. What was over
    within one batch of readings is told upstream only.
A2  After each connect of the local broker every alert is published again with its newest state, so that what was
    raised while the broker was away sounds all the same.
A3  The first word of a run about a condition that does not hold is for the farm alone, unless an earlier run left it
    raised: upstream it would tell nobody anything.
A4  What an earlier run left raised stays raised until its condition is judged, or until nothing can judge it any more
    (its sensor, limit, unit, connection or topic is no longer configured; nothing waits for a Kafka topic any
    more). Then it is cleared, on the farm and upstream.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import drivers
from agent.events import Alert, AlertState, Severity
from agent.pipeline.raised import RaisedAlerts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection

    from agent.events import Encoder
    from agent.pipeline.outbox import Outbox
    from agent.pipeline.raised import Entry

log = logging.getLogger("tidegate.alerts")

TOPIC = "tidegate/alerts/"
_MOST_ALERTS = 10_000


class LocalBroker(Protocol):
    """Where alerts are published on the farm's own network."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> Awaitable[None]:
        """Done at the broker's acknowledgement. Raises drivers.NotReady at once when not connected."""


class Alerts:
    """The state of every alert, and its two ways out. `standing` is what an earlier run has left of them."""

    def __init__(self, outbox: Outbox, encoder: Encoder, standing: RaisedAlerts | None = None) -> None:
        self._outbox = outbox
        self._encoder = encoder
        self._standing = standing or RaisedAlerts()
        left = self._standing.entries()
        self._left = {one.alert.alert_id: one.alert for one in left if one.alert.state is AlertState.RAISED}
        """Raised by an earlier run, and not judged in this one."""
        self._newest = {one.alert.alert_id: one.alert for one in left if one.alert.state is AlertState.CLEARED}
        self._untold = [one for one in left if one.alert.state is AlertState.CLEARED and not one.told]
        self._unpublished: dict[str, Alert] = {}
        self._wake = asyncio.Event()
        self.local: LocalBroker | None = None
        self.published = 0
        self.publish_failures = 0

    def say(self, alert: Alert) -> None:
        """Raise or clear. A state that the alert already has is not sent again, unless its severity is another."""
        known = self._newest.get(alert.alert_id)
        if (
            known is not None
            and known.state is alert.state
            and (alert.state is AlertState.CLEARED or known.severity is alert.severity or known.escalated)
        ):
            return
        left = self._left.pop(alert.alert_id, None)
        first = known is None and left is None
        if left is not None and alert.state is AlertState.RAISED:
            seen = {"acknowledged_by": left.acknowledged_by, "escalated": left.escalated}
            alert = alert.model_copy(update=seen)
        if known is None and len(self._newest) >= _MOST_ALERTS:
            self._forget_one()
        self._newest[alert.alert_id] = alert
        if alert.state is AlertState.RAISED:
            log.warning("alert %s raised: %s", alert.alert_id, alert.text)
        elif not first:
            log.info("alert %s cleared: %s", alert.alert_id, alert.text)
        self._unpublished[alert.alert_id] = alert
        self._wake.set()
        entry = self._standing.put(alert)
        if not first or alert.state is AlertState.RAISED:
            self._tell(alert, entry)

    def end_others(self, kinds: Collection[str], possible: Collection[str], why: str) -> None:
        """Clear the alerts of these kinds that are raised and whose ids are not possible any more (A4)."""
        for alert in self.active():
            if alert.kind in kinds and alert.alert_id not in possible:
                end = {
                    "state": AlertState.CLEARED,
                    "severity": Severity.INFO,
                    "text": f"{alert.alert_id} ends: {why}",
                    "at": datetime.now(UTC),
                    "value": None,
                    "limit": None,
                }
                self.say(alert.model_copy(update=end))

    def acknowledge(self, alert_id: str, by: str) -> None:
        """Somebody has seen a raised alert: it is sent again, saying so."""
        self._renew(alert_id, {"acknowledged_by": by})

    def escalate(self, alert_id: str) -> None:
        """Nobody has seen a raised alert in time: it is sent again, as an alarm."""
        self._renew(alert_id, {"severity": Severity.ALARM, "escalated": True})

    def _renew(self, alert_id: str, change: dict[str, object]) -> None:
        for alert in self.active():
            if alert.alert_id == alert_id:
                fresh = alert.model_copy(update=change)
                (self._left if alert_id in self._left else self._newest)[alert_id] = fresh
                self._unpublished[alert_id] = fresh
                self._wake.set()
                self._tell(fresh, self._standing.put(fresh))

    def unjudged(self, alert_id: str) -> bool:
        """Whether an earlier run left it raised, and this one has not said anything of it."""
        return alert_id in self._left

    def active(self) -> list[Alert]:
        """What is raised now, oldest first; also what an earlier run left raised and nothing has judged since."""
        return [*self._left.values(), *(one for one in self._newest.values() if one.state is AlertState.RAISED)]

    def connected(self) -> None:
        """The local broker is there (again): everything is published again (A2)."""
        self._unpublished = {**self._left, **self._newest}
        self._wake.set()

    async def run(self) -> None:
        """Publish until cancelled. An alert that could not be published stays for the next connect."""
        for entry in self._untold:
            if self._newest.get(entry.alert.alert_id) is entry.alert:
                self._tell(entry.alert, entry)
        self._untold.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._standing.run(), name="standing-alerts")
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
            self._standing.heard(alert)

    def _tell(self, alert: Alert, entry: Entry | None) -> None:
        """Upstream, by the log."""

        def told(posted: asyncio.Future[None]) -> None:
            if entry is not None and not posted.cancelled() and posted.exception() is None:
                self._standing.told(entry)

        self._outbox.post([self._encoder.alert(alert)]).add_done_callback(told)

    def _forget_one(self) -> None:
        """Topics name sensors, so their number must be bounded: the oldest cleared alert goes, else the oldest."""
        cleared = (name for name, alert in self._newest.items() if alert.state is AlertState.CLEARED)
        self._newest.pop(next(cleared, next(iter(self._newest))))
