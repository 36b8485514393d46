"""What the audit reads in the log's own events."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli.audit import _notes
from sync.audit import Topics
from sync.audit.accounting import Account
from sync.kafka import KafkaSettings
from sync.log import LogSettings
from sync.log.book.losses import Loss
from sync.log.disk.schema import MAX_NUMBER
from sync.log.ledger import notices
from sync.values import Lane


def settings() -> LogSettings:
    return LogSettings(Path("/nowhere"), gateway_id="gw", site_id="site")


def test_a_loss_that_nobody_counted_is_told_and_is_no_number():
    reading = Topics(KafkaSettings(("localhost:1",)), "gw", [])
    event = notices.uncounted_loss("stalled", "ab", "a run ended", at_ms=0, settings=settings())
    reading.pending("cd", 1, 1, "system-events", [event.value])
    one = reading.accounts["ab"].statement()
    assert one.uncounted == {"stalled": None}
    assert _notes(one) == ["stalled: number unknown"]
    assert (one.first, one.last, one.missing) == (1, 0, 0)


def test_counts_without_numbers_add_up_and_do_not_hide_one_that_is_unknown():
    reading = Topics(KafkaSettings(("localhost:1",)), "gw", [])
    for number, records in enumerate((3, 4), 1):
        event = notices.loss_event(Loss(Lane.LIVE, "t", None, None, records, "corrupt", 0, 0, "ab"), settings())
        reading.pending("cd", number, number, "system-events", [event.value])
    assert reading.accounts["ab"].statement().uncounted == {"corrupt": 7}
    event = notices.uncounted_loss("corrupt", "ab", "", at_ms=0, settings=settings())
    reading.pending("cd", 3, 3, "system-events", [event.value])
    assert reading.accounts["ab"].statement().uncounted == {"corrupt": None}


FAR = MAX_NUMBER


def told(topic, *bodies):
    """The account of log "ab", as records of log "cd" tell of it."""
    reading = Topics(KafkaSettings(("localhost:1",)), "gw", [])
    reading.account("ab").record(1, 500)
    reading.pending("cd", 1, len(bodies), topic, [json.dumps(body).encode() for body in bodies])
    return reading.accounts["ab"]


@pytest.mark.parametrize("event", ["numbers_skipped", "records_lost"])
def test_a_range_over_all_numbers_is_taken_in_at_once(event):
    data = {"log_id": "ab", "first": 1, "last": FAR, "count": FAR, "reason": "evicted"}
    assert told("system-events", {"event": event, "data": data}).statement().missing == 0


def test_a_number_far_off_is_missing_up_to_there():
    account = told("system-events")
    account.record(FAR, FAR)
    assert account.statement().missing_ranges == [(501, FAR - 1)]


def test_a_count_beyond_all_numbers_stands_for_no_more_than_there_are():
    data = {"log_id": "ab", "first": 501, "last": 510, "count": 10**4_000, "reason": "evicted"}
    events = [{"event": "records_lost", "data": data}] * 20
    one = told("system-events", *events).statement()
    assert (one.missing, one.removed) == (0, {"evicted": 20 * FAR})
    assert one.surplus == 20 * FAR - 10


def test_where_a_log_is_said_to_begin_hides_no_number_that_was_seen():
    account = told("gateway-runs", {"log_id": "ab", "log_first_seq": 1 << 40})
    account.record(503, 503)
    one = account.statement()
    assert (one.first, one.last, one.delivered, one.missing_ranges) == (1, 503, 501, [(501, 502)])


@pytest.mark.parametrize(("began", "unseen"), [(None, 500), (1, 0), (501, 0)])
def test_a_first_number_above_1_is_named_unless_something_says_that_the_log_began_there(began, unseen):
    account = Account("ab", began)
    account.record(501, 600)
    one = account.statement()
    assert (one.unseen_before, one.missing) == (unseen, 500 if began == 1 else 0)
    assert account.statement(501).unseen_before == 0, "who names the first number knows what came before"


def test_beyond_the_last_number_nothing_is_missing():
    one = told("system-events").statement(600)
    assert (one.first, one.last, one.missing, one.missing_ranges) == (600, 500, 0, [])
