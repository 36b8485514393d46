"""Upper and lower limits of one sensor, with hysteresis. Pure: values in, crossings out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["low", "high"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds in the sensor's own unit; a value on the bound is within it.

    A raised limit clears only when the value is back inside by more than `hysteresis`, or by any amount
    where that is 0.
    """

    low: float | None = None
    high: float | None = None
    hysteresis: float = 0.0


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

    def judge(self, value: float) -> tuple[Crossing, ...]:
        """What `value` changes. At the first value each limit answers, so that stale alarms elsewhere end."""
        crossings: tuple[Crossing, ...] = ()
        for kind, bound, sign in self._bounds:
            was = self._raised[kind]
            beyond = (value - bound) * sign
            # A value that is no number at all is beyond nothing; drivers refuse those before.
            raised = beyond > 0 or (bool(was) and self._hysteresis > 0 and beyond > -self._hysteresis)
            if raised != was:
                self._raised[kind] = raised
                crossings += (Crossing(kind, raised, bound, value),)
        return crossings

    def raised(self) -> tuple[tuple[Kind, float], ...]:
        """The limits crossed now, with their bounds."""
        return tuple((kind, bound) for kind, bound, _ in self._bounds if self._raised[kind])
