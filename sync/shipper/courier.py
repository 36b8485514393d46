"""Carries out what `stream` decides, for one stream: asks, leases, sends, settles and waits."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from sync.shipper.events import DeadLettered, Repeated
from sync.shipper.moves import (
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
    Untold,
)
from sync.shipper.stream import NO_PRODUCER, begin, resume, step
from sync.shipper.waits import Patience, trouble_of
from sync.side_by_side import both
from sync.values import Accepted, CannotTell, Lane, NotReady, Refused, Trouble, Unknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.seams import Log, Sink
    from sync.shipper.batch_size import BatchSize
    from sync.shipper.circuit import Circuit
    from sync.shipper.events import ShipperEvent
    from sync.shipper.moves import Action, Event
    from sync.shipper.precedence import Precedence
    from sync.shipper.shares import Shares
    from sync.shipper.stats import Tally
    from sync.shipper.topics import Topics
    from sync.shipper.waits import Waits
    from sync.values import Batch, Outcome, Producer, Stream

log = logging.getLogger("tidegate.shipper")

_Answer = TypeVar("_Answer")

_LONGER = 12
"""So many longest pauses a batch waits if only a change of a setting helps: each attempt costs its bytes."""
_LEAST_BODY_BYTES = 4 * 1024

_EXPIRATION_S = 24 * 3600.0
"""How long brokers remember a producer id where nobody changed it (F4)."""


class Harbour(Protocol):
    """What the couriers of one shipper share."""

    log: Log
    sink: Sink
    circuit: Circuit
    tally: Tally
    waits: Waits
    on_event: Callable[[ShipperEvent], None]
    on_delivered: Callable[[Batch], None]
    precedence: Precedence
    shares: Shares
    topics: Topics
    backoff_first_s: float
    backoff_most_s: float
    stop_s: float
    look_up_after_s: float

    async def lane_producer(self, lane: Lane) -> Producer:
        """The lane's id of this run; raises NotReady."""

    async def cleared(self, lane: Lane) -> None:
        """Wait until the link is up and the lane may use it."""

    def batch_size(self, lane: Lane) -> BatchSize:
        """The lane's batch size."""

    def limit_blocks(self, lane: Lane) -> None:
        """Pass the lane's batch size on to the log."""


