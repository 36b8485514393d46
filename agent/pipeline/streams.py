"""What is wrong with the stream from an MQTT broker, turned into alerts.

Most of a topic is dropped; the broker's window limits the rate; readings are probably stored twice. Alerts of a
connection or a topic that is no longer configured are ended by the hub (A4), not here.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from agent.events import Severity
from agent.pipeline.gateway import Conditions
from drivers.patterns import published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
_DROPPED, _WINDOW, _REPEATS = "dropped", "window", "repeats"
KINDS: Final = (f"mqtt_{_DROPPED}", f"mqtt_{_WINDOW}", f"mqtt_{_REPEATS}")
"""The kinds of the alerts that are raised here."""


def alert_ids(name: str, topics: Iterable[str]) -> set[str]:
    """The alerts that a connection with these topic patterns may have."""
    return {f"mqtt/{name}/{_WINDOW}", f"mqtt/{name}/{_REPEATS}", *(_of_topic(name, topic) for topic in topics)}


def _of_topic(name: str, topic: str) -> str:
    # An alert's id is a topic on the local broker, where + and # cannot be published.
    return f"mqtt/{name}/{_DROPPED}/{published(topic)}"


class Connection(Protocol):
    """As much of drivers.mqtt.MqttDriver as is looked at."""

    @property
    def connected(self) -> bool:
        """Whether it is connected and subscribed."""

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
        self._conditions = Conditions(alerts, site_id)
        self._clock = clock
        self._shares: dict[tuple[str, str], _Share] = {}
        self._suspected: dict[str, tuple[int, float]] = {}
        """By connection: the count, and when it last grew or was first seen."""
        self._free_since_s: dict[str, float] = {}
        """By connection: since when its broker has held nothing back."""

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_EVERY_S)

    def look(self) -> None:
        """Compare with the last look, and tell what is new."""
        possible: set[str] = set()
        connections = self._connections()
        for name, connection in connections.items():
            topics = {topic: tally for topic, tally in connection.by_subscription().items() if topic}
            for topic, tally in topics.items():
                self._look_at_share(name, topic, tally.readings, tally.unreadable)
            self._look_at_window(name, connection)
            self._look_at_repeats(name, connection.stats.suspected)
            possible |= alert_ids(name, topics)
        self._conditions.forget_all_but(possible)
        self._shares = {key: share for key, share in self._shares.items() if _of_topic(*key) in possible}
        self._suspected = {name: seen for name, seen in self._suspected.items() if name in connections}
        self._free_since_s = {name: since for name, since in self._free_since_s.items() if name in connections}

    def _look_at_share(self, name: str, topic: str, readings: int, dropped: int) -> None:
        """Twice in a row most of what came in half a minute, or of ten messages if that takes longer, is dropped.

        Twice, for what a broker retains comes once for a new subscription, and may be dropped as too old.
        """
        now_s = self._clock()
        share = self._shares.setdefault((name, topic), _Share(now_s, readings, dropped))
        read, lost = readings - share.readings, dropped - share.dropped
        if read < 0 or lost < 0:  # another driver, which counts from nothing
            self._shares[name, topic] = _Share(now_s, readings, dropped)
            return
        if read + lost < _LEAST or now_s - share.since_s < _SPAN_S:
            return
        share.bad = share.bad + 1 if lost > read else 0
        share.since_s, share.readings, share.dropped = now_s, readings, dropped
        if share.bad == 0 or share.bad >= _TWICE:
            self._alert(
                _of_topic(name, topic),
                _DROPPED,
                name,
                raised=share.bad > 0,
                text=f"{lost} of the last {read + lost} messages of {topic} were dropped:"
                " `tidegate status` shows the reason"
                if share.bad
                else f"most messages of {topic} are readable again",
            )

    def _look_at_window(self, name: str, connection: Connection) -> None:
        window = connection.window
        bound_s, ceiling = window.bound_s, window.ceiling_per_s
        if bound_s or not connection.connected:
            self._free_since_s.pop(name, None)
        if bound_s >= _BOUND_S and ceiling is not None:
            text = (
                f"the broker allows only {window.size} unacknowledged messages: {ceiling:.0f} a"
                " second arrive, and the rest queues at the broker. Raise the broker's limit of messages in flight"
            )
            self._alert(f"mqtt/{name}/{_WINDOW}", _WINDOW, name, raised=True, text=text)
        elif not bound_s and connection.connected:
            now_s = self._clock()
            if now_s - self._free_since_s.setdefault(name, now_s) >= _BOUND_S:
                text = "the broker's window has not been full for a minute"
                self._alert(f"mqtt/{name}/{_WINDOW}", _WINDOW, name, raised=False, text=text)

    def _look_at_repeats(self, name: str, suspected: int) -> None:
        now_s = self._clock()
        before, since_s = self._suspected.setdefault(name, (0, now_s))
        before = min(before, suspected)  # another driver counts from nothing
        if suspected > before:
            self._suspected[name] = suspected, now_s
            text = (
                f"the broker redelivers messages without DUP: {suspected - before} readings are probably"
                " stored twice. Set payload.at or payload.counter in the subscription to recognise them"
            )
            self._alert(f"mqtt/{name}/{_REPEATS}", _REPEATS, name, raised=True, text=text)
        elif now_s - since_s >= _REPEATS_S:
            text = "no message was redelivered without DUP for an hour"
            self._alert(f"mqtt/{name}/{_REPEATS}", _REPEATS, name, raised=False, text=text)

    def _alert(self, alert_id: str, what: str, name: str, *, raised: bool, text: str) -> None:
        self._conditions.judge(
            alert_id,
            Severity.WARNING if raised else None,
            kind=f"mqtt_{what}",
            source=f"mqtt:{name}",
            text=text,
        )


def described(connection: Connection) -> dict[str, Any]:
    """What its broker was seen to do, for status; None for what did not show yet."""
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
