"""The decisions of the shipper for one stream: events in, actions out; no I/O, no clock, no loop.

D1  A batch is sent only as the log leased it: what is on disk is what leaves.
D2  One batch at a time; only its acknowledgement settles it, anything else sends the same batch again, under the
    same id and sequence.
D4  A refusal for good cuts the batch, and each part goes under a fresh id; but where an earlier attempt had no
    answer it holds the stream, since the batch may have been taken before.
D7  A broker that does not know our sequence (45 and its like) holds the stream: nothing goes again under that id.
D9  An older lease keeps its id and goes first; then a fresh id. A fresh id again long before the sequence wraps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from sync.values import Accepted, Batch, Claim, Producer, Refused, Stream, Unknown

RENEW_AT: Final = 2**30
"""Kafka's sequence wraps from 2^31 - 1 to 0; half of that is years of one stream, and no batch comes near it."""

WRAP: Final = 2**31

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
    CUT = "cut"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class State:
    """Where a stream is. `unanswered`: an attempt of `batch` had no answer that settles it.

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
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProducerGiven:
    """An id for the stream, and the partition's log end as asked for now."""

    producer: Producer
    log_end: int


@dataclass(frozen=True, slots=True)
class Leased:
    """The log leased the stream's next batch; the lease is on disk."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class CutDone:
    """The refused batch is cut, or its one record is with the dead letters; that is on disk."""


@dataclass(frozen=True, slots=True)
class PauseOver:
    """It is time to try again."""


Event = ProducerGiven | Leased | Accepted | Refused | Unknown | CutDone | PauseOver


@dataclass(frozen=True, slots=True)
class AskProducer:
    """Get an id: one that no batch had (`fresh`), or the lane's id of this run."""

    fresh: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """Let the log lease the next batch under this claim."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Send:
    """Send this batch."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Settle:
    """Tell the log that the broker has the batch."""

    batch: Batch
    offset: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Let the log cut the batch in halves, or put its one record to the dead letters."""

    batch: Batch
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the same batch goes again. `answered`: the broker did answer, and refused for now."""

    reason: str
    answered: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing more of this stream."""

    reason: str


Action = AskProducer | Offer | Send | Settle | Cut | Pause | Hold
Step = tuple[State, tuple[Action, ...]]


def begin(stream: Stream, unsettled: Batch | None = None) -> Step:
    """Start a stream, with the batch that an earlier run leased and did not settle, if there is one."""
    if unsettled is None:
        return State(stream, Phase.PRODUCER), (AskProducer(fresh=False),)
    state = State(stream, Phase.ANSWER, batch=unsettled, unanswered=unsettled.attempted)
    return state, (Send(unsettled),)


def resume(state: State) -> Step:
    """Go on after the execution of the actions was broken off: what was to be done, and was perhaps done."""
    if state.phase is Phase.BLOCKS and state.producer is not None:
        return _offer(state, state.producer, state.next_sequence)
    if state.batch is None:
        return state, (AskProducer(state.fresh),)
    if state.phase is Phase.CUT:
        return state, (Cut(state.batch, state.reason),)
    if state.phase is Phase.HELD:
        return state, (Hold(state.reason),)
    return replace(state, phase=Phase.ANSWER, unanswered=True), (Send(state.batch),)


def step(state: State, event: Event) -> Step:  # noqa: PLR0911 - one return a transition
    """The next state and what is to be done, in order.

    Raises:
        ValueError: the event cannot happen in this state.
    """
    match state.phase, event:
        case Phase.PRODUCER, ProducerGiven(producer, log_end):
            first = -1 if producer == NO_PRODUCER else 0
            return _offer(replace(state, log_end=log_end, fresh=True), producer, first)
        case Phase.BLOCKS, Leased(batch):
            state = replace(state, phase=Phase.ANSWER, batch=batch, unanswered=batch.attempted)
            return state, (Send(batch),)
        case Phase.ANSWER, Accepted(offset) if state.batch is not None:
            return _settled(state, state.batch, offset)
        case Phase.ANSWER, Unknown(reason, left):
            state = replace(state, phase=Phase.PAUSE, unanswered=state.unanswered or left, reason=reason)
            return state, (Pause(reason, answered=False),)
        case Phase.ANSWER, Refused() if state.batch is not None:
            return _refused(state, state.batch, event)
        case Phase.PAUSE, PauseOver() if state.batch is not None:
            return replace(state, phase=Phase.ANSWER), (Send(state.batch),)
        case Phase.CUT, CutDone() if state.batch is not None:
            apart_until = max(state.apart_until, state.batch.last if state.batch.count > 1 else -1)
            state = State(state.stream, Phase.PRODUCER, apart_until=apart_until, fresh=True)
            return state, (AskProducer(fresh=True),)
        case _:
            raise ValueError(f"{type(event).__name__} in phase {state.phase}")


def _offer(state: State, producer: Producer, sequence: int) -> Step:
    claim = Claim(state.stream, producer, sequence, state.log_end)
    state = replace(state, phase=Phase.BLOCKS, producer=producer, next_sequence=sequence, batch=None, reason="")
    return state, (Offer(claim),)


def _settled(state: State, batch: Batch, offset: int) -> Step:
    settle = Settle(batch, offset)
    claim = batch.claim
    apart = batch.last < state.apart_until
    state = replace(state, apart_until=state.apart_until if apart else -1, unanswered=False)
    after = -1 if claim.base_sequence < 0 else (claim.base_sequence + batch.count) % WRAP
    if claim.producer != state.producer or apart or after >= RENEW_AT:
        state = replace(state, phase=Phase.PRODUCER, producer=None, batch=None, reason="")
        return state, (settle, AskProducer(state.fresh))
    state, offer = _offer(state, claim.producer, after)
    return state, (settle, *offer)


def _refused(state: State, batch: Batch, refusal: Refused) -> Step:
    if refusal.code in LOST_TRACK:
        return _hold(state, refusal.reason)
    if not refusal.permanent:
        state = replace(state, phase=Phase.PAUSE, reason=refusal.reason)
        return state, (Pause(refusal.reason, answered=True),)
    if state.unanswered and batch.claim.producer != NO_PRODUCER:
        return _hold(state, f"{refusal.reason}, after an attempt that had no answer")
    return replace(state, phase=Phase.CUT, reason=refusal.reason), (Cut(batch, refusal.reason),)


def _hold(state: State, reason: str) -> Step:
    return replace(state, phase=Phase.HELD, reason=reason), (Hold(reason),)