class Courier:
    """One stream's executor. Cancelled, it lets a batch in flight have its answer for `stop_s`; may run again."""

    def __init__(self, stream: Stream, harbour: Harbour, unsettled: Batch | None) -> None:
        self._harbour = harbour
        self._patience = Patience(harbour.backoff_first_s)
        self._unanswered_since_s: float | None = None
        self._untimed = False
        self._change: asyncio.Future[int | None] | None = None
        self.state, self._actions = begin(stream, unsettled)
        self._begun = False

    async def run(self) -> None:
        """Ship until cancelled."""
        if self._begun:
            self.state, self._actions = resume(self.state)
        self._begun = True
        while True:
            event: Event | None = None
            for action in self._actions:
                event = await self._do(action)
            if event is None:
                raise RuntimeError(f"nothing to wait for in phase {self.state.phase}")
            self._advance(event)

    def _advance(self, event: Event) -> None:
        self.state, self._actions = step(self.state, event)

    async def _do(self, action: Action) -> Event | None:  # noqa: PLR0911 - one return an action
        harbour = self._harbour
        match action:
            case Send(batch):
                return await self._send(batch)
            case Settle() | Recall():
                self._settle(action)
                return None
            case Offer(claim):
                self._unanswered_since_s = None
                await harbour.shares.wait(claim.stream.lane)
                return Leased(await harbour.log.offer(claim, self._limit_bytes()))
            case AskProducer(fresh):
                return await self._answered(lambda: self._ask_producer(fresh=fresh))
            case Pause(reason, _answered, hint, setting, broker):
                await self._pause(Trouble(reason, hint, setting, broker))
                return PauseOver()
            case LookUp(batch) | ReadBack(batch):
                return await self._look(action, batch)
            case Again(batch, last_sequence, reason):
                repeated = await self._changed(lambda: harbour.log.again(batch, last_sequence)) or 0
                harbour.tally.repeated[self.state.stream.lane] += repeated
                harbour.on_event(Repeated(self.state.stream, repeated, reason))
                return AgainDone()
            case Cut(batch, reason):
                await self._changed(lambda: harbour.log.cut(batch, reason))
                if batch.count == 1:
                    harbour.tally.dead_letters += 1
                    harbour.on_event(DeadLettered(self.state.stream, batch.first, reason))
                return CutDone()

    def _settle(self, action: Settle | Recall) -> None:
        if isinstance(action, Recall):
            self._harbour.topics.recall(action)
            if not action.settles:
                return
        else:
            self._harbour.log.settle(action.batch, action.offset)
        self._note_delivered(action.batch)

    async def _look(self, action: LookUp | ReadBack, batch: Batch) -> Event:
        """Ask the broker about a batch (D6); alerts do so first, as they do all else."""
        harbour, lane = self._harbour, self.state.stream.lane

        async def asked() -> Event:
            await harbour.cleared(lane)
            await harbour.precedence.enter(lane)
            try:
                answer = await (
                    harbour.sink.look_up(batch) if isinstance(action, LookUp) else harbour.sink.read_back(batch)
                )
            finally:
                harbour.precedence.leave(lane)
            if isinstance(answer, CannotTell):
                return Untold(answer, answer.may_not_read and await self._remembered(batch))
            return answer

        event = await self._answered(asked)
        self._unanswered_since_s, self._untimed = _now_s(), False
        (harbour.tally.looked_up if isinstance(action, LookUp) else harbour.tally.read_back)[lane] += 1
        return event

    async def _remembered(self, batch: Batch) -> bool:
        """Whether a broker that took the batch cannot have forgotten it yet: it was leased before it first left.

        What went without a time it may forget at any moment (F4).
        """
        if batch.leased_at_ns is None or self._untimed:
            return False
        expiration_s = await self._harbour.sink.id_expiration_s() or _EXPIRATION_S
        return 0 <= _now_s() - batch.leased_at_ns / 1e9 <= expiration_s / 2

    async def _changed(self, ask: Callable[[], Awaitable[int | None]]) -> int | None:
        """A change of the log's, asked for once only, also where the wait for it is broken off and resumed."""
        if self._change is None:
            self._change = asyncio.ensure_future(ask())
        await asyncio.wait((self._change,))
        change, self._change = self._change, None
        try:
            return change.result()
        except ValueError as error:
            # Somebody else withdrew the lease, and so made the batch pending again.
            log.warning("%s", error)
            return None

    async def _answered(self, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Ask until there is an answer, while the circuit is closed, and less and less often."""
        harbour, topic = self._harbour, self.state.stream.topic
        reasons: set[str] = set()
        while True:
            await harbour.circuit.wait_closed()
            try:
                answer = await ask()
            except NotReady as error:
                if isinstance(error, Unreachable):
                    harbour.circuit.doubt(error.reason)
                harbour.tally.last_error = error.reason
                reasons.add(error.reason)
                await self._pause(trouble_of(error))
            else:
                self._patience.over()
                said = harbour.waits.by_topic.get(topic)
                if said is not None and said.reason in reasons:
                    # Nothing need be pending, whose delivery would say so. What a batch was refused for stays said.
                    harbour.waits.end(topic)
                return answer

    async def _send(self, batch: Batch) -> Outcome | Aged:
        harbour, stream = self._harbour, self.state.stream
        await harbour.cleared(stream.lane)
        await harbour.topics.look(stream.topic)
        await harbour.precedence.enter(stream.lane)
        try:
            # Judged last of all: each wait makes it older.
            return Aged() if await self._aged() else await self._attempt(batch)
        finally:
            harbour.precedence.leave(stream.lane)

    async def _attempt(self, batch: Batch) -> Outcome:
        harbour = self._harbour
        harbour.tally.in_flight += 1
        started_s, timed = _now_s(), harbour.sink.timed
        sending = asyncio.ensure_future(harbour.sink.send(batch))
        try:
            outcome = await asyncio.shield(sending)
        except asyncio.CancelledError:
            await self._let_land(sending)
            raise
        finally:
            harbour.tally.in_flight -= 1
        if isinstance(outcome, Unknown) and outcome.left:
            self._unanswered_since_s = started_s if self._unanswered_since_s is None else self._unanswered_since_s
            # Either side of a clock that was set meanwhile.
            self._untimed = not (timed and harbour.sink.timed)
        self._note(outcome, batch, _now_s() - started_s)
        return outcome

    async def _aged(self) -> bool:
        """Whether an attempt without an answer is so long ago that the broker must be asked before the next (D6).

        Sooner where brokers forget sooner, and at once where it went without a time (D5): a batch whose id they have
        forgotten they take again.
        """
        since_s = self._unanswered_since_s
        if not self.state.unanswered or since_s is None or not self._harbour.sink.idempotent:
            return False
        if self._untimed or _now_s() - since_s > self._harbour.look_up_after_s:
            return True
        try:
            expiration_s = await self._harbour.sink.id_expiration_s()
        except NotReady:
            return True  # the look-up waits until it is answered
        return expiration_s is not None and _now_s() - since_s > expiration_s / 2

    async def _let_land(self, sending: asyncio.Future[Outcome]) -> None:
        """The orderly stop: give the batch in flight its time, and settle it if its acknowledgement comes."""
        await asyncio.wait({sending}, timeout=self._harbour.stop_s)
        if not sending.done():
            sending.cancel()
            await asyncio.wait({sending}, timeout=1.0)
        if not sending.done() or sending.cancelled() or sending.exception() is not None:
            return  # `resume` takes the attempt for one without an answer
        self._advance(sending.result())
        for action in self._actions:
            if isinstance(action, Settle | Recall):
                self._settle(action)

    def _note(self, outcome: Outcome, batch: Batch, elapsed_s: float) -> None:
        harbour, lane = self._harbour, self.state.stream.lane
        match outcome:
            case Accepted():
                harbour.batch_size(lane).delivered(int(len(batch.body) * harbour.sink.expansion), elapsed_s)
                harbour.limit_blocks(lane)
            case Unknown(reason, left, broker):
                if left:
                    harbour.batch_size(lane).failed()
                    harbour.limit_blocks(lane)
                elif not broker:
                    harbour.circuit.doubt(reason)
                harbour.tally.retries["no answer" if left else "not connected"] += 1
                harbour.tally.last_error = reason
            case Refused(_, reason):
                harbour.tally.retries[reason] += 1
                harbour.tally.last_error = reason

    def _note_delivered(self, batch: Batch) -> None:
        harbour, lane, topic = self._harbour, self.state.stream.lane, self.state.stream.topic
        self._patience.over()
        harbour.tally.delivered[lane] += batch.count
        harbour.tally.batches[lane] += 1
        harbour.tally.body_bytes[lane] += len(batch.body)
        harbour.tally.delivered_age_s[lane] = max(_now_s() - batch.taken_at_ns / 1e9, 0.0)
        harbour.waits.end(topic)
        harbour.on_delivered(batch)

    def _limit_bytes(self) -> int:
        """How much of the log's own bytes the next batch may be: what leaves may be larger, by its codec."""
        limit = self._harbour.batch_size(self.state.stream.lane).limit_bytes
        return max(int(limit / self._harbour.sink.expansion), _LEAST_BODY_BYTES)

    async def _ask_producer(self, *, fresh: bool) -> ProducerGiven:
        harbour, stream = self._harbour, self.state.stream
        await harbour.topics.look(stream.topic)
        if not harbour.sink.idempotent:
            return ProducerGiven(NO_PRODUCER, -1)
        asking = harbour.sink.new_producer() if fresh else harbour.lane_producer(stream.lane)
        return ProducerGiven(*await both(asking, harbour.sink.log_end(stream)))

    async def _pause(self, trouble: Trouble) -> None:
        harbour, lane = self._harbour, self.state.stream.lane
        self._patience.failed(trouble)
        said = self._say(trouble)
        # An alarm is small: it is tried as often as ever.
        longer = _LONGER if trouble.setting and lane is not Lane.ALERT else 1
        await asyncio.sleep(self._patience.pause_s(harbour.backoff_most_s * longer))
        if not said:
            self._say(trouble)  # if the circuit was open for a moment only, the trouble is not the link's

    def _say(self, trouble: Trouble) -> bool:
        """Say that the topic waits, if that is worth a word; whether the link is up, so that it was not held back."""
        harbour, topic = self._harbour, self.state.stream.topic
        if harbour.circuit.state != "closed":
            return False
        if self._patience.worth_a_word(trouble, harbour.waits.by_topic.get(topic)):
            harbour.waits.begin(topic, trouble)
        return True


def _now_s() -> float:
    """The boot clock: what a broker remembers grows old while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
