"""How large the next batch may be."""

from __future__ import annotations

from sync.shipper.link.batch_size import FIRST_BYTES, LEAST_BYTES, MOST_BYTES, BatchSize


def test_the_first_batch_of_a_run_is_small_because_the_link_may_be_bad():
    assert BatchSize().limit_bytes == FIRST_BYTES < LEAST_BYTES


def test_a_lane_with_a_rate_of_its_own_gets_batches_of_two_seconds_of_it():
    size = BatchSize(bytes_per_s=50_000)
    size.delivered(LEAST_BYTES, 0.01)
    assert size.limit_bytes == 100_000


def test_a_fast_link_gets_the_largest_batches():
    size = BatchSize()
    size.delivered(size.limit_bytes, 0.01)
    assert size.limit_bytes == MOST_BYTES


def test_after_an_attempt_without_an_answer_batches_begin_small_and_grow_with_the_rate():
    size = BatchSize()
    size.failed()
    assert size.limit_bytes == FIRST_BYTES
    size.delivered(LEAST_BYTES, 0.5)
    assert size.limit_bytes == 4 * LEAST_BYTES


def test_a_link_that_grows_slow_gets_smaller_batches_but_never_below_the_least():
    size = BatchSize()
    size.delivered(LEAST_BYTES, 0.01)
    assert size.limit_bytes == MOST_BYTES
    for _ in range(20):
        size.delivered(size.limit_bytes, 60.0)
    assert size.limit_bytes == LEAST_BYTES


def test_a_small_batch_that_took_its_round_trip_does_not_make_the_link_slow():
    size = BatchSize()
    size.delivered(LEAST_BYTES, 0.05)
    before = size.limit_bytes
    size.delivered(300, 0.3)
    assert size.limit_bytes == before
