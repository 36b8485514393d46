"""How long to pause before the next try: longer with each failure in a row, with jitter."""

from __future__ import annotations

import random
from typing import Self

_MOST_STEPS = 64
"""Past any longest pause; further on the growth would be more than a float holds."""


class Backoff:
    """Counts failures in a row. It has no clock and does not sleep: it says how long, and the caller waits.

    The first pause is `first_s`, each further one `growth` times as long, up to `most_s` (all in seconds). What is
    given out is drawn from that pause times the range `jitter`, so that a fleet spreads out.
    """

    def __init__(
        self, first_s: float, most_s: float, *, growth: float = 2.0, jitter: tuple[float, float] = (0.5, 1.0)
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._growth = growth
        self._jitter = jitter
        self.failures = 0
        """How many there were in a row."""

    @classmethod
    def between(cls, least_s: float, most_s: float) -> Self:
        """One that does not grow: each pause is drawn from the same range."""
        return cls(most_s, most_s, growth=1.0, jitter=(least_s / most_s if most_s else 1.0, 1.0))

    def failed(self, most_s: float | None = None) -> float:
        """One more failure; how long to pause now (s). `most_s` bounds this one pause in place of the usual bound."""
        steps, self.failures = min(self.failures, _MOST_STEPS), self.failures + 1
        longest_s = min(self._first_s * self._growth**steps, self._most_s if most_s is None else most_s)
        least, most = self._jitter
        return random.uniform(longest_s * least, longest_s * most)  # noqa: S311 - jitter, not a secret

    def over(self) -> None:
        """It worked: the next failure is the first of its row."""
        self.failures = 0
