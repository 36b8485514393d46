"""The judge of sensors on labelled water data, beside methods that know nothing of it. `make bench-quality`.

Online, in one pass. Thresholds are those that did best at the other sites (event F1 over all of them together); the
site that is scored had no part in it. Prints a table; --data FOLDER takes other files than those beside the tests.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from agent.farm.quality import QualitySettings, SensorJudge
from tests.support.events import Tally, interval, score, total
from tests.support.rivers import FOLDER, VARIABLES, rivers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.support.rivers import Series

_HOUR_S = 3_600.0
_WINDOW = 96
"""A day of quarters of an hour, for what looks back over a window."""
_CLOCK_EVERY = 400
SPIKES = (8.0, 15.0, 25.0, 40.0, 80.0, None)
SCATTERS = (8.0, 15.0, 30.0, None)
STUCKS = (6 * _HOUR_S, 12 * _HOUR_S, 24 * _HOUR_S, None)
TIMES = (3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 25.0)


def judged(series: Series, settings: QualitySettings) -> list[bool]:
    """What the judge doubts."""
    judge = SensorJudge(settings)
    return [judge.judge(value, at) > 0 for value, at in zip(series.values, series.at_s, strict=True)]


def z_score(series: Series, times: float) -> list[bool]:
    """Further from the mean of the last day than so many of its standard deviations."""
    window: deque[float] = deque(maxlen=_WINDOW)
    flags, plain, square = [], 0.0, 0.0
    for value in series.values:
        count = len(window)
        mean = plain / count if count else value
        deviation = max(square / count - mean * mean, 0.0) ** 0.5 if count else 0.0
        flags.append(count == _WINDOW and abs(value - mean) > times * deviation)
        if count == _WINDOW:
            plain -= window[0]
            square -= window[0] ** 2
        window.append(value)
        plain += value
        square += value**2
    return flags


def rolling_median(series: Series, times: float) -> list[bool]:
    """Further from the median of the last three hours than so many times the usual distance from it."""
    window: deque[float] = deque(maxlen=13)
    away: deque[float] = deque(maxlen=_WINDOW)
    flags, spread = [], 0.0
    for place, value in enumerate(series.values):
        distance = abs(value - median(window)) if window else 0.0
        if place % 4 == 0 and away:
            spread = median(away)
        flags.append(len(away) == _WINDOW and distance > times * max(spread, 1e-9))
        window.append(value)
        away.append(distance)
    return flags


def always(series: Series) -> list[bool]:
    """On from the first row."""
    return [True] * len(series.values)


def never(series: Series) -> list[bool]:
    """Not once."""
    return [False] * len(series.values)


def clock(series: Series) -> list[bool]:
    """Fires every 400 rows, and looks at none."""
    return [place % _CLOCK_EVERY == 0 for place in range(len(series.values))]


Weeks = dict[int, Tally]


def held_out(
    all_series: Sequence[Series], by_threshold: dict[object, list[Weeks]]
) -> tuple[list[Tally], list[object]]:
    """For each site the weeks at the threshold that did best at all others; and those thresholds."""
    found: list[Tally] = []
    chosen: list[object] = []
    for site in dict.fromkeys(one.site for one in all_series):
        there = [place for place, one in enumerate(all_series) if one.site == site]
        rest = [place for place, one in enumerate(all_series) if one.site != site]

        def elsewhere(threshold: object, rest: Sequence[int] = rest) -> tuple[float, float]:
            tally = total(week for place in rest for week in by_threshold[threshold][place].values())
            return tally.f1, -tally.false

        best = max(by_threshold, key=elsewhere)
        chosen.append(best)
        found += [week for place in there for week in by_threshold[best][place].values()]
    return found, chosen


def _judge(all_series: Sequence[Series]) -> tuple[list[Tally], list[object]]:
    """Each check alone gives its doubts; what they say together is one threshold of three parts."""

    def alone(**settings: float | None) -> list[list[bool]]:
        return [judged(one, QualitySettings(**settings)) for one in all_series]

    spikes = {limit: alone(spike=limit) for limit in SPIKES}
    scatters = {limit: alone(scatter=limit) for limit in SCATTERS}
    stucks = {limit: alone(stuck_s=limit) for limit in STUCKS}
    by_threshold: dict[object, list[Weeks]] = {}
    for spike, scatter, stuck in product(SPIKES, SCATTERS, STUCKS):
        by_threshold[spike, scatter, stuck] = [
            score(one.at_s, one.labels, [a or b or c for a, b, c in zip(*flags, strict=True)])
            for one, *flags in zip(all_series, spikes[spike], scatters[scatter], stucks[stuck], strict=True)
        ]
    return held_out(all_series, by_threshold)


def _by_times(all_series: Sequence[Series], method: Callable[[Series, float], list[bool]]) -> list[Tally]:
    found = {times: [score(one.at_s, one.labels, method(one, times)) for one in all_series] for times in TIMES}
    return held_out(all_series, dict(found))[0]


def _fixed(all_series: Sequence[Series], method: Callable[[Series], list[bool]]) -> list[Tally]:
    return [week for one in all_series for week in score(one.at_s, one.labels, method(one)).values()]


def table(series: Iterable[Series], variables: Sequence[str] = VARIABLES) -> list[tuple[str, str, list[Tally]]]:
    """Variable, method, and its weeks."""
    everything = list(series)
    rows = []
    for variable in variables:
        these = [one for one in everything if one.variable == variable and any(one.values)]
        weeks, chosen = _judge(these)
        print(f"{variable}: (spike, scatter, stuck_s) by held-out site: {chosen}", file=sys.stderr, flush=True)
        rows += [
            (variable, "judge", weeks),
            (variable, "rolling z-score", _by_times(these, z_score)),
            (variable, "rolling median", _by_times(these, rolling_median)),
            (variable, "always on", _fixed(these, always)),
            (variable, "never", _fixed(these, never)),
            (variable, "clock, 400 rows", _fixed(these, clock)),
        ]
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_quality", description=__doc__)
    parser.add_argument("--data", type=Path, default=FOLDER, help="a folder of the CSV files")
    given = parser.parse_args()
    series = rivers(given.data)
    gone, labelled = (sum(one.sentinels[place] for one in series) for place in (0, 1))
    print(f"{len(series)} series; {gone} sentinels removed before all methods, {labelled} of them labelled.\n")
    print("| variable | method | events | precision | recall | F1 | 95 % | point F1 | h in alarm | false/week |")
    print("|---|---|---:|---:|---:|---:|---|---:|---:|---:|")
    for variable, method, weeks in table(series):
        one = total(weeks)
        low, high = interval(weeks)
        print(
            f"| {variable} | {method} | {one.events} | {one.precision:.2f} | {one.recall:.2f} | {one.f1:.2f} | "
            f"{low:.2f} to {high:.2f} | {one.point_f1:.2f} | {one.alarm_s / 3_600:.0f} | {one.false_a_week:.2f} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
