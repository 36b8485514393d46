"""Single decisions of a stream that the exploration does not reach."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sync.kafka.errors.answers import outcome_of
from sync.shipper.decisions.moves import (
    Again,
    AgainDone,
    Aged,
    AskProducer,
    Cut,
    CutDone,
    Leased,
    LookUp,
    Offer,
    Pause,
    PauseOver,
    ProducerGiven,
    ReadBack,
    Recall,
    Send,
    Settle,
    Undecided,
)
from sync.shipper.decisions.stream import LOST_TRACK, NO_PRODUCER, RENEW_AT, Phase, begin, resume, step
from sync.values import (
    WRAP,
    Absent,
    Accepted,
    Batch,
    CannotTell,
    Claim,
    Forgotten,
    Found,
    Known,
    Lane,
    Producer,
    Refused,
    Stream,
    Unknown,
)

STREAM = Stream(Lane.LIVE, "sensor-data", 3)
TOO_LARGE = Refused(10, "MessageTooLarge (10)", permanent=True)
LOST = Refused(45, "OutOfOrderSequenceNumber (45)", permanent=False)
GONE = CannotTell("the partition begins at 90")
FORBIDDEN = CannotTell("TopicAuthorizationFailed (29)", may_not_read=True)


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
    """D9."""
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
    assert actions == (Cut(batch(offer.claim, first=1, count=4), "MessageTooLarge (10)"),)
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


def unsettled(base=20, count=10, producer=OURS):
    """A batch over a restart, and the state in which it is looked up."""
    left = replace(batch(Claim(STREAM, producer, base), first=21, count=count), attempted=True)
    state, actions = begin(STREAM, left)
    return left, state, actions


def in_flight(base=20):
    """A batch sent for the first time under the lane's id."""
    state, (offer,) = offered()
    leased = batch(replace(offer.claim, base_sequence=base), first=21)
    state, _ = step(state, Leased(leased))
    return leased, state


def doubted(refusal):
    """A batch whose first attempt had no answer, and whose second was refused: it is looked up."""
    leased, state = in_flight()
    state, _ = step(state, Unknown("lost"))
    state, _ = step(state, PauseOver())
    state, actions = step(state, refusal)
    assert actions == (LookUp(leased),)
    return leased, state


def test_what_an_earlier_run_left_is_looked_up_before_it_goes_again():
    left, state, actions = unsettled()
    assert actions == (LookUp(left),)
    state, actions = step(state, Known(29))
    assert actions == (Settle(left, -1), AskProducer(fresh=False))
    assert state.phase is Phase.PRODUCER


def test_what_the_broker_knows_up_to_the_batch_goes_again_under_its_own_id_and_sequence():
    left, state, _ = unsettled()
    state, actions = step(state, Known(19))
    assert actions == (Send(left),)
    # A late copy of it may have come since, and the broker's limit may have fallen: ask once more before cutting.
    _, actions = step(state, TOO_LARGE)
    assert actions == (LookUp(left),)


def test_a_broker_that_knows_less_than_it_acknowledged_lost_records():
    left, state, _ = unsettled()
    state, (again,) = step(state, Known(12))
    assert (again.batch, again.last_sequence) == (left, 12)
    state, actions = step(state, AgainDone())
    assert actions == (AskProducer(fresh=True),)


def test_sequences_are_compared_over_the_wrap():
    for base, last, expected in [
        (WRAP - 5, 4, Settle),  # the batch's last is 4
        (WRAP - 5, WRAP - 6, Send),
        (WRAP - 5, WRAP - 9, Again),
        (0, WRAP - 1, Send),
        (0, WRAP - 9, Again),
        (0, 9, Settle),
        (0, 5, Again),  # half a batch: no broker that is whole says so
    ]:
        _, state, _ = unsettled(base=base)
        _, actions = step(state, Known(last))
        assert isinstance(actions[0], expected), (base, last)


