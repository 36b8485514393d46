"""The loop's side of the log: calls become work for a commit, and answers come back with the figures of it."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sync.log.commit.engine import EMPTY, Figures
from sync.log.commit.work import Append, Offer, Request, ThinRequest
from sync.log.disk import blocks
from sync.log.leasing import destination, fork, leases, recall
from sync.log.retention.forecast import forecast
from sync.values import Batch, Envelope, Lane, LogStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sync.log.answers import Answer
    from sync.log.book.content import Book
    from sync.log.clock import Clock
    from sync.values import Claim, Origin, Pending, Recalled, Standing, Stream

_lane = itemgetter(Envelope._fields.index("lane"))


class Front(ABC):
    """What both logs share of the seam `Log`; all of it on the loop's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._figures: Figures = EMPTY
        self._last_commit_s = time.monotonic()
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def append(self, records: Sequence[Envelope], receipts: Sequence[tuple[str, bytes]] = ()) -> asyncio.Future[None]:
        """See `Log.append`."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if records:
            append = Append(records, done, time.monotonic(), receipts)
            self._put_append(append, urgent=Lane.ALERT in map(_lane, records))
        else:
            done.set_result(None)
        return done

    def receipts(self, name: str) -> asyncio.Future[list[bytes]]:
        """See `Log.receipts`."""
        return self._ask(lambda book: book.receipts(name))

    def offer(self, claim: Claim, max_bytes: int) -> asyncio.Future[Batch]:
        """See `Log.offer`."""
        done: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()
        done.add_done_callback(lambda future: self._withdrawn(future, claim))
        self._put_offer(Offer(claim, max_bytes, done))
        return done

    def lease(self, claim: Claim, max_bytes: int) -> asyncio.Future[Batch | None]:
        """See `Log.lease`."""
        done = self._ask(lambda book: leases.lease(book, claim, max_bytes))
        done.add_done_callback(lambda future: self._withdrawn(future, claim))
        return done

    def settle(self, batch: Batch, offset: int) -> None:
        """See `Log.settle`."""
        self._put_request(Request(lambda book: leases.settle(book, batch, offset)), urgent=False)

    def recall(self, batch: Batch, offset: int, end: int, *, settles: bool) -> asyncio.Future[Recalled | None]:
        """See `Log.recall`."""
        return self._ask(lambda book: recall.recall(book, batch, offset, end, settles=settles))

    def stands_in(self, topic: str, topic_id: str) -> asyncio.Future[Recalled | None]:
        """See `Log.stands_in`."""
        return self._ask(lambda book: recall.stands_in(book, topic, topic_id))

    def cut(self, batch: Batch, reason: str) -> asyncio.Future[None]:
        """See `Log.cut`."""
        return self._ask(lambda book: leases.cut(book, batch, reason))

    def again(self, batch: Batch, last_sequence: int | None) -> asyncio.Future[int]:
        """See `Log.again`."""
        return self._ask(lambda book: leases.again(book, batch, last_sequence))

    def unsettled(self) -> asyncio.Future[list[Batch]]:
        """See `Log.unsettled`."""
        return self._ask(leases.unsettled)

    def goes_to(self, cluster: str) -> asyncio.Future[dict[Stream, int] | None]:
        """See `Log.goes_to`."""
        return self._ask(lambda book: destination.goes_to(book, cluster))

    def hand_to_backfill(self, older_than_s: float) -> asyncio.Future[int]:
        """See `Log.hand_to_backfill`."""
        return self._ask(lambda book: leases.hand_to_backfill(book, older_than_s))

    def thin_backfill(self, to_bytes: int) -> asyncio.Future[int]:
        """See `Log.thin_backfill`."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._put_thin_request(ThinRequest(to_bytes, done))
        return done

    async def assign_partition(self, topic: str, count: int) -> int:
        """See `Log.assign_partition`."""
        partition: int = await self._ask(lambda book: book.assign_partition(topic, count))
        return partition

    def limit_blocks(self, lane: Lane, max_bytes: int) -> None:
        """See `Log.limit_blocks`."""
        kept = min(max(max_bytes, blocks.MIN_BYTES), blocks.MAX_BYTES)
        self._put_request(Request(lambda book: book.limits.__setitem__(lane, kept)), urgent=False)

    def cursor(self, name: str) -> asyncio.Future[int | None]:
        """See `Log.cursor`."""
        return self._ask(lambda book: book.cursors.get(name))

    def set_cursor(self, name: str, value: int) -> asyncio.Future[None]:
        """See `Log.set_cursor`."""
        return self._ask(lambda book: book.set_cursor(name, value))

    def origin(self, topic: str) -> asyncio.Future[Origin]:
        """See `Log.origin`."""
        return self._ask(lambda book: fork.origin(book, topic))

    def compared(self) -> asyncio.Future[None]:
        """See `Log.compared`."""
        return self._ask(fork.compared)

    def fork(self, standing: Standing) -> asyncio.Future[int]:
        """See `Log.fork`."""
        return self._ask(lambda book: fork.fork(book, standing))

    def adopt(self) -> asyncio.Future[int]:
        """See `Log.adopt`."""
        return self._ask(fork.adopt)

    def discard(self) -> asyncio.Future[int]:
        """See `Log.discard`."""
        return self._ask(fork.discard)

    def streams(self) -> Sequence[Pending]:
        """See `Log.streams`."""
        return self._figures.streams

    async def changed(self, seen: int) -> int:
        """See `Log.changed`."""
        while self._figures.version <= seen:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            sleeper = (seen, woken)
            self._sleepers.append(sleeper)
            try:
                await woken
            finally:
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)
        return self._figures.version

    @property
    def clock_trusted(self) -> bool:
        """See `Log.clock_trusted`."""
        return self._figures.stats.clock_trusted

    def stats(self) -> LogStats:
        """See `Log.stats`."""
        now_ms = self._clock.mono_ms()
        ages = {
            lane: max(0.0, (now_ms - self._figures.oldest_ms[lane]) / 1_000)
            if lane in self._figures.oldest_ms
            else 0.0
            for lane in Lane
        }
        return replace(
            self._figures.stats,
            oldest_pending_s=ages,
            forecast=forecast(self._figures.basis, now_ms)
            if self._figures.stats.log_id
            else self._figures.stats.forecast,
            last_commit_age_s=time.monotonic() - self._last_commit_s,
        )

    def _deliver(self, answers: Iterable[Answer], figures: Figures, *, committed: bool) -> None:
        """Take a commit's figures and answer all that waited for it."""
        self._figures = figures
        if committed:
            self._last_commit_s = time.monotonic()
        for answer in answers:
            if answer.done.done():
                continue
            if answer.error is not None:
                answer.done.set_exception(answer.error)
            else:
                answer.done.set_result(answer.value)
        for seen, woken in self._sleepers:
            if figures.version > seen and not woken.done():
                woken.set_result(None)

    def _ask(self, act: Callable[[Book], Any]) -> asyncio.Future[Any]:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._put_request(Request(act, done), urgent=True)
        return done

    def _withdrawn(self, future: asyncio.Future[Any], claim: Claim) -> None:
        """Give back a batch that was leased for somebody who no longer waits."""
        if not future.cancelled():
            return

        def release(book: Book) -> None:
            state = book.by_name.get((claim.stream.lane.value, claim.stream.topic))
            if state is not None:
                leases.release(book, state)

        self._put_request(Request(release), urgent=False)

    @abstractmethod
    def _put_append(self, append: Append, *, urgent: bool) -> None:
        """Hand records to whoever commits; `urgent` ones at once."""

    @abstractmethod
    def _put_request(self, request: Request, *, urgent: bool) -> None:
        """Hand a request to whoever commits."""

    @abstractmethod
    def _put_offer(self, offer: Offer) -> None:
        """Let an offer stand until blocks of its stream are committed."""

    @abstractmethod
    def _put_thin_request(self, wish: ThinRequest) -> None:
        """Hand a wish to whoever commits, at once."""
