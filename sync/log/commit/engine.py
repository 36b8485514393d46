"""One transaction at a time: the work that waits, carried out, trimmed for, committed and turned into figures."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sync.log.answers import Answer
from sync.log.book.streams import ORDER
from sync.log.commit.work import Offer, Unreadable, Work, carry_out
from sync.log.ledger import entries
from sync.log.retention import forecast, trimming
from sync.log.retention.forecast import Basis, Inflow, Sizes
from sync.log.retention.packing import Packing
from sync.log.retention.thinning import Thinner
from sync.values import Lane, LogStats, Pending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync.log.bodies import Fold
    from sync.log.book.content import Book
    from sync.log.salvage.transfer import Salvage

COMMIT_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_TRIM_DEAD_LETTERS_EVERY: Final = 256
_AGE_EVERY_MS: Final = 10_000
_MEASURE_EVERY_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What the last commit left. Handed from the writer's thread to the loop as one value.

    `version` grows when more can be leased; `trim_more` says that retention did not finish its slice. `oldest_ms`
    is when the oldest record of a lane was taken that is not settled, by this boot's clock.
    """

    stats: LogStats
    streams: tuple[Pending, ...] = ()
    oldest_ms: Mapping[Lane, int] = field(default_factory=dict)
    version: int = 0
    trim_more: bool = False
    basis: Basis = field(default_factory=Basis)


EMPTY: Final = Figures(
    LogStats(
        run=0,
        log_id="",
        next_seq=0,
        depth=dict.fromkeys(Lane, 0),
        delivered=dict.fromkeys(Lane, 0),
        dead_letters=0,
        lost={},
        bytes_used=0,
        wal_bytes=0,
        oldest_pending_s=dict.fromkeys(Lane, 0.0),
        last_commit_age_s=0.0,
        stalled=False,
        quarantined=0,
    )
)


