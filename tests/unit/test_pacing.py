"""How fast a batch may leave, by what the line took before."""

from __future__ import annotations

import pytest

from sync.kafka.connection.pacing import Pacing

BATCH = 16 * 1024


def line(pacing, bytes_per_s, batches):
    for _ in range(batches):
        rate = min(bytes_per_s, pacing.bytes_per_s or bytes_per_s)
        pacing.answered(BATCH, BATCH / rate)


def test_a_slow_line_is_given_a_quarter_more_than_it_takes():
    pacing = Pacing()
    line(pacing, 6_250, 5)
    assert pacing.bytes_per_s == pytest.approx(6_250 * 1.25)


def test_a_fast_line_is_left_alone():
    pacing = Pacing()
    line(pacing, 1_000_000, 5)
    assert pacing.bytes_per_s is None


def test_a_line_that_got_better_is_found_out_within_a_few_batches():
    pacing = Pacing()
    line(pacing, 1_000, 3)
    assert pacing.bytes_per_s == pytest.approx(2_048)
    line(pacing, 1_000_000, 6)
    assert pacing.bytes_per_s is None


def test_a_small_batch_shows_the_delay_and_makes_no_line_slow():
    pacing = Pacing()
    pacing.answered(300, 0.6)
    assert pacing.bytes_per_s is None
    line(pacing, 6_250, 2)
    pacing.answered(300, 0.6)
    assert pacing.bytes_per_s == pytest.approx(6_250 * 1.25)


def test_a_broker_that_took_half_a_minute_is_forgotten_within_seconds_of_sending():
    pacing = Pacing()
    pacing.answered(BATCH, 30.0)
    spent_s = 0.0
    while pacing.bytes_per_s is not None:
        spent_s += BATCH / pacing.bytes_per_s
        pacing.answered(BATCH, BATCH / pacing.bytes_per_s)
    assert spent_s < 20
