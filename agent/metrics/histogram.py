"""A histogram that takes a whole batch in one call, because one call a reading would cost too much."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Bucket bounds in seconds, from a fast disk to an hour of outage."""


class Histogram:
    """Counts by upper bound, as Prometheus wants them. One thread observes; reading at any time is harmless."""

    def __init__(self, bounds: tuple[float, ...] = LATENCY_S) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Note `count` observations of the same value."""
        self._counts[bisect_left(self._bounds, value)] += count
        self.sum += value * count

    @classmethod
    def from_cumulative(cls, at_most: Mapping[float, int], count: int, total: float) -> Histogram:
        """A histogram that someone else keeps: how many were at most as large as each bound, how many in all."""
        made = cls(tuple(sorted(at_most)))
        made.sum = total
        below = 0
        for place, bound in enumerate(sorted(at_most)):
            made._counts[place] = at_most[bound] - below
            below = at_most[bound]
        made._counts[-1] = count - below
        return made

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by `le`, the last of which is all."""
        labels = [*(str(bound) for bound in self._bounds), "+Inf"]
        return list(zip(labels, accumulate(self._counts), strict=True))
