"""The decisions of the shipper for one stream: events in, actions out; no I/O, no clock, no loop.

D1  A batch is sent only as the log leased it: what is on disk is what leaves.
D2  One batch at a time; only its acknowledgement settles it, anything else sends the same batch again, under the
    same id and sequence.
D4  A refusal for good cuts the batch, and each part goes under a fresh id; but where an earlier attempt had no
    answer the batch is looked up first, since it may have been taken before.
D6  What an earlier run left unsettled, and what has had no answer for long, is looked up before it goes again, under
    its own id and sequence. Of an id that is forgotten the records themselves are read back. Where neither can
    tell, the batch goes again marked, under a fresh id.
D7  A broker that does not know our sequence (45 and its like), or knows an older one than it acknowledged, has lost
    records: what it lacks goes again marked, under a fresh id, and nothing goes again under the old one.
D15  A batch that stands no higher than what was acknowledged before it was leased: the topic was created again, or
    has lost its records. It is settled, and all that local history holds goes again marked.
D9  An older lease keeps its id and goes first; then a fresh id. A fresh id again long before the sequence wraps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from sync.shipper.decisions.moves import (
    Action,
    Again,
    AgainDone,
    Aged,
    AskProducer,
    Cut,
    CutDone,
    Event,
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
    Producer,
    Refused,
    Stream,
    Unknown,
)

RENEW_AT: Final = WRAP // 2
"""Half of the sequence space (D9): years of one stream, and no batch comes near it."""

NO_PRODUCER: Final = Producer(-1, -1)
"""What batches carry without idempotence (D13)."""

LOST_TRACK: Final = frozenset({45, 47, 59, 90})
"""Out of order sequence, invalid epoch, unknown producer, fenced: the broker's memory of our id is not ours."""


class Phase(StrEnum):
    """What a stream waits for."""

    PRODUCER = "producer"
    BLOCKS = "blocks"
    ANSWER = "answer"
    PAUSE = "pause"
    LOOK_UP = "look up"
    READ_BACK = "read back"
    AGAIN = "again"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class State:
    """Where a stream is. `unanswered`: an attempt of `batch` had no answer that settles it.

    `refusal` is why a batch is looked up, where that is not its age; `last_sequence` what the broker has of its id.

    Up to record `apart_until` (a `seq` of the log) lie parts of a batch that was cut; each takes a fresh id.
    `fresh`: the lane's id of this run has been used here, so that the next id must be one that no batch had.
    """

    stream: Stream
    phase: Phase
    producer: Producer | None = None
    next_sequence: int = 0
    log_end: int = -1
    batch: Batch | None = None
    unanswered: bool = False
    apart_until: int = -1
    fresh: bool = False
    refusal: Refused | None = None
    last_sequence: int | None = None
    reason: str = ""


Step = tuple[State, tuple[Action, ...]]


def begin(stream: Stream, unsettled: Batch | None = None) -> Step:
    """Start a stream, with the batch that an earlier run leased and did not settle, if there is one."""
    if unsettled is None:
        return State(stream, Phase.PRODUCER), (AskProducer(fresh=False),)
    state = State(stream, Phase.ANSWER, batch=unsettled, unanswered=unsettled.attempted)
    return _before_sending_again(state, unsettled)


def resume(state: State) -> Step:
    """Go on after the execution of the actions was broken off: what was to be done, and was perhaps done."""
    batch = state.batch
    if state.phase is Phase.BLOCKS and state.producer is not None:
        return _offer(state, state.producer, state.next_sequence)
    if batch is None:
        return state, (AskProducer(state.fresh),)
    match state.phase:
        case Phase.CUT:
            return state, (Cut(batch, state.reason),)
        case Phase.AGAIN:
            return state, (Again(batch, state.last_sequence, state.reason),)
        case Phase.LOOK_UP | Phase.READ_BACK:
            return _look_up(state, batch, state.refusal)
        case Phase.ANSWER:
            state = replace(state, unanswered=True)
    return _before_sending_again(state, batch)


def step(state: State, event: Event) -> Step:  # noqa: C901, PLR0911, PLR0912 - one case a transition
    """The next state and what is to be done, in order.

    Raises:
        ValueError: the event cannot happen in this state.
    """
    batch = state.batch
    if batch is None:
        match state.phase, event:
            case Phase.PRODUCER, ProducerGiven(producer, log_end):
                first = -1 if producer == NO_PRODUCER else 0
                return _offer(replace(state, log_end=log_end, fresh=True), producer, first)
            case Phase.BLOCKS, Leased(leased):
                return _send(replace(state, unanswered=leased.attempted), leased)
    else:
        match state.phase, event:
            case Phase.ANSWER, Accepted(offset):
                return _settled(state, batch, offset)
            case Phase.ANSWER, Unknown(reason, left, broker, setting, hint):
                state = replace(state, phase=Phase.PAUSE, unanswered=state.unanswered or left, reason=reason)
                return state, (Pause(reason, answered=False, hint=hint, setting=setting, broker=broker),)
            case Phase.ANSWER, Refused():
                return _refused(state, batch, event)
            case Phase.ANSWER, Aged():
                return _before_sending_again(state, batch)
            case Phase.PAUSE, PauseOver():
                return _send(state, batch)
            case Phase.LOOK_UP, Known(last, end):
                return _known(state, batch, last, end)
            case Phase.LOOK_UP, Undecided(CannotTell(may_not_read=True)):
                return _undecided(state, batch, event)
            case Phase.LOOK_UP, Forgotten() | Undecided():
                return replace(state, phase=Phase.READ_BACK), (ReadBack(batch),)
            case Phase.READ_BACK, Found(offset):
                return _settled(state, batch, offset)
            case Phase.READ_BACK, Absent():
                return _absent(state, batch)
            case Phase.READ_BACK, Undecided():
                return _undecided(state, batch, event)
            case (Phase.CUT, CutDone()) | (Phase.AGAIN, AgainDone()):
                return _anew(state, batch)
    raise ValueError(f"{type(event).__name__} in phase {state.phase}")


