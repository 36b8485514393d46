"""Every error code of Kafka: what it is about, and that only one about a record ever makes a dead letter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiokafka.errors import kafka_errors

from sync.kafka.errors import TABLE, Kind, error_of
from sync.kafka.errors.answers import outcome_of
from sync.shipper.decisions.moves import Cut, Leased, LookUp, Offer, Pause, PauseOver, ProducerGiven, Send, Settle
from sync.shipper.decisions.stream import LOST_TRACK, begin, step
from sync.values import Accepted, Batch, Lane, Producer, Refused, Stream, Unknown

PAGE = Path(__file__).parents[2] / "docs" / "KAFKA_ERRORS.md"
STREAM = Stream(Lane.LIVE, "sensor-data", 0)
EVERY = pytest.mark.parametrize("error", TABLE, ids=lambda error: error.name)
BEYOND = (134, 999, -2)


def sent():
    """A stream with a batch on its way that was never sent before, and that batch."""
    state, _ = begin(STREAM)
    state, (offer,) = step(state, ProducerGiven(Producer(7, 0), 0))
    assert isinstance(offer, Offer)
    batch = Batch(offer.claim, 1, 4, 4, -1, b"body", 0)
    state, actions = step(state, Leased(batch))
    assert actions == (Send(batch),)
    return state, batch


def test_the_table_has_every_code_once_and_in_order():
    assert [error.code for error in TABLE] == list(range(-1, 134))
    assert len({error.name for error in TABLE}) == len(TABLE)


def test_the_table_has_every_code_that_the_library_knows():
    assert {code for code in kafka_errors if code != -1} <= {error.code for error in TABLE}


def test_the_page_says_of_every_code_what_the_table_says():
    row = re.compile(r"^\| (-?\d+) \| (\w+) \| `(\w+)` \| (yes)? *\| (?:`([\w.]+)`)? *\| (.*?) *\|$", re.MULTILINE)
    told = {
        int(code): (name, kind, bool(before), setting, cure)
        for code, name, kind, before, setting, cure in row.findall(PAGE.read_text())
    }
    assert told == {
        error.code: (error.name, error.kind.value, error.before, error.setting, error.cure) for error in TABLE
    }


@EVERY
def test_what_becomes_of_a_batch(error):
    """D2, D4, D7: after any error but one about a record or a sequence the very same batch goes again."""
    state, batch = sent()
    state, (action, *more) = step(state, outcome_of(error.code, 5))
    match error.kind:
        case Kind.TAKEN:
            assert isinstance(action, Settle)
        case Kind.RECORD:
            assert action == Cut(batch, error.text)
        case Kind.SEQUENCE:
            assert action == LookUp(batch)
        case _:
            assert isinstance(action, Pause)
            assert (action.setting, action.hint) == (error.setting, error.cure)
            assert not more
            assert step(state, PauseOver())[1] == (Send(batch),)


@pytest.mark.parametrize("code", BEYOND)
def test_a_code_that_the_table_lacks_sends_the_same_batch_again(code):
    state, batch = sent()
    state, (action,) = step(state, outcome_of(code, -1))
    assert isinstance(action, Pause)
    assert step(state, PauseOver())[1] == (Send(batch),)


@EVERY
def test_only_an_error_that_comes_before_an_append_says_that_the_batch_is_not_there(error):
    """F6."""
    outcome = outcome_of(error.code, 5)
    expected = Accepted if error.kind is Kind.TAKEN else Refused if error.before else Unknown
    assert isinstance(outcome, expected)
    if error.kind in {Kind.RECORD, Kind.SEQUENCE}:
        assert error.before
    if error.setting:
        assert error.kind is Kind.CLIENT
        assert error.cure


def test_the_shipper_looks_up_after_just_the_errors_about_a_sequence():
    assert {error.code for error in TABLE if error.kind is Kind.SEQUENCE} == LOST_TRACK


def test_a_refused_codec_names_its_setting():
    assert {code for code in range(134) if error_of(code).setting == "kafka.compression"} == {43, 76}