def test_of_a_forgotten_id_the_records_are_read_back():
    left, state, _ = unsettled()
    state, actions = step(state, Forgotten())
    assert actions == (ReadBack(left),)
    assert step(state, Found(77))[1][0] == Settle(left, 77)
    assert step(state, Absent())[1] == (Send(left),)
    assert step(state, Undecided(GONE))[1] == (Again(left, None, GONE.reason),)


def test_a_broker_that_cannot_look_up_is_read_back():
    left, state, _ = unsettled()
    _, actions = step(state, Undecided(CannotTell("UnsupportedVersion (35)")))
    assert actions == (ReadBack(left),)


def test_without_the_right_to_read_a_young_batch_goes_again_unmarked_and_an_old_one_marked():
    for read_back in (False, True):
        left, state, _ = unsettled()
        if read_back:
            state, _ = step(state, Forgotten())
        assert step(state, Undecided(FORBIDDEN, remembered=True))[1] == (Send(left),)
        assert step(state, Undecided(FORBIDDEN))[1] == (Again(left, None, FORBIDDEN.reason),)
    # Sent again it would be refused again.
    refused, state = doubted(TOO_LARGE)
    assert step(state, Undecided(FORBIDDEN, remembered=True))[1] == (Again(refused, None, FORBIDDEN.reason),)


def test_a_refusal_for_good_after_no_answer_is_looked_up():
    leased, state = doubted(TOO_LARGE)
    assert step(state, Known(29))[1][0] == Settle(leased, -1)
    assert step(state, Known(19))[1] == (Cut(leased, "MessageTooLarge (10)"),)
    state, _ = step(state, Forgotten())
    assert step(state, Found(7))[1][0] == Settle(leased, 7)
    assert step(state, Absent())[1] == (Cut(leased, "MessageTooLarge (10)"),)
    assert step(state, Undecided(GONE))[1] == (Again(leased, None, GONE.reason),)


@pytest.mark.parametrize("code", sorted(LOST_TRACK))
def test_nothing_goes_again_under_an_id_that_the_broker_lost_track_of(code):
    """D7."""
    for answer, last in [(Known(19), 19), (Known(4), 4)]:
        leased, state = in_flight()
        state, actions = step(state, replace(LOST, code=code))
        assert actions == (LookUp(leased),)
        _, actions = step(state, answer)
        assert actions == (Again(leased, last, actions[0].reason),)
    state, _ = step(state, Forgotten())
    assert step(state, Absent())[1] == (Again(leased, None, LOST.reason),)
    state, actions = step(state, Found(3))
    assert actions == (Settle(leased, 3), AskProducer(fresh=True)), "what is there is settled, and a fresh id follows"
    assert state.refusal is None


def test_what_has_had_no_answer_for_long_is_looked_up_and_then_goes_again():
    leased, state = in_flight()
    state, _ = step(state, Unknown("lost"))
    state, _ = step(state, PauseOver())
    state, actions = step(state, Aged())
    assert actions == (LookUp(leased),)
    assert step(state, Known(19))[1] == (Send(leased),)
    _, actions = step(state, Known(29))
    assert actions[-1] == Offer(Claim(STREAM, OURS, 30, 42)), "its id goes on"


def test_without_ids_nothing_is_looked_up():
    left = replace(batch(Claim(STREAM, NO_PRODUCER, -1)), attempted=True)
    state, actions = begin(STREAM, left)
    assert actions == (Send(left),)
    assert step(state, Aged())[1] == (Send(left),)
    assert isinstance(step(state, LOST)[1][0], Pause)


def test_parts_of_a_cut_batch_stay_apart_when_one_of_them_goes_again_marked():
    state, (offer,) = offered()
    state, _ = step(state, Leased(batch(offer.claim, first=1, count=4)))
    state, _ = step(state, TOO_LARGE)
    state, _ = step(state, CutDone())
    state, (offer,) = step(state, ProducerGiven(Producer(11, 0), -1))
    state, _ = step(state, Leased(batch(offer.claim, first=1, count=2)))
    state, _ = step(state, LOST)
    state, _ = step(state, Known(WRAP - 1))
    state, actions = step(state, AgainDone())
    state, (offer,) = step(state, ProducerGiven(Producer(12, 0), -1))
    state, _ = step(state, Leased(batch(offer.claim, first=1, count=2)))
    _, actions = step(state, Accepted(0))
    assert actions[-1] == AskProducer(fresh=True)


