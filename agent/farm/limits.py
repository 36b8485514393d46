"""Upper and lower limits of one sensor, with hysteresis. Pure: values in, crossings out."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

Kind = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds in the sensor's own unit; a value on the bound is within it.

    A raised limit clears only when the value is back inside by more than `hysteresis`, or by any amount
    where that is 0. Values that are older than `max_age_s` say nothing of now, and change nothing.
    """

    low: float | None = None
    high: float | None = None
    hysteresis: float = 0.0
    max_age_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Crossing:
    """A change of one limit's state; the first judgement is one, too."""

    kind: Kind
    raised: bool
    limit: float
    value: float


class LimitWatch:
    """Remembers which limits of one sensor are crossed."""

    def __init__(self, limits: Limits) -> None:
        both: tuple[tuple[Kind, float | None, float], ...] = (("low", limits.low, -1.0), ("high", limits.high, 1.0))
        self._bounds = tuple((kind, bound, sign) for kind, bound, sign in both if bound is not None)
        self._hysteresis = limits.hysteresis
        self._raised: dict[Kind, bool | None] = {kind: None for kind, _, _ in self._bounds}
        self._all = limits.low if limits.low is not None else -inf, limits.high if limits.high is not None else inf
        self.calm_from, self.calm_to = inf, -inf
        """Values from the one to the other change nothing, so `judge` need not be asked; none if an alarm stands."""

    def judge(self, value: float, *, clears: bool = True) -> tuple[Crossing, ...]:
        """What `value` changes. At the first value each limit answers, so that stale alarms elsewhere end.

        Without `clears` it may raise only: when it was measured is not certain.
        """
        crossings: tuple[Crossing, ...] = ()
        for kind, bound, sign in self._bounds:
            was = self._raised[kind]
            beyond = (value - bound) * sign
            # A value that is no number at all is beyond nothing; drivers refuse those before.
            raised = beyond > 0 or (bool(was) and self._hysteresis > 0 and beyond > -self._hysteresis)
            if raised != was and (raised or clears):
                self._raised[kind] = raised
                crossings += (Crossing(kind, raised, bound, value),)
        if crossings:
            calm = not any(was is not False for was in self._raised.values())
            self.calm_from, self.calm_to = self._all if calm else (inf, -inf)
        return crossings

    def raised(self) -> tuple[tuple[Kind, float], ...]:
        """The limits crossed now, with their bounds."""
        return tuple((kind, bound) for kind, bound, _ in self._bounds if self._raised[kind])
