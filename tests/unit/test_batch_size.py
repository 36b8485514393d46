"""How large the next batch may be."""

from __future__ import annotations

from sync.shipper.batch_size import LEAST_BYTES, MOST_BYTES, Pace


def test_the_first_batch_of_a_run_is_small_because_the_link_may_be_bad():
    assert Pace().limit_bytes == LEAST_BYTES


def test_a_lane_with_a_rate_of_its_own_gets_batches_of_two_seconds_of_it():
    pace = Pace(bytes_per_s=50_000)
    pace.delivered(LEAST_BYTES, 0.01)
    assert pace.limit_bytes == 100_000


def test_a_fast_link_gets_the_largest_batches():
    pace = Pace()
    pace.delivered(pace.limit_bytes, 0.01)
    assert pace.limit_bytes == MOST_BYTES


def test_after_an_attempt_without_an_answer_batches_begin_small_and_grow_with_the_rate():
    pace = Pace()
    pace.failed()
    assert pace.limit_bytes == LEAST_BYTES
    pace.delivered(LEAST_BYTES, 0.5)
    assert pace.limit_bytes == 4 * LEAST_BYTES


def test_a_link_that_grows_slow_gets_smaller_batches_but_never_below_the_least():
    pace = Pace()
    pace.delivered(LEAST_BYTES, 0.01)
    assert pace.limit_bytes == MOST_BYTES
    for _ in range(20):
        pace.delivered(pace.limit_bytes, 60.0)
    assert pace.limit_bytes == LEAST_BYTES


def test_a_small_batch_that_took_its_round_trip_does_not_make_the_link_slow():
    pace = Pace()
    pace.delivered(LEAST_BYTES, 0.05)
    before = pace.limit_bytes
    pace.delivered(300, 0.3)
    assert pace.limit_bytes == before