def test_an_execution_broken_off_while_sending_counts_as_an_attempt_without_an_answer():
    leased, state = in_flight()
    assert resume(state)[1] == (LookUp(leased),)
    state, _ = step(state, Unknown("not connected", left=False))
    assert resume(state)[1] == (Send(leased),), "nothing had left"


def test_an_execution_broken_off_elsewhere_does_again_what_was_to_be_done():
    leased, state = doubted(TOO_LARGE)
    assert resume(state) == (state, (LookUp(leased),))
    reading, _ = step(state, Forgotten())
    resumed, actions = resume(reading)
    assert actions == (LookUp(leased),)
    assert resumed.refusal == TOO_LARGE, "what it is looked up for is not forgotten"
    again, actions = step(reading, Undecided(GONE))
    assert resume(again) == (again, actions)
    cut, actions = step(state, Known(19))
    assert resume(cut) == (cut, actions)


def test_an_event_that_cannot_be_is_an_error():
    state, _ = begin(STREAM)
    with pytest.raises(ValueError, match="Accepted in phase producer"):
        step(state, Accepted(0))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, Accepted(9)),
        (46, Accepted(-1)),
        (10, Refused(10, "MessageTooLarge (10)", permanent=True)),
        (87, Refused(87, "InvalidRecord (87)", permanent=True)),
        (29, Refused(29, "TopicAuthorizationFailed (29)", permanent=False)),
        (45, Refused(45, "OutOfOrderSequenceNumber (45)", permanent=False)),
        # A leader may give these after it has appended the batch.
        (6, Unknown("the broker answered NotLeaderOrFollower (6)")),
        (7, Unknown("the broker answered RequestTimedOut (7)")),
        (20, Unknown("the broker answered NotEnoughReplicasAfterAppend (20)")),
        (-1, Unknown("the broker answered UnknownServerError (-1)")),
        (999, Unknown("the broker answered UnknownError (999)")),
    ],
)
def test_what_an_error_code_says_about_a_batch(code, expected):
    """F6: what comes after an append as well is no refusal."""
    outcome = outcome_of(code, 9)
    assert (outcome if isinstance(outcome, Accepted) else replace(outcome, hint="", setting="")) == expected


def held(acked):
    """A batch of ten under way, leased behind an acknowledged offset."""
    state, (offer,) = offered()
    leased = replace(batch(offer.claim), acked_offset=acked)
    return step(state, Leased(leased))[0], leased


@pytest.mark.parametrize(("offset", "lost"), [(-1, False), (0, True), (99, True), (100, False)])
def test_d15_an_offset_that_goes_back_is_a_loss_upstream(offset, lost):
    state, leased = held(99)
    _, (settle, offer) = step(state, Accepted(offset))
    assert settle == (Recall(leased, offset, -1) if lost else Settle(leased, offset))
    assert isinstance(offer, Offer), "nothing waits for it"


@pytest.mark.parametrize(("end", "lost"), [(-1, False), (10, True), (109, True), (110, False)])
def test_a_batch_that_is_known_must_stand_behind_what_was_acknowledged(end, lost):
    """D15."""
    state, leased = held(99)
    state, _ = step(replace(state, unanswered=True), Aged())
    _, (settle, *_) = step(state, Known(9, end))
    assert settle == (Recall(leased, -1, end) if lost else Settle(leased, -1))


def test_a_partition_that_ends_before_what_was_acknowledged_has_lost_it():
    """D15."""
    state, leased = held(99)
    state, _ = step(replace(state, unanswered=True), Aged())
    state, _ = step(state, Forgotten())
    _, actions = step(state, Undecided(CannotTell("it ends at 40", end=40)))
    assert actions == (Recall(leased, -1, 40, settles=False), Again(leased, None, "it ends at 40"))
    _, actions = step(state, Undecided(CannotTell("it begins at 150")))
    assert actions == (Again(leased, None, "it begins at 150"),)
