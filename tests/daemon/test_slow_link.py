"""The show of a slow line, in short."""

from __future__ import annotations

import pytest

from tests.shows.slow_link import BOUND_S, RATE, slow_link

pytestmark = pytest.mark.broker


def test_alarms_arrive_while_a_backlog_drains_over_a_slow_line_and_nothing_is_sent_twice(kafka):
    outcome = slow_link(backlog=20_000, alarms=6, kafka=kafka)
    assert max(outcome.alarms_bytes) <= BOUND_S * RATE, f"no alarm waits for two seconds of the line: {outcome}"
    assert 0 < outcome.backlog_after < outcome.backlog_before
    assert (outcome.repeated, outcome.retries) == (0, 0)
    assert outcome.batches > 10
