import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.farm.limits import Crossing, Limits, LimitWatch


def states(watch, values):
    return [[(crossing.kind, crossing.raised) for crossing in watch.judge(value)] for value in values]


def test_a_value_on_the_bound_is_within_it():
    assert states(LimitWatch(Limits(high=18.0)), [18.0, 18.01, 18.0]) == [
        [("high", False)],
        [("high", True)],
        [("high", False)],
    ]


def test_a_crossing_is_told_once_until_it_clears():
    watch = LimitWatch(Limits(low=5.0))
    assert states(watch, [6.0, 4.0, 3.0, 4.9, 5.1]) == [[("low", False)], [("low", True)], [], [], [("low", False)]]


def test_hysteresis_holds_an_alarm_until_the_value_is_well_back():
    watch = LimitWatch(Limits(low=5.0, hysteresis=0.5))
    assert states(watch, [4.9, 5.1, 5.4, 5.5]) == [[("low", True)], [], [], [("low", False)]]


def test_from_one_bound_over_the_other_clears_and_raises_at_once():
    watch = LimitWatch(Limits(low=5.0, high=10.0))
    watch.judge(11.0)
    assert watch.judge(4.0) == (
        Crossing("low", raised=True, limit=5.0, value=4.0),
        Crossing("high", raised=False, limit=10.0, value=4.0),
    )
    assert watch.raised() == (("low", 5.0),)


def test_the_first_value_answers_for_each_limit_even_where_all_is_well():
    assert [crossing.raised for crossing in LimitWatch(Limits(low=1.0, high=9.0)).judge(5.0)] == [False, False]


def test_without_limits_nothing_is_ever_said():
    assert LimitWatch(Limits()).judge(1e9) == ()


@given(st.lists(st.floats(-10, 30), min_size=1), st.floats(0, 3))
@pytest.mark.parametrize(("low", "high"), [(5.0, 10.0), (None, 10.0), (5.0, None)])
def test_states_alternate_and_a_value_beyond_a_bound_is_always_raised(low, high, values, hysteresis):
    watch = LimitWatch(Limits(low, high, hysteresis))
    last = {}
    for value in values:
        for crossing in watch.judge(value):
            assert crossing.raised is not last.get(crossing.kind)
            last[crossing.kind] = crossing.raised
        raised = dict(watch.raised())
        if low is not None and value < low:
            assert "low" in raised
        if high is not None and value > high:
            assert "high" in raised
        if low is not None and value > low + hysteresis:
            assert "low" not in raised
