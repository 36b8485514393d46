"""Thinning: of old pending telemetry one aggregate a sensor and minute stays, and stands for what it was made of.

A minute is read and folded between commits, in slices and without a transaction. One commit then takes its blocks
out of what is pending, appends the aggregates to `backfill` and writes the ledger's entry (L10); the blocks, which
nobody can lease any more, are removed slice by slice after it. If a lease took one of them meanwhile (D8), the
minute is begun again. Blocks that hold what is no reading stay as they are, and so do minutes of single readings.

An aggregate is as old as what it was made of, and its clock is believed as much (C7): what one correction would not
set right is folded apart, and what can be set right is, before it is folded.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sync.log.answers import Answer
from sync.log.book import numbers
from sync.log.clock import Stamp
from sync.log.disk import blocks, packed
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.leasing import damage, restamp
from sync.log.ledger import entries
from sync.log.ledger.entries import Missing
from sync.log.retention import discards
from sync.values import Lane, Standing

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

    from sync.log.bodies import Fold, Folding
    from sync.log.book.content import Book
    from sync.log.book.streams import Range, StreamState
    from sync.log.disk.blocks import Record
    from sync.values import Envelope

SLICE_S: Final = 0.003
MINUTE_MS: Final = 60_000
_MOST_RECORDS: Final = 200_000
"""A minute of more is thinned in parts, so that what it is folded into stays small."""
_LEAST_FOLDED: Final = 2
"""So many readings at least must become one aggregate, on the average."""
_LANES: Final = (Lane.LIVE, Lane.BACKFILL)
_SAMPLES: Final = 16


@dataclass(slots=True)
class _Minute:
    """What is read of one minute: blocks `first` to `last` of a pending part, and how many records they had.

    `taken` is the stamp of the newest, `wrong_ms` what its clock is to be set right by, None where it is not. It took
    `slices` to read.
    """

    stream: int
    part: Range
    number: int
    taken: Stamp
    wrong_ms: int | None
    folding: Folding
    log_id: str
    first: int
    before: int
    at: int
    expected: int
    last: int = 0
    records: int = 0
    unreadable: int = 0
    damaged: int = 0
    slices: int = 1
    aggregates: list[Envelope] = field(default_factory=list)
    ready: bool = False


@dataclass(slots=True)
class _Wish:
    to_bytes: int
    done: asyncio.Future[int]
    folded: int = 0


class Thinner:
    """Thins while it is `pressing`, or while somebody wishes for a smaller backlog. On the writer's thread."""

    def __init__(self, fold: Fold | None) -> None:
        self.pressing = False
        self._fold = fold
        self._minute: _Minute | None = None
        self._applied: _Minute | None = None
        self._past: dict[tuple[int, int], int] = {}
        self._wishes: list[_Wish] = []

    def reset(self) -> None:
        """Another file is open."""
        self._minute = self._applied = None
        self._past.clear()

    @property
    def able(self) -> bool:
        """Whether anything can be thinned at all."""
        return self._fold is not None

    @property
    def busy(self) -> bool:
        """Whether there is something to do between commits."""
        return self.pressing or bool(self._wishes)

    @property
    def laden(self) -> bool:
        """Whether this commit lets aggregates stand for a minute that took more than one slice to read."""
        return self._applied is not None and self._applied.slices > 1

    def wish(self, to_bytes: int, done: asyncio.Future[int]) -> None:
        """Thin `backfill` until its pending blocks hold about so many bytes; then `done` gets how many records."""
        self._wishes.append(_Wish(to_bytes, done))

    def possible(self, book: Book) -> bool:
        """Whether a whole minute of what can be thinned is pending."""
        return next(self._minutes(book, _LANES), None) is not None

    def prepare(self, book: Book) -> None:
        """Read on, for one slice of time, between commits.

        Raises:
            sqlite3.Error: as the disk or the file has it.
        """
        until = time.monotonic() + SLICE_S
        if self._minute is not None:
            self._minute.slices += 1
        while self.busy and time.monotonic() < until:
            if self._minute is None:
                lanes = _LANES if self.pressing else (Lane.BACKFILL,)
                oldest = min(self._minutes(book, lanes), key=lambda found: found[0], default=None)
                if oldest is None:
                    return
                self._minute = self._begin(book, *oldest)
            if self._minute is None or self._minute.ready:
                return
            self._read(book, self._minute)

    def apply(self, book: Book) -> list[Answer]:
        """In a transaction: let aggregates stand for the minute that was read. `keep` follows the commit."""
        self._applied = None
        answers = self._answers(book)
        if not self.pressing and len(answers) == len(self._wishes):
            self._minute = None
        minute = self._minute
        if minute is not None and minute.ready:
            if self._stands(book, minute):
                self._replace(book, minute)
                self._applied = minute
            else:
                self._minute = None
        return answers

    def keep(self) -> None:
        """What was applied is on disk."""
        if self._applied is None:
            return
        for wish in self._wishes:
            wish.folded += self._applied.records
        self._minute = self._applied = None

    # Reading ---------------------------------------------------------------------------------------------

    def _minutes(self, book: Book, lanes: Sequence[Lane]) -> Iterator[tuple[Stamp, StreamState, Range, int]]:
        """Each stream's oldest minute that can be thinned: when it was taken, its part, and its first block."""
        if self._fold is None:
            return
        over_ms = book.clock.wall_ms() // MINUTE_MS * MINUTE_MS
        for state in book.streams.values():
            if state.lane not in lanes or state.topic not in self._fold.topics:
                continue
            for part in state.parts:
                start = max(part.first, self._past.get((state.id, part.origin), 0) + 1)
                if part.standing is not Standing.PLAIN or start > part.last:
                    continue
                row = book.connection.execute(
                    "SELECT key, at_ms, run, mono_ms, synced FROM blocks WHERE key BETWEEN ? AND ?"
                    " ORDER BY key LIMIT 1",
                    (key_of(part.origin, start), key_of(part.origin, part.last)),
                ).fetchone()
                if row is not None:
                    taken = Stamp(*(value if isinstance(value, int) else 0 for value in row[1:]))
                    # A clock that was set back: what it took ahead of now is as good as over.
                    if not over_ms <= taken.at_ms < over_ms + MINUTE_MS:
                        yield taken, state, part, row[0] & MAX_NUMBER
                    break

    def _begin(self, book: Book, taken: Stamp, state: StreamState, part: Range, first: int) -> _Minute | None:
        if self._fold is None:
            return None
        number = taken.at_ms // MINUTE_MS
        log_id = numbers.names_of(book, first, first)[0]
        right_ms = None if taken.synced else book.timeline.right_ms(taken)
        wrong_ms = None if right_ms is None else right_ms - taken.at_ms
        folding = self._fold.begin((taken.at_ms + (wrong_ms or 0)) // MINUTE_MS * MINUTE_MS)
        before = book.records_before(part.origin, first)
        return _Minute(state.id, part, number, taken, wrong_ms, folding, log_id, first, before, first, before)

    def _read(self, book: Book, minute: _Minute) -> None:
        """The next block of a minute; the minute is ready where it is none of it."""
        origin = minute.part.origin
        row = book.connection.execute(
            "SELECT key, records, before, checksum, body, at_ms, run, mono_ms, synced FROM blocks"
            " WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
            (key_of(origin, minute.at), key_of(origin, minute.part.last)),
        ).fetchone()
        if row is None:
            self._end(book, minute)
            return
        key, count, before, checksum, body, *stamp = row
        number = key & MAX_NUMBER
        if not blocks.counted(key, count, before, checksum):
            before = book.records_before(origin, number)
        count = blocks.records_of(key, count, body, checksum)
        found = None if count is None else _decoded(body, count)
        if count is None or found is None:
            minute.damaged, minute.at = number, number + 1
        elif (
            (taken := Stamp(*stamp)).at_ms // MINUTE_MS != minute.number
            or not taken.beside(minute.taken)
            or minute.records >= _MOST_RECORDS
            or numbers.names_of(book, number, number)[0] != minute.log_id
            or not book.lineage.together(number, minute.first)
        ):
            self._end(book, minute)
        elif minute.folding.add(self._records(book, minute, taken, found)):
            minute.taken = taken
            minute.unreadable += max(before - minute.expected, 0)
            minute.expected, minute.last = before + count, packed.last_number(number, count, body)
            minute.at = minute.last + 1
            minute.records += count
        elif minute.records or minute.damaged:
            self._end(book, minute)
        else:
            self._past[minute.stream, origin] = number + count - 1
            self._minute = None

    @staticmethod
    def _records(book: Book, minute: _Minute, taken: Stamp, found: Sequence[Record]) -> Sequence[Record]:
        """A block's records, set right where time has arrived since it was taken."""
        if minute.wrong_ms is None:
            return found
        topic, right_ms = book.streams[minute.stream].topic, taken.at_ms + minute.wrong_ms
        return [restamp.corrected(book, topic, record, taken.at_ms, right_ms) for record in found]

    def _end(self, book: Book, minute: _Minute) -> None:
        minute.ready = True
        if minute.damaged > minute.last:
            # The minute ends in damage: how many records that were, the next block says.
            origin = minute.part.origin
            behind = book.records_before(origin, minute.damaged + 1)
            ending = max(behind - minute.expected, 1)
            minute.unreadable += ending
            minute.last = damage.last_possible(book, minute.part, minute.damaged, ending)
        minute.aggregates = minute.folding.envelopes(minute.unreadable)
        if minute.records < _LEAST_FOLDED * len(minute.aggregates) and not minute.unreadable:
            # Too few readings a sensor for it to be worth anything.
            self._past[minute.stream, minute.part.origin] = minute.last
            self._minute = None

    # Applying --------------------------------------------------------------------------------------------

    def _stands(self, book: Book, minute: _Minute) -> bool:
        """Whether the minute is pending still, as it was read."""
        state = book.streams.get(minute.stream)
        if state is None or not minute.last:
            return False
        part = _holding(state, minute)
        return part is not None and minute.records + minute.unreadable <= part.records

    def _replace(self, book: Book, minute: _Minute) -> None:
        state = book.streams[minute.stream]
        _take_out(book, state, minute)
        discards.add(book, minute.part.origin, minute.first, minute.last)
        missing = Missing(minute.first, minute.last, minute.records, "thinned", (minute.part.origin, minute.before))
        if minute.records:
            first = book.next_number
            taken = minute.taken
            if minute.wrong_ms is not None:
                taken = taken._replace(at_ms=taken.at_ms + minute.wrong_ms, synced=1)
                book.corrected += minute.records
            book.store(Lane.BACKFILL, state.topic, minute.aggregates, taken)
            entries.thin(book, state, missing, (first, book.next_number - 1, len(minute.aggregates)))
        if minute.unreadable:
            entries.lose(book, state, replace(missing, records=minute.unreadable, reason="corrupt", place=None))
        book.touch(state)
        book.more = True

    def _answers(self, book: Book) -> list[Answer]:
        """Wishes that are fulfilled, or cannot be."""
        self._wishes = [wish for wish in self._wishes if not wish.done.done()]
        if not self._wishes:
            return []
        possible = self._minute is not None or next(self._minutes(book, (Lane.BACKFILL,)), None) is not None
        held = pending_bytes(book, Lane.BACKFILL)
        met = [wish for wish in self._wishes if held <= wish.to_bytes or not possible]
        return [Answer(wish.done, wish.folded) for wish in met]


def pending_bytes(book: Book, lane: Lane) -> int:
    """About how many bytes the pending blocks of a lane hold: a few of each part are looked at."""
    total = 0.0
    for state in book.streams.values():
        if state.lane is not lane:
            continue
        for part in state.parts:
            records = length = 0
            span = min(part.last, book.next_number - 1) - part.first + 1
            for sample in range(_SAMPLES):
                row = book.connection.execute(
                    "SELECT records, length(body) FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
                    (key_of(part.origin, part.first + span * sample // _SAMPLES), key_of(part.origin, part.last)),
                ).fetchone()
                if row is not None and isinstance(row[0], int) and 0 < row[0] <= blocks.MOST_RECORDS:
                    records, length = records + row[0], length + row[1]
            total += part.records * length / max(records, 1)
    return int(total)


def _decoded(body: bytes, count: int) -> list[Record] | None:
    """A block's records; None of a pack that does not come back as it was made."""
    try:
        return blocks.decode(body, count)
    except ValueError:
        return None


def _holding(state: StreamState, minute: _Minute) -> Range | None:
    """The pending part that a minute's blocks are in now."""
    for part in state.parts:
        within = part.first <= minute.first and minute.last <= part.last
        if part.origin == minute.part.origin and within and part.standing is Standing.PLAIN:
            return part
    return None


def _take_out(book: Book, state: StreamState, minute: _Minute) -> None:
    """Take a minute's blocks out of what is pending; what lies ahead of them stays a part of its own."""
    part = _holding(state, minute)
    if part is None:
        return
    gone = minute.records + minute.unreadable
    ahead = minute.before - book.records_before(part.origin, part.first)
    rest = [replace(part, last=minute.first - 1, records=ahead)] if ahead else []
    if part in state.ranges:
        place = state.ranges.index(part)
        left = part.records - ahead - gone
        if left:
            rest.append(replace(part, first=minute.last + 1, records=left))
        state.ranges[place : place + 1] = rest
        state.ranges_changed = True
        return
    state.head = minute.last + 1
    state.open_records -= ahead + gone
    if rest:
        state.give_back(rest)
