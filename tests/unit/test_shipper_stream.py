"""Single decisions of a stream that the exploration does not reach."""

from __future__ import annotations

import pytest

from sync.kafka.answers import outcome_of
from sync.shipper.stream import (
    NO_PRODUCER,
    RENEW_AT,
    AskProducer,
    Cut,
    CutDone,
    Hold,
    Leased,
    Offer,
    Phase,
    ProducerGiven,
    Send,
    Settle,
    begin,
    resume,
    step,
)
from sync.values import Accepted, Batch, Claim, Lane, Producer, Refused, Stream, Unknown

STREAM = Stream(Lane.LIVE, "sensor-data", 3)
TOO_LARGE = Refused(10, "MessageTooLarge", permanent=True)


def batch(claim, first=1, count=10):
    return Batch(claim, first, first + count - 1, count, -1, b"", 0)


OURS = Producer(7, 0)


def offered(producer=OURS):
    state, _ = begin(STREAM)
    return step(state, ProducerGiven(producer, 42))


def test_a_claim_names_the_log_end_asked_for_before_the_first_batch():
    _, actions = offered()
    assert actions == (Offer(Claim(STREAM, OURS, 0, 42)),)


def test_the_sequence_counts_records():
    state, (offer,) = offered()
    state, _ = step(state, Leased(batch(offer.claim)))
    state, actions = step(state, Accepted(5))
    assert actions == (Settle(batch(offer.claim), 5), Offer(Claim(STREAM, OURS, 10, 42)))


def test_long_before_the_sequence_wraps_a_fresh_id_is_taken():
    state, (offer,) = offered()
    late = Claim(STREAM, offer.claim.producer, RENEW_AT - 5, 42)
    state, _ = step(state, Leased(batch(late)))
    state, actions = step(state, Accepted(5))
    assert actions[-1] == AskProducer(fresh=True)
    _, actions = step(state, ProducerGiven(Producer(8, 0), -1))
    assert actions[0].claim.base_sequence == 0


def test_each_part_of_a_cut_batch_goes_under_an_id_of_its_own_and_what_follows_does_not():
    state, (offer,) = offered()
    state, _ = step(state, Leased(batch(offer.claim, first=1, count=4)))
    state, actions = step(state, TOO_LARGE)
    assert actions == (Cut(batch(offer.claim, first=1, count=4), "MessageTooLarge"),)
    state, actions = step(state, CutDone())
    ids = []
    for first in (1, 3):
        assert actions[-1] == AskProducer(fresh=True)
        ids.append(Producer(10 + first, 0))
        state, (offer,) = step(state, ProducerGiven(ids[-1], -1))
        state, _ = step(state, Leased(batch(offer.claim, first=first, count=2)))
        state, actions = step(state, Accepted(0))
    assert actions[-1] == Offer(Claim(STREAM, ids[-1], 2, -1))


def test_without_ids_a_refusal_after_no_answer_is_cut_all_the_same():
    state, (offer,) = offered(producer=NO_PRODUCER)
    assert offer.claim.base_sequence == -1
    state, _ = step(state, Leased(batch(offer.claim)))
    state, _ = step(state, Unknown("lost"))
    state, actions = resume(state)
    assert isinstance(actions[0], Send)
    _, actions = step(state, TOO_LARGE)
    assert isinstance(actions[0], Cut)


def test_an_execution_broken_off_while_sending_counts_as_an_attempt_without_an_answer():
    state, (offer,) = offered()
    state, _ = step(state, Leased(batch(offer.claim)))
    state, actions = resume(state)
    assert actions == (Send(batch(offer.claim)),)
    state, actions = step(state, TOO_LARGE)
    assert isinstance(actions[0], Hold)
    assert state.phase is Phase.HELD


def test_an_event_that_cannot_be_is_an_error():
    state, _ = begin(STREAM)
    with pytest.raises(ValueError, match="Accepted in phase producer"):
        step(state, Accepted(0))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, Accepted(9)),
        (46, Accepted(-1)),
        (10, Refused(10, "MessageTooLarge", permanent=True)),
        (87, Refused(87, "InvalidRecord", permanent=True)),
        (29, Refused(29, "TopicAuthorizationFailed (29)", permanent=False)),
        (45, Refused(45, "OutOfOrderSequenceNumber (45)", permanent=False)),
        # A leader may give these after it has appended the batch.
        (6, Unknown("the broker answered NotLeaderForPartition (6)")),
        (7, Unknown("the broker answered RequestTimedOut (7)")),
        (20, Unknown("the broker answered NotEnoughReplicasAfterAppend (20)")),
        (-1, Unknown("the broker answered Unknown (-1)")),
        (999, Unknown("the broker answered Unknown (999)")),
    ],
)
def test_what_an_error_code_says_about_a_batch(code, expected):
    assert outcome_of(code, 9) == expected
