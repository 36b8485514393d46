"""What is wrong with the stream from an MQTT broker, turned into alerts.

A topic of which most is dropped, a rate that the broker bounds, messages that probably stand twice.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from agent.events import Alert, AlertState, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.pipeline.alerts import Alerts
    from drivers.mqtt import MqttStats
    from drivers.mqtt.delivery.window import Window
    from drivers.mqtt.topics.sources import Tally

_EVERY_S: Final = 5.0
_SPAN_S: Final = 30.0
_LEAST: Final = 10
_TWICE: Final = 2
_BOUND_S: Final = 60.0
_REPEATS_S: Final = 3_600.0


class Connection(Protocol):
    """As much of drivers.mqtt.MqttDriver as is looked at."""

    @property
    def stats(self) -> MqttStats:
        """Counters since it was made."""

    @property
    def window(self) -> Window:
        """How many messages its broker lets wait."""

    def by_subscription(self) -> Mapping[str, Tally]:
        """What each topic pattern brought; "" is what matched none."""


@dataclass(slots=True)
class _Share:
    since_s: float
    readings: int
    dropped: int
    bad: int = 0


class StreamWatch:
    """Looks at the connections every few seconds. Reads memory only."""

    def __init__(
        self,
        connections: Callable[[], Mapping[str, Connection]],
        alerts: Alerts,
        site_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connections = connections
        self._alerts = alerts
        self._site_id = site_id
        self._clock = clock
        self._shares: dict[tuple[str, str], _Share] = {}
        self._suspected: dict[str, tuple[int, float]] = {}
        self._raised: dict[str, bool] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_EVERY_S)

    def look(self) -> None:
        """Compare with the last look, and tell what is new."""
        for name, connection in self._connections().items():
            for topic, tally in connection.by_subscription().items():
                if topic:
                    self._look_at_share(name, topic, tally.readings, tally.unreadable)
            self._look_at_window(name, connection.window)
            self._look_at_repeats(name, connection.stats.suspected)

    def _look_at_share(self, name: str, topic: str, readings: int, dropped: int) -> None:
        """Twice in a row most of what came in half a minute, or of ten messages if that takes longer, is dropped.

        Twice, for what a broker retains comes once for a new subscription, and may be dropped as too old.
        """
        now_s = self._clock()
        share = self._shares.setdefault((name, topic), _Share(now_s, readings, dropped))
        read, lost = readings - share.readings, dropped - share.dropped
        if read + lost < _LEAST or now_s - share.since_s < _SPAN_S:
            return
        share.bad = share.bad + 1 if lost > read else 0
        share.since_s, share.readings, share.dropped = now_s, readings, dropped
        if share.bad == 0 or share.bad >= _TWICE:
            self._alert(
                # An alert's id is a topic on the local broker, where + and # cannot be published.
                f"mqtt/{name}/dropped/{topic.replace('+', '*').replace('#', '**')}",
                "dropped",
                name,
                raised=share.bad > 0,
                text=f"{lost} of the last {read + lost} messages of {topic} were dropped: see tidegate_dropped_total"
                " and the payload_unreadable events for the reason"
                if share.bad
                else f"most messages of {topic} are read again",
            )

    def _look_at_window(self, name: str, window: Window) -> None:
        bound_s, ceiling = window.bound_s, window.ceiling_per_s
        if bound_s >= _BOUND_S and ceiling is not None:
            text = (
                f"the broker sends no more than {window.size} messages ahead of our acknowledgements: {ceiling:.0f} a"
                " second come in, and the rest waits there. Raise the broker's bound of messages in flight"
            )
            self._alert(f"mqtt/{name}/window", "window", name, raised=True, text=text)
        elif not bound_s:
            text = "the broker no longer holds messages back"
            self._alert(f"mqtt/{name}/window", "window", name, raised=False, text=text)

    def _look_at_repeats(self, name: str, suspected: int) -> None:
        now_s = self._clock()
        before, since_s = self._suspected.get(name, (0, -_REPEATS_S))
        if suspected > before:
            self._suspected[name] = suspected, now_s
            text = (
                f"the broker sends again without a mark: {suspected - before} messages probably stand twice. Name"
                " payload.at or payload.counter in the subscription, and they are known again"
            )
            self._alert(f"mqtt/{name}/repeats", "repeats", name, raised=True, text=text)
        elif now_s - since_s >= _REPEATS_S:
            text = "no message came again without a mark for an hour"
            self._alert(f"mqtt/{name}/repeats", "repeats", name, raised=False, text=text)

    def _alert(self, alert_id: str, kind: str, name: str, *, raised: bool, text: str) -> None:
        if self._raised.get(alert_id) is raised:
            return
        self._raised[alert_id] = raised
        self._alerts.say(
            Alert(
                alert_id=alert_id,
                state=AlertState.RAISED if raised else AlertState.CLEARED,
                severity=Severity.WARNING if raised else Severity.INFO,
                kind=kind,
                source=f"mqtt:{name}",
                text=text,
                at=datetime.now(UTC),
                site_id=self._site_id,
            )
        )


def described(connection: Connection) -> dict[str, Any]:
    """What its broker was seen to do, for status: None where that did not show yet."""
    stats, window = connection.stats, connection.window
    ceiling = window.ceiling_per_s
    return {
        "window": window.size,
        "ceiling_per_s": None if ceiling is None else round(ceiling, 1),
        "held_back_s": round(window.bound_s, 1),
        "redelivered": stats.redelivered,
        "recognised": stats.recognised,
        "probably_twice": stats.suspected,
    }