class Engine:
    """Carries work out on the book that is open. Counts go on when the file is opened anew."""

    def __init__(self, max_bytes: int, fold: Fold | None = None, packing: Packing | None = None) -> None:
        self.max_bytes = max_bytes
        self.short = False
        self.thinner = Thinner(fold)
        self.packing = packing or Packing({}, None)
        self.standing: dict[tuple[str, str], Offer] = {}
        self.figures = EMPTY
        self._delivered: Counter[Lane] = Counter()
        self._lost: Counter[str] = Counter()
        self._buckets = dict.fromkeys(COMMIT_BUCKETS_S, 0)
        self._commits = 0
        self._commit_s = 0.0
        self._body_bytes = 0
        self._corrected = 0
        self._inflow = Inflow()
        self._sizes = Sizes()
        self._measured_ms: int | None = None
        self._version = 0
        self._aged_ms = 0
        self._waiting: frozenset[int] = frozenset()
        self._used: int | None = None
        """The bytes in use, if this transaction has asked for them and removed nothing since."""

    def opened(self, book: Book) -> None:
        """A file is open: what waits in it can be leased."""
        self.thinner.reset()
        self.packing.reset()
        self._version += 1
        self._waiting = frozenset(state.id for state in book.streams.values() if state.pending)
        self._publish(book, trim_more=False)

    def transact(self, book: Book, work: Work, salvage: Salvage | None = None) -> list[Answer]:
        """Do the work in one commit; the answers hold from now on. On any error nothing was done.

        Raises:
            sqlite3.Error: as the disk or the file has it; the work can be given again.
        """
        self._stand(work)
        self._used = None
        work.tried = len(work.appends)
        began_s, changes = time.monotonic(), book.connection.total_changes
        refused: list[Answer] = []
        try:
            book.begin()
            try:
                answers = carry_out(book, work, self.standing)
            except Unreadable as fault:
                book.rollback()
                bad = {id(append) for append, _ in fault.refused}
                refused = [Answer(append.done, error=error) for append, error in fault.refused]
                work.appends = [append for append in work.appends if id(append) not in bad]
                work.tried = len(work.appends)
                book.begin()
                answers = carry_out(book, work, self.standing)
            if salvage is not None:
                salvage.step(book)
            answers += self.thinner.apply(book)
            if not self.thinner.busy:
                self.packing.apply(book)
            # A large minute's aggregates are work enough for one commit. The next one removes what they stand for,
            # ahead of another such minute: none is thinned for want of the space that this frees.
            trim_more = self.thinner.laden or self._trim(book)
            if self._commits % _TRIM_DEAD_LETTERS_EVERY == 0:
                trimming.trim_dead_letters(book)
            entries.skip_unused(book)
            book.commit()
        except BaseException:  # raised on at once; nothing of a commit that failed may stay
            if salvage is not None:
                salvage.rewind()
            book.rollback()
            raise
        if salvage is not None:
            salvage.keep()
        self.thinner.keep()
        self.packing.keep()
        self.packing.look(book)
        if book.connection.total_changes != changes:
            self._count_commit(time.monotonic() - began_s)
        self._count(book)
        self._settle_offers(answers)
        self._publish(book, trim_more=trim_more)
        return [*refused, *answers]

    def _trim(self, book: Book) -> bool:
        """Trim for one slice. What is too old is looked for now and then only, because every look costs queries."""
        aging = self.figures.trim_more or book.mono_ms - self._aged_ms >= _AGE_EVERY_MS
        if aging:
            self._aged_ms = book.mono_ms
        going_on = self.figures.trim_more
        used, changes = trimming.bytes_used(book), book.connection.total_changes
        more = trimming.trim(
            book, self.max_bytes, going_on=going_on, aging=aging, thinner=self.thinner, short=self.short, used=used
        )
        # What is still to be written of this transaction is in pages that are there.
        self._used = used if book.connection.total_changes == changes else None
        return more

    def between(self, book: Book) -> None:
        """What can be done between commits, for one slice of time: read what is to be thinned, measure what is held.

        Raises:
            sqlite3.Error: as the disk or the file has it.
        """
        if self.thinner.busy:
            self.thinner.prepare(book)
        else:
            self.packing.prepare(book)
        if self._measured_ms is None or book.mono_ms - self._measured_ms >= _MEASURE_EVERY_MS:
            self._measured_ms = book.mono_ms
            self._sizes = forecast.measured(book, trimming.bytes_used(book))

    def squeeze(self, book: Book) -> bool:
        """Trim for one slice, in a commit of its own; True where there is more to trim.

        Raises:
            sqlite3.Error: as the disk has it.
        """
        try:
            book.begin()
            more = trimming.trim(book, self.max_bytes, going_on=True, aging=False)
            entries.skip_unused(book)
            book.commit()
        except BaseException:  # as above
            book.rollback()
            raise
        self._count(book)
        self._publish(book, trim_more=more)
        return more

    def _stand(self, work: Work) -> None:
        """Let offers stand until something can be leased for them; a later one for a stream takes its place.

        The thinner keeps thin_requests until they are fulfilled.
        """
        for offer in work.offers:
            stream = offer.claim.stream
            self.standing[stream.lane.value, stream.topic] = offer
        work.offers = []
        for wish in work.thin_requests:
            self.thinner.wish(wish.to_bytes, wish.done)
        work.thin_requests = []
        for name in [name for name, offer in self.standing.items() if offer.done.cancelled()]:
            del self.standing[name]

    def _settle_offers(self, answers: list[Answer]) -> None:
        """Offers that were answered stand no more; a lease is remembered with whoever waits for its batch."""
        answered = {id(answer.done) for answer in answers}
        for name in [name for name, offer in self.standing.items() if id(offer.done) in answered]:
            del self.standing[name]
        for answer in answers:
            if answer.holder is not None and answer.holder.lease is not None:
                answer.holder.holder = answer.done

    def _count_commit(self, took_s: float) -> None:
        self._commits += 1
        self._commit_s += took_s
        for bound in COMMIT_BUCKETS_S:
            if took_s <= bound:
                self._buckets[bound] += 1

    def _count(self, book: Book) -> None:
        self._delivered.update(book.delivered)
        self._lost.update(book.lost)
        self._body_bytes += book.body_bytes
        self._inflow.add(book.came, book.mono_ms)
        self._corrected += book.corrected
        waiting = frozenset(state.id for state in book.streams.values() if state.pending)
        if book.more or waiting - self._waiting:
            self._version += 1
        self._waiting = waiting

    def _publish(self, book: Book, *, trim_more: bool) -> None:
        used, self._used = self._used, None
        depth = dict.fromkeys(Lane, 0)
        oldest: dict[Lane, int] = {}
        for state in book.streams.values():
            depth[state.lane] += state.depth
            for at_ms in (state.oldest_ms if state.pending else None, state.lease.at_ms if state.lease else None):
                if at_ms is not None:
                    oldest[state.lane] = min(oldest.get(state.lane, at_ms), at_ms)
        ordered = sorted(book.streams.values(), key=lambda state: (ORDER[state.lane], state.id))
        self.figures = Figures(
            LogStats(
                run=book.names.run,
                log_id=book.names.log_id,
                next_seq=book.next_number,
                depth=depth,
                delivered={lane: self._delivered[lane] for lane in Lane},
                dead_letters=book.dead_letters,
                lost=dict(self._lost),
                bytes_used=trimming.bytes_used(book) if used is None else used,
                bound_bytes=self.max_bytes,
                wal_bytes=0,
                oldest_pending_s={},
                last_commit_age_s=0.0,
                stalled=False,
                quarantined=0,
                waiting=sum(state.waiting for state in book.streams.values()),
                commits=self._commits,
                commit_s_sum=self._commit_s,
                commit_buckets=dict(self._buckets),
                body_bytes=self._body_bytes,
                clock_trusted=book.synced,
                corrected=self._corrected,
            ),
            tuple(state.describe(book.partitions.get(state.topic)) for state in ordered),
            oldest,
            self._version,
            trim_more,
            self._basis(depth),
        )

    def _basis(self, depth: Mapping[Lane, int]) -> Basis:
        of_a_record, (since_ms, since) = self._sizes.of_a_record, self._inflow.since()
        pending = {lane: int(count * of_a_record.get(lane, 0.0)) for lane, count in depth.items()}
        came = dict(self._inflow.came)
        return Basis(self.max_bytes, self.thinner.able, pending, self._sizes.of_a_byte, came, since, since_ms)
