"""The one back-off: it grows to its longest pause, is drawn anew each time, and begins again after a success."""

from __future__ import annotations

import pytest

from sync.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_begin_again_after_a_success():
    backoff = Backoff(1.0, 5.0, jitter=(1.0, 1.0))
    assert [backoff.failed() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert backoff.failures == 5
    backoff.over()
    assert backoff.failed() == 1.0


def test_each_pause_is_drawn_from_its_range():
    backoff = Backoff(2.0, 8.0, growth=4.0, jitter=(0.25, 1.5))
    firsts = []
    for _ in range(200):
        firsts.append(backoff.failed())
        assert 2.0 <= backoff.failed() <= 12.0
        backoff.over()
    assert all(0.5 <= pause <= 3.0 for pause in firsts)
    assert len(set(firsts)) > 100, "a fleet would try in the same moment"


@pytest.mark.parametrize(("least", "most"), [(1.0, 5.0), (0.0, 0.0), (0.0, 2.0)])
def test_one_that_does_not_grow_draws_from_the_same_range_for_ever(least, most):
    backoff = Backoff.between(least, most)
    assert all(least <= backoff.failed() <= most for _ in range(300))


def test_a_failure_may_have_a_longest_pause_of_its_own():
    backoff = Backoff(0.1, 5.0)
    pauses = [backoff.failed(60.0) for _ in range(20)]
    assert 30.0 <= pauses[-1] <= 60.0
    assert backoff.failed() <= 5.0


def test_a_row_of_failures_without_end_is_no_number_that_a_float_cannot_hold():
    backoff = Backoff(0.1, 5.0, growth=10.0)
    for _ in range(2_000):
        assert backoff.failed() <= 5.0
