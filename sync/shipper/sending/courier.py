"""Carries out what `stream` decides, for one stream: asks, leases, sends, settles and waits."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, TypeVar

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
from sync.shipper.decisions.stream import NO_PRODUCER, begin, resume, step
from sync.shipper.events import DeadLettered, Repeated
from sync.shipper.link.waits import Patience, trouble_of
from sync.shipper.sending.unanswered import Unanswered, now_s
from sync.side_by_side import both
from sync.values import Accepted, CannotTell, Lane, NotReady, Refused, Trouble, Unknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.seams import Backlog, Sink
    from sync.shipper.decisions.moves import Action, Event
    from sync.shipper.events import ShipperEvent
    from sync.shipper.link.circuit import Circuit
    from sync.shipper.link.precedence import Precedence
    from sync.shipper.link.shares import Shares
    from sync.shipper.link.waits import Waits
    from sync.shipper.sending.lanes import Lanes
    from sync.shipper.sending.topics import Topics
    from sync.shipper.stats import Tally
    from sync.values import Batch, Outcome, Stream

log = logging.getLogger("tidegate.shipper")

_Answer = TypeVar("_Answer")

_LONGER = 12
"""So many longest pauses a batch waits if only a change of a setting helps: each attempt costs its bytes."""
_LEAST_BODY_BYTES = 4 * 1024


class Link(Protocol):
    """What the couriers of one shipper share."""

    log: Backlog
    sink: Sink
    circuit: Circuit
    tally: Tally
    waits: Waits
    on_event: Callable[[ShipperEvent], None]
    on_delivered: Callable[[Batch], None]
    precedence: Precedence
    shares: Shares
    lanes: Lanes
    topics: Topics
    backoff_first_s: float
    backoff_most_s: float
    stop_s: float
    look_up_after_s: float

    async def cleared(self, lane: Lane) -> None:
        """Wait until the link is up and the lane may use it."""


class Courier:
    """One stream's executor. Cancelled, it lets a batch in flight have its answer for `stop_s`; may run again."""

    def __init__(self, stream: Stream, link: Link, unsettled: Batch | None) -> None:
        self._link = link
        self._patience = Patience(link.backoff_first_s)
        self._unanswered = Unanswered(link.sink, link.look_up_after_s)
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
        link = self._link
        match action:
            case Send(batch):
                return await self._send(batch)
            case Settle() | Recall():
                self._settle(action)
                return None
            case Offer(claim):
                self._unanswered.over()
                await link.shares.wait(claim.stream.lane)
                return Leased(await link.log.offer(claim, self._limit_bytes()))
            case AskProducer(fresh):
                return await self._answered(lambda: self._ask_producer(fresh=fresh))
            case Pause(reason, _answered, hint, setting, broker):
                await self._pause(Trouble(reason, hint, setting, broker))
                return PauseOver()
            case LookUp(batch) | ReadBack(batch):
                return await self._look(action, batch)
            case Again(batch, last_sequence, reason):
                repeated = await self._changed(lambda: link.log.again(batch, last_sequence)) or 0
                link.tally.repeated[self.state.stream.lane] += repeated
                link.on_event(Repeated(self.state.stream, repeated, reason))
                return AgainDone()
            case Cut(batch, reason):
                await self._changed(lambda: link.log.cut(batch, reason))
                if batch.count == 1:
                    link.tally.dead_letters += 1
                    link.on_event(DeadLettered(self.state.stream, batch.first, reason))
                return CutDone()

    def _settle(self, action: Settle | Recall) -> None:
        if isinstance(action, Recall):
            self._link.topics.recall(action)
            if not action.settles:
                return
        else:
            self._link.log.settle(action.batch, action.offset)
        self._note_delivered(action.batch)

    async def _look(self, action: LookUp | ReadBack, batch: Batch) -> Event:
        """Ask the broker about a batch (D6); alerts do so first, as they do all else."""
        link, lane = self._link, self.state.stream.lane

        async def asked() -> Event:
            await link.cleared(lane)
            await link.precedence.enter(lane)
            try:
                answer = await (
                    link.sink.look_up(batch) if isinstance(action, LookUp) else link.sink.read_back(batch)
                )
            finally:
                link.precedence.leave(lane)
            if isinstance(answer, CannotTell):
                return Undecided(answer, answer.may_not_read and await self._unanswered.surely_known(batch))
            return answer

        event = await self._answered(asked)
        self._unanswered.looked_up()
        (link.tally.looked_up if isinstance(action, LookUp) else link.tally.read_back)[lane] += 1
        return event

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
        link, topic = self._link, self.state.stream.topic
        reasons: set[str] = set()
        while True:
            await link.circuit.wait_closed()
            try:
                answer = await ask()
            except NotReady as error:
                if isinstance(error, Unreachable):
                    link.circuit.doubt(error.reason)
                link.tally.last_error = error.reason
                reasons.add(error.reason)
                await self._pause(trouble_of(error))
            else:
                self._patience.over()
                said = link.waits.by_topic.get(topic)
                if said is not None and said.reason in reasons:
                    # Nothing need be pending, whose delivery would say so. What a batch was refused for stays said.
                    link.waits.end(topic)
                return answer

    async def _send(self, batch: Batch) -> Outcome | Aged:
        link, stream = self._link, self.state.stream
        await link.cleared(stream.lane)
        await link.topics.look(stream.topic)
        await link.precedence.enter(stream.lane)
        try:
            # Judged last of all: each wait makes it older.
            aged = self.state.unanswered and await self._unanswered.aged()
            return Aged() if aged else await self._attempt(batch)
        finally:
            link.precedence.leave(stream.lane)

    async def _attempt(self, batch: Batch) -> Outcome:
        link = self._link
        link.tally.in_flight += 1
        started_s, timed = now_s(), link.sink.timed
        sending = asyncio.ensure_future(link.sink.send(batch))
        try:
            outcome = await asyncio.shield(sending)
        except asyncio.CancelledError:
            await self._let_land(sending)
            raise
        finally:
            link.tally.in_flight -= 1
        if isinstance(outcome, Unknown) and outcome.left:
            # Either side of a clock that was set meanwhile.
            self._unanswered.attempted(started_s, timed=timed and link.sink.timed)
        self._note(outcome, batch, now_s() - started_s)
        return outcome

    async def _let_land(self, sending: asyncio.Future[Outcome]) -> None:
        """The orderly stop: give the batch in flight its time, and settle it if its acknowledgement comes."""
        await asyncio.wait({sending}, timeout=self._link.stop_s)
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
        link, lane = self._link, self.state.stream.lane
        match outcome:
            case Accepted():
                link.lanes.batch_size(lane).delivered(int(len(batch.body) * link.sink.expansion), elapsed_s)
                link.lanes.limit_blocks(lane)
            case Unknown(reason, left, broker):
                if left:
                    link.lanes.batch_size(lane).failed()
                    link.lanes.limit_blocks(lane)
                elif not broker:
                    link.circuit.doubt(reason)
                link.tally.retries["no answer" if left else "not connected"] += 1
                link.tally.last_error = reason
            case Refused(_, reason):
                link.tally.retries[reason] += 1
                link.tally.last_error = reason

    def _note_delivered(self, batch: Batch) -> None:
        link, lane, topic = self._link, self.state.stream.lane, self.state.stream.topic
        self._patience.over()
        link.tally.delivered[lane] += batch.count
        link.tally.batches[lane] += 1
        link.tally.body_bytes[lane] += len(batch.body)
        link.tally.delivered_age_s[lane] = max(now_s() - batch.taken_at_ns / 1e9, 0.0)
        link.waits.end(topic)
        link.on_delivered(batch)

    def _limit_bytes(self) -> int:
        """How much of the log's own bytes the next batch may be: what leaves may be larger, by its codec."""
        limit = self._link.lanes.batch_size(self.state.stream.lane).limit_bytes
        return max(int(limit / self._link.sink.expansion), _LEAST_BODY_BYTES)

    async def _ask_producer(self, *, fresh: bool) -> ProducerGiven:
        link, stream = self._link, self.state.stream
        await link.topics.look(stream.topic)
        if not link.sink.idempotent:
            return ProducerGiven(NO_PRODUCER, -1)
        asking = link.sink.new_producer() if fresh else link.lanes.producer(stream.lane)
        return ProducerGiven(*await both(asking, link.sink.log_end(stream)))

    async def _pause(self, trouble: Trouble) -> None:
        link, lane = self._link, self.state.stream.lane
        # An alarm is small: it is tried as often as ever.
        longer = _LONGER if trouble.setting and lane is not Lane.ALERT else 1
        pause_s = self._patience.failed(trouble, link.backoff_most_s * longer)
        said = self._say(trouble)
        await asyncio.sleep(pause_s)
        if not said:
            self._say(trouble)  # if the circuit was open for a moment only, the trouble is not the link's

    def _say(self, trouble: Trouble) -> bool:
        """Say that the topic waits, if that is worth a word; whether the link is up, so that it was not held back."""
        link, topic = self._link, self.state.stream.topic
        if link.circuit.state != "closed":
            return False
        if self._patience.worth_a_word(trouble, link.waits.by_topic.get(topic)):
            link.waits.begin(topic, trouble)
        return True
