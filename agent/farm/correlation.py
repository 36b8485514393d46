"""Whether two daily series move together: Spearman's rank correlation over stated lags. Pure.

G8  A correlation is stated only from 30 pairs on, with their number, the lag and the interval, and only if that does
    not hold 0 once the number of comparisons is allowed for. It is worded "together with", never "because".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atanh, sqrt, tanh
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEAST_PAIRS: Final = 30
LAGS_DAYS: Final = (0, 1, 2, 3)
_SPEARMAN: Final = 1.06
"""Variance of Fisher's z of a rank correlation, times n - 3 (Fieller, Hartley & Pearson 1957)."""


@dataclass(frozen=True, slots=True)
class Together:
    """A rank correlation of n pairs, the second series `lag_days` after the first, and its interval."""

    rho: float
    low: float
    high: float
    n: int
    lag_days: int


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rho with mean ranks for ties; None if one series does not change."""
    ranks_1, ranks_2 = _ranks(first), _ranks(second)
    mean = (len(first) + 1) / 2
    across = sum((a - mean) * (b - mean) for a, b in zip(ranks_1, ranks_2, strict=True))
    spread = sqrt(sum((a - mean) ** 2 for a in ranks_1) * sum((b - mean) ** 2 for b in ranks_2))
    return across / spread if spread > 0 else None


def together(first: Mapping[int, float], second: Mapping[int, float], comparisons: int = 1) -> Together | None:
    """The strongest positive correlation over the lags, if it holds (G8).

    Args:
        first: one series, by day.
        second: the other one, looked for on the same day and up to three days later.
        comparisons: how many pairs of series are compared; the interval is widened for these and for the lags.
    """
    alpha = 0.05 / (comparisons * len(LAGS_DAYS))
    best: Together | None = None
    for lag in LAGS_DAYS:
        days = [day for day in first if day + lag in second]
        if len(days) < LEAST_PAIRS:
            continue
        rho = rank_correlation([first[day] for day in days], [second[day + lag] for day in days])
        if rho is None or rho <= 0:
            continue
        low, high = interval(rho, len(days), alpha)
        if low > 0 and (best is None or rho > best.rho):
            best = Together(rho, low, high, len(days), lag)
    return best


def interval(rho: float, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of a rank correlation by Fisher's z."""
    z = atanh(max(-0.999999, min(0.999999, rho)))
    half = NormalDist().inv_cdf(1 - alpha / 2) * sqrt(_SPEARMAN / (n - 3))
    return tanh(z - half), tanh(z + half)


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda place: values[place])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2 + 1
        start = end + 1
    return ranks
