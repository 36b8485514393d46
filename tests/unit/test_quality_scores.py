"""The judge on labelled water data, in short; and whether the scores themselves are right, on series made by hand."""

from __future__ import annotations

import pytest

from tests.bench.bench_quality import table
from tests.support.events import interval, runs, score, total
from tests.support.rivers import rivers

QUARTER_S = 900.0


def scored(labels, flags):
    at_s = [place * QUARTER_S for place in range(len(labels))]
    return total(score(at_s, labels, flags).values())


def marks(length, *places):
    return [place in places for place in range(length)]


def test_an_alarm_is_right_within_its_event_and_four_samples_after_it():
    labels = marks(100, 50, 51, 52)
    for first, right in ((49, False), (50, True), (52, True), (56, True), (57, False)):
        found = scored(labels, marks(100, first))
        assert (found.hit, found.false) == ((1, 0) if right else (0, 1)), first


def test_an_event_counts_once_and_an_alarm_that_goes_on_counts_each_day():
    labels = marks(400, *range(50, 100))
    assert scored(labels, marks(400, 50, 70, 90)).hit == 1
    # It begins in the event and goes on for two days and a half after it.
    found = scored(labels, marks(400, *range(60, 100 + 240)))
    assert (found.hit, found.false) == (1, 2)
    always = scored(labels, [True] * 400)
    assert (always.hit, always.false) == (0, 5)
    assert always.precision == always.f1 == 0


def test_rows_without_a_flag_between_two_do_not_end_an_alarm_before_four():
    assert runs(marks(20, 1, 6, 12), 4) == [(1, 6), (12, 12)]


def test_figures_are_those_of_the_formulas():
    found = scored(marks(672, 10, 300), marks(672, 10, 100, 200))
    assert (found.recall, found.precision, found.f1) == (0.5, pytest.approx(1 / 3), pytest.approx(0.4))
    assert found.false_a_week == pytest.approx(2, rel=0.01)
    low, high = interval([found, scored(marks(10, 5), marks(10, 5))])
    assert 0 <= low <= found.f1 <= high <= 1


def test_on_real_water_the_judge_does_better_than_what_does_not_look():
    """In short: three sites are too few to choose thresholds by; docs/QUALITY.md has the figures of all of them."""
    found = {method: total(weeks) for _, method, weeks in table(rivers(), ("cond",))}
    judge = found.pop("judge")
    assert judge.events == 17
    for blind in ("always on", "never", "clock, 400 rows"):
        assert judge.f1 > 4 * found[blind].f1
    assert judge.false_a_week < 1
