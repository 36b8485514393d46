"""The window is learnt from where a broker stops, and from nothing else."""

from __future__ import annotations

import pytest

from drivers.mqtt.delivery.window import Window


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def window(clock):
    found = Window(clock)
    found.begin()
    return found


def stop(window, clock, size, *, silent_s=0.2, answer_s=0.001):
    """The broker sends what its window holds, and waits for an acknowledgement."""
    clock.now_s += answer_s
    window.came(size)
    clock.now_s += silent_s
    window.acknowledged(size)


def test_three_stops_at_the_same_number_are_the_window(window, clock):
    for _ in range(4):
        assert window.size is None
        assert not window.full
        stop(window, clock, 10)
    window.came(9)
    assert (window.size, window.full) == (10, False)
    window.came(1)
    assert window.full


def test_the_ceiling_is_what_comes_through_it(window, clock):
    for _ in range(12):
        stop(window, clock, 10)
    assert window.ceiling_per_s == pytest.approx(10 / 0.201)
    assert window.bound_s == pytest.approx(0.201 * 10, abs=0.5)
    for _ in range(40):  # commits that no longer wait
        stop(window, clock, 10, silent_s=0.015)
    assert window.ceiling_per_s == pytest.approx(10 / 0.016, rel=0.01)
    clock.now_s += 60
    assert window.ceiling_per_s is None
    assert window.bound_s == 0


def test_a_broker_far_away_answers_later(window, clock):
    for _ in range(4):
        stop(window, clock, 10, answer_s=0.03)
    for _ in range(10):
        stop(window, clock, 10, silent_s=0.015, answer_s=0.03)
    assert window.size == 10


def test_a_steady_publisher_stops_nowhere(window, clock):
    for _ in range(50):
        for _ in range(40):
            clock.now_s += 0.005
            window.came(1)
        window.acknowledged(40)
    assert window.size is None


def test_bursts_that_the_next_one_does_not_wait_for_are_no_window(window, clock):
    for _ in range(50):
        stop(window, clock, 5, silent_s=0.2, answer_s=0.8)
    assert window.size is None


def test_one_message_more_and_it_was_no_window(window, clock):
    for _ in range(5):
        stop(window, clock, 10)
    window.came(11)
    assert window.size is None
    window.begin()
    for _ in range(5):
        stop(window, clock, 50)
    assert window.size == 50


def test_where_nothing_waits_behind_it_the_window_is_doubted_in_the_end(window, clock):
    for _ in range(5):
        stop(window, clock, 10)
    for _ in range(10):
        stop(window, clock, 10, silent_s=0.015, answer_s=0.9)
    assert window.size is None