def _offer(state: State, producer: Producer, sequence: int) -> Step:
    claim = Claim(state.stream, producer, sequence, state.log_end)
    state = replace(state, phase=Phase.BLOCKS, producer=producer, next_sequence=sequence, batch=None, reason="")
    return state, (Offer(claim),)


def _send(state: State, batch: Batch) -> Step:
    return replace(state, phase=Phase.ANSWER, batch=batch, refusal=None), (Send(batch),)


def _before_sending_again(state: State, batch: Batch) -> Step:
    """D6: look up what may have been taken, where time has passed that we know nothing of."""
    if state.unanswered and batch.claim.producer != NO_PRODUCER:
        return _look_up(state, batch, None)
    return _send(state, batch)


def _look_up(state: State, batch: Batch, refusal: Refused | None) -> Step:
    return replace(state, phase=Phase.LOOK_UP, refusal=refusal), (LookUp(batch),)


def _settled(state: State, batch: Batch, offset: int, end: int = -1) -> Step:
    settle: Settle | Recall = Settle(batch, offset)
    if 0 <= offset <= batch.acked_offset or 0 <= end <= batch.acked_offset + batch.count:
        settle = Recall(batch, offset, end)
    claim = batch.claim
    apart = batch.last < state.apart_until
    after = -1 if claim.base_sequence < 0 else (claim.base_sequence + batch.count) % WRAP
    renew = claim.producer != state.producer or apart or after >= RENEW_AT or _lost_track(state.refusal)
    state = replace(state, apart_until=state.apart_until if apart else -1, unanswered=False, refusal=None)
    if renew:
        state = replace(state, phase=Phase.PRODUCER, producer=None, batch=None, reason="")
        return state, (settle, AskProducer(state.fresh))
    state, offer = _offer(state, claim.producer, after)
    return state, (settle, *offer)


def _refused(state: State, batch: Batch, refusal: Refused) -> Step:
    traceable = batch.claim.producer != NO_PRODUCER
    if traceable and (_lost_track(refusal) or (refusal.permanent and state.unanswered)):
        return _look_up(state, batch, refusal)
    if refusal.permanent:
        return _cut(state, batch, refusal.reason)
    pause = Pause(refusal.reason, answered=True, hint=refusal.hint, setting=refusal.setting)
    return replace(state, phase=Phase.PAUSE, reason=refusal.reason), (pause,)


def _known(state: State, batch: Batch, last: int, end: int) -> Step:
    """The broker remembers the id, and all of it that stands in the partition (D6)."""
    above = (last + 1 - batch.claim.base_sequence) % WRAP
    if batch.count <= above < WRAP // 2:
        return _settled(state, batch, -1, end)
    if above == 0:
        return _absent(state, batch, last)
    return _again(state, batch, last, "Kafka lost records that it had acknowledged")


def _absent(state: State, batch: Batch, last: int | None = None) -> Step:
    """The batch is not there. A late copy of it may still come: under its own id that does no harm (F1, F6)."""
    refusal = state.refusal
    if refusal is None:
        return _send(state, batch)
    if _lost_track(refusal):
        return _again(state, batch, last, refusal.reason)
    return _cut(state, batch, refusal.reason)


def _undecided(state: State, batch: Batch, event: Undecided) -> Step:
    if event.remembered and event.answer.may_not_read and state.refusal is None:
        return _send(state, batch)
    state, actions = _again(state, batch, None, event.answer.reason)
    end = event.answer.end
    if 0 <= end <= batch.acked_offset:
        actions = (Recall(batch, -1, end, settles=False), *actions)
    return state, actions


def _again(state: State, batch: Batch, last: int | None, reason: str) -> Step:
    state = replace(state, phase=Phase.AGAIN, last_sequence=last, reason=reason)
    return state, (Again(batch, last, reason),)


def _cut(state: State, batch: Batch, reason: str) -> Step:
    return replace(state, phase=Phase.CUT, reason=reason), (Cut(batch, reason),)


def _anew(state: State, batch: Batch) -> Step:
    """The batch's lease is withdrawn: whatever goes next needs an id that no batch had."""
    apart_until = state.apart_until
    if state.phase is Phase.CUT and batch.count > 1:
        apart_until = max(apart_until, batch.last)
    return State(state.stream, Phase.PRODUCER, apart_until=apart_until, fresh=True), (AskProducer(fresh=True),)


def _lost_track(refusal: Refused | None) -> bool:
    return refusal is not None and refusal.code in LOST_TRACK
