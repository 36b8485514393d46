"""What is believed of the times that devices state, beside the gateway's own clock.

A device's time more than five minutes ahead of a trusted clock, or thirty days behind it, is not believed: the
reading is marked `ahead` or `behind`. If the distance stays the same while time passes, the device's clock is wrong:
its readings are of now, and marked `wrong_clock`. Where the gateway's own clock is not trusted nothing is marked, for
either may be wrong; but there too a constant distance says that a reading is of now.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from agent.events import Severity, SystemEvent, SystemEventKind
from agent.farm.clocks import ProbeClock
from drivers import Doubt

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from datetime import datetime

    from drivers import Reading

log = logging.getLogger("tidegate.times")

_MOST_CLOCKS: Final = 4_096
"""Topics name sensors; past it only those with limits are looked at."""
_RIGHT_FOR_NS: Final = 60_000_000_000
_ASKED_EVERY_S: Final = 1.0


class DeviceTimes:
    """The clocks of devices, and how many readings had which trouble with theirs."""

    def __init__(self, trusted: Callable[[], bool], watched: Container[str] = ()) -> None:
        """`trusted` says whether the gateway's own clock is; it is asked once a second at most.

        `watched` has the ids of sensors with limits.
        """
        self._ask = trusted
        self._watched = watched
        self._trusted = False
        self._asked_s = float("-inf")
        self.clocks: dict[str, ProbeClock] = {}
        """By sensor; only of those whose time was too far off to be of now."""
        self.problems: Counter[str] = Counter()
        """Readings by what was wrong with the device's time."""
        self._events: list[SystemEvent] = []

    @property
    def trusted(self) -> bool:
        """Whether the gateway's clock is trusted."""
        now_s = time.monotonic()
        if now_s - self._asked_s >= _ASKED_EVERY_S:
            self._asked_s, self._trusted = now_s, self._ask()
        return self._trusted

    def wrong(self) -> dict[str, float]:
        """The clocks found wrong, by sensor: seconds ahead of the gateway's, negative if behind."""
        return {
            sensor_id: clock.steady_s
            for sensor_id, clock in self.clocks.items()
            if clock.steady_s is not None and clock.right_since_ns is None
        }

    def told(self) -> list[SystemEvent]:
        """What is to be told upstream since the last call."""
        events, self._events = self._events, []
        return events

    def mark(self, readings: list[Reading], now: datetime) -> None:
        """Look at those of `readings` whose time is unusual; what is wrong is written into their place."""
        for place, reading in enumerate(readings):
            doubt = reading.doubt
            if doubt is None:
                continue
            if doubt.far:
                doubt = self._far(reading, doubt, now)
                readings[place] = reading._replace(doubt=doubt)
            if doubt.problem:
                self.problems[doubt.problem] += 1

    def late(self, reading: Reading, now: datetime) -> Doubt | None:
        """Look at a reading that is only too old to judge: a doubt if it is the device's clock that is late."""
        if not self._steady(reading, now):
            return None
        doubt = self._wrong_clock(now)
        if doubt.problem:
            self.problems[doubt.problem] += 1
        return doubt

    def stuck(self, reading: Reading, now: datetime) -> bool:
        """Whether the readings of a sensor stay too old to judge: its clock stands still, jumps or is coarse."""
        clock = self.clocks.get(reading.sensor_id)
        if clock is None:
            return False
        return clock.stuck((reading.at - now).total_seconds(), reading.received_ns / 1e9)

    def believed(self, sensor_id: str, received_ns: int) -> None:
        """The time of this sensor is right: whatever its clock was, it is set once that holds for a minute.

        Not at once: two probes may share one sensor's name, and only one of them have a wrong clock.
        """
        clock = self.clocks.get(sensor_id)
        if clock is None:
            return
        if clock.right_since_ns is None:
            clock.right_since_ns = received_ns
            clock.begin()
        elif received_ns - clock.right_since_ns >= _RIGHT_FOR_NS:
            del self.clocks[sensor_id]
            if clock.steady_s is not None:
                log.info("the clock of %s is right again", sensor_id)

    def _far(self, reading: Reading, doubt: Doubt, now: datetime) -> Doubt:
        if not doubt.retained and self._steady(reading, now):
            return self._wrong_clock(now)
        ahead = reading.at > now
        if not self.trusted or (doubt.retained and not ahead):
            return doubt  # what a broker keeps for anybody may well be old
        return doubt._replace(problem="ahead" if ahead else "behind", received_at=now)

    def _wrong_clock(self, now: datetime) -> Doubt:
        if not self.trusted:
            return Doubt(steady=True)
        return Doubt("wrong_clock", steady=True, received_at=now)

    def _steady(self, reading: Reading, now: datetime) -> bool:
        name = reading.sensor_id
        clock = self.clocks.get(name)
        if clock is None:
            if len(self.clocks) >= _MOST_CLOCKS and name not in self._watched:
                return False
            clock = self.clocks[name] = ProbeClock()
        clock.right_since_ns = None
        was = clock.steady_s
        distance_s = (reading.at - now).total_seconds()
        if not clock.look(distance_s, reading.received_ns / 1e9):
            return False
        if (was is None or abs(was - distance_s) > 60) and self.trusted:
            self._say(name, distance_s, now)
        return True

    def _say(self, sensor_id: str, distance_s: float, now: datetime) -> None:
        text = (
            f"the clock of {sensor_id} is {spoken(abs(distance_s))} {'ahead' if distance_s > 0 else 'behind'}: "
            "its readings are judged by the gateway's time"
        )
        log.warning("%s", text)
        self._events.append(
            SystemEvent(
                event=SystemEventKind.DEVICE_CLOCK_WRONG,
                severity=Severity.WARNING,
                source=sensor_id,
                text=text,
                at=now,
                data={"sensor_id": sensor_id, "ahead_s": round(distance_s, 1)},
            )
        )


def spoken(seconds: float) -> str:
    """A length of time in its largest unit."""
    for unit, size in (("years", 365 * 86_400), ("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
