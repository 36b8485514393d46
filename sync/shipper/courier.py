"""Carries out what `stream` decides, for one stream: asks, leases, sends, settles and waits."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING, Protocol

from sync.shipper.events import DeadLettered, Held, Recovered, Waiting
from sync.shipper.stream import (
    NO_PRODUCER,
    AskProducer,
    Cut,
    CutDone,
    Hold,
    Leased,
    Offer,
    Pause,
    PauseOver,
    Phase,
    ProducerGiven,
    Send,
    Settle,
    begin,
    resume,
    step,
)
from sync.values import Accepted, NotReady, Refused, Unknown, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.shipper.circuit import Circuit
    from sync.shipper.events import ShipperEvent
    from sync.shipper.pace import Pace
    from sync.shipper.precedence import Precedence
    from sync.shipper.shares import Shares
    from sync.shipper.stats import Tally
    from sync.shipper.stream import Action, Event
    from sync.values import Batch, Lane, Log, Outcome, Producer, Sink, Stream

log = logging.getLogger("tidegate.shipper")

_PERSISTENT = 3
"""After so many attempts in a row (about a second) a trouble is worth a word."""


class Harbour(Protocol):
    """What the couriers of one shipper share."""

    log: Log
    sink: Sink
    circuit: Circuit
    tally: Tally
    on_event: Callable[[ShipperEvent], None]
    on_delivered: Callable[[Batch], None]
    precedence: Precedence
    shares: Shares
    backoff_first_s: float
    backoff_most_s: float
    stop_s: float

    async def lane_producer(self, lane: Lane) -> Producer:
        """The lane's id of this run; raises NotReady."""

    async def cleared(self, lane: Lane) -> None:
        """Wait until the link is up and the lane may use it."""

    def pace(self, lane: Lane) -> Pace:
        """The lane's batch size."""

    def limit_blocks(self, lane: Lane) -> None:
        """Pass the lane's batch size on to the log."""


class Courier:
    """One stream's executor. Cancelled, it lets a batch in flight have its answer for `stop_s`; may run again."""

    def __init__(self, stream: Stream, harbour: Harbour, unsettled: Batch | None) -> None:
        self._harbour = harbour
        self._attempts = 0
        self.state, self._actions = begin(stream, unsettled)
        self._begun = False

    async def run(self) -> None:
        """Ship until cancelled, or held."""
        if self._begun:
            self.state, self._actions = resume(self.state)
        self._begun = True
        while True:
            event: Event | None = None
            for action in self._actions:
                event = await self._do(action)
            if event is None:
                return
            self._advance(event)

    def _advance(self, event: Event) -> None:
        self.state, self._actions = step(self.state, event)

    async def _do(self, action: Action) -> Event | None:  # noqa: PLR0911 - one return an action
        harbour = self._harbour
        match action:
            case Send(batch):
                return await self._send(batch)
            case Settle(batch, offset):
                harbour.log.settle(batch, offset)
                self._note_delivered(batch)
                return None
            case Offer(claim):
                await harbour.shares.wait(claim.stream.lane)
                return Leased(await harbour.log.offer(claim, harbour.pace(claim.stream.lane).limit_bytes))
            case AskProducer(fresh):
                return await self._ask_producer(fresh=fresh)
            case Pause(reason, _answered):
                await self._pause(reason)
                return PauseOver()
            case Cut(batch, reason):
                await harbour.log.cut(batch, reason)
                if batch.count == 1:
                    harbour.tally.dead_letters += 1
                    harbour.on_event(DeadLettered(self.state.stream, batch.first, reason))
                return CutDone()
            case Hold(reason):
                if self.state.stream not in harbour.tally.held:
                    harbour.tally.held[self.state.stream] = reason
                    harbour.on_event(Held(self.state.stream, reason))
                return None

    async def _send(self, batch: Batch) -> Outcome:
        harbour, stream = self._harbour, self.state.stream
        await harbour.cleared(stream.lane)
        await harbour.precedence.enter(stream.lane)
        harbour.tally.in_flight += 1
        started = time.monotonic()
        sending = asyncio.ensure_future(harbour.sink.send(batch))
        try:
            outcome = await asyncio.shield(sending)
        except asyncio.CancelledError:
            await self._let_land(sending)
            raise
        finally:
            harbour.tally.in_flight -= 1
            harbour.precedence.leave(stream.lane)
        self._note(outcome, batch, time.monotonic() - started)
        return outcome

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
            if isinstance(action, Settle):
                await self._do(action)

    def _note(self, outcome: Outcome, batch: Batch, elapsed_s: float) -> None:
        harbour, lane = self._harbour, self.state.stream.lane
        match outcome:
            case Accepted():
                harbour.pace(lane).delivered(len(batch.body), elapsed_s)
                harbour.limit_blocks(lane)
            case Unknown(reason, left):
                if left:
                    harbour.pace(lane).failed()
                    harbour.limit_blocks(lane)
                else:
                    harbour.circuit.doubt(reason)
                harbour.tally.retries["no answer" if left else "not connected"] += 1
                harbour.tally.last_error = reason
            case Refused(_, reason, _):
                harbour.tally.retries[reason] += 1
                harbour.tally.last_error = reason

    def _note_delivered(self, batch: Batch) -> None:
        harbour, lane, topic = self._harbour, self.state.stream.lane, self.state.stream.topic
        self._attempts = 0
        harbour.tally.delivered[lane] += batch.count
        harbour.tally.batches[lane] += 1
        harbour.tally.body_bytes[lane] += len(batch.body)
        age_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - batch.taken_at_ns
        harbour.tally.delivered_age_s[lane] = max(age_ns, 0) / 1e9
        self._recovered(topic)
        harbour.on_delivered(batch)

    def _recovered(self, topic: str) -> None:
        if self._harbour.tally.waiting.pop(topic, None) is not None:
            self._harbour.on_event(Recovered(topic))

    async def _ask_producer(self, *, fresh: bool) -> ProducerGiven:
        harbour, stream = self._harbour, self.state.stream
        while True:
            await harbour.circuit.wait_closed()
            try:
                if not harbour.sink.idempotent:
                    return ProducerGiven(NO_PRODUCER, -1)
                producer = await (harbour.sink.new_producer() if fresh else harbour.lane_producer(stream.lane))
                log_end = await harbour.sink.log_end(stream)
            except NotReady as error:
                if isinstance(error, Unreachable):
                    harbour.circuit.doubt(error.reason)
                harbour.tally.last_error = error.reason
                await self._pause(error.reason, error.hint)
            else:
                self._attempts = 0
                return ProducerGiven(producer, log_end)

    async def _pause(self, reason: str, hint: str = "") -> None:
        harbour, topic = self._harbour, self.state.stream.topic
        longest = min(harbour.backoff_first_s * 2.0**self._attempts, harbour.backoff_most_s)
        self._attempts += 1
        if self._attempts >= _PERSISTENT and harbour.circuit.state == "closed" and topic not in harbour.tally.waiting:
            harbour.tally.waiting[topic] = reason
            harbour.on_event(Waiting(topic, reason, hint))
        await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter, not a secret

    @property
    def held(self) -> bool:
        """Whether the stream sends nothing more."""
        return self.state.phase is Phase.HELD
