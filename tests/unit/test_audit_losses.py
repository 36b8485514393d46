"""What the audit reads in the log's own events."""

from __future__ import annotations

from pathlib import Path

from agent.cli.audit import _notes
from sync.audit import Topics
from sync.kafka import KafkaSettings
from sync.log import LogSettings, notices
from sync.log.notices import Loss
from sync.values import Lane


def settings() -> LogSettings:
    return LogSettings(Path("/nowhere"), gateway_id="gw", site_id="site")


def test_a_loss_that_nobody_counted_is_told_and_is_no_number():
    reading = Topics(KafkaSettings(("localhost:1",)), "gw", [])
    event = notices.uncounted_loss("stalled", "ab", "a run ended", at_ms=0, settings=settings())
    reading.pending("cd", 1, 1, "system-events", [event.value])
    one = reading.accounts["ab"].statement()
    assert one.uncounted == {"stalled": None}
    assert _notes(one) == ["stalled: nobody knows how many"]
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
