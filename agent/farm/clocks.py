"""Whether a probe's clock runs with ours at a constant distance. Pure: distances and moments in, a word out."""

from __future__ import annotations

from typing import Final

READINGS: Final = 3
SECONDS: Final = 10.0
"""A backlog that is read out comes many times faster than it was measured, so a few seconds tell it from a clock."""
WITHIN_S: Final = 2.0
STUCK_S: Final = 60.0
"""So long a backlog may be read out before its times are held against their pace."""
_FOLLOWED: Final = 0.1


class ProbeClock:
    """One sensor's clock.

    Steady is what has stayed within WITHIN_S of one distance over at least READINGS readings and SECONDS: its values
    are of now, whatever its clock says. A distance once found steady stays so, and follows a slow drift.
    """

    __slots__ = ("_count", "_from_s", "_late_from_s", "_late_since_s", "_since_s", "right_since_ns", "steady_s")

    def __init__(self) -> None:
        self.steady_s: float | None = None
        """The distance, positive if the probe is ahead; None as long as it is not steady."""
        self.right_since_ns: int | None = None
        """Since when its times have been right, for whoever keeps it; None if the newest was not."""
        self._from_s = 0.0
        self._since_s = 0.0
        self._count = 0
        self._late_from_s = 0.0
        self._late_since_s: float | None = None

    def begin(self) -> None:
        """Its time was right: what was late before says nothing of what is late from here on."""
        self._late_since_s = None

    def stuck(self, distance_s: float, now_s: float) -> bool:
        """Take the distance of a late reading; have they come for STUCK_S without coming nearer to now?

        A backlog that is read out comes nearer by at least half a second in each.
        """
        if self._late_since_s is None:
            self._late_from_s, self._late_since_s = distance_s, now_s
        waited_s = now_s - self._late_since_s
        return waited_s >= STUCK_S and distance_s - self._late_from_s < waited_s / 2

    def look(self, distance_s: float, now_s: float) -> bool:
        """Take the distance of one reading (probe minus gateway), at a moment that nobody can set; is it steady?"""
        steady_s = self.steady_s
        if steady_s is not None and abs(distance_s - steady_s) <= WITHIN_S:
            self.steady_s = steady_s + (distance_s - steady_s) * _FOLLOWED
            return True
        if not self._count or abs(distance_s - self._from_s) > WITHIN_S:
            self._from_s, self._since_s, self._count = distance_s, now_s, 1
            return False
        self._count += 1
        if self._count < READINGS or now_s - self._since_s < SECONDS:
            return False
        self.steady_s = distance_s
        return True
