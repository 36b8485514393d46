"""What is pending in each stream, what is leased, and how both lie on the disk.

A stream is one lane of one topic. Its pending blocks are first its closed ranges (halves of refused batches,
what an outage left for `backfill`), oldest first, then its own blocks from `head` on. A range may point at
blocks that another stream took (`origin`), so that handing over rewrites nothing.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from sync.log.clock import Stamp
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.values import WRAP, Batch, Claim, Lane, Pending, Producer, Standing, Stream

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Sequence

    from sync.log.clock import Timeline

_COLUMNS: Final = (
    "id, lane, topic, head, acked, lease_origin, lease_first, lease_last, lease_records, lease_at_ms,"
    " lease_producer, lease_epoch, lease_base, lease_partition, lease_acked, lease_ms, lease_run, lease_mono,"
    " lease_synced, given, total, open_records, run_producer, run_epoch, run_base, run_next, run_origin, run_first,"
    " run_last"
)
ORDER: Final = {Lane.ALERT: 0, Lane.LIVE: 1, Lane.BACKFILL: 2, Lane.BULK: 3}


@dataclass(frozen=True, slots=True)
class Range:
    """Pending blocks of `origin` that begin with a number from `first` to `last`."""

    origin: int
    first: int
    last: int
    records: int
    standing: Standing = Standing.PLAIN


@dataclass(frozen=True, slots=True)
class Lease:
    """A batch that may have left (D1). `at_ms` is when the log took its oldest record, by this boot's clock.

    `leased` is when the lease was written.
    """

    origin: int
    first: int
    last: int
    records: int
    at_ms: int
    producer: Producer
    base_sequence: int
    partition: int
    acked_offset: int
    leased: Stamp


@dataclass(frozen=True, slots=True)
class Run:
    """Batches that the broker has: an id's sequences from `base_sequence` up to, not with, `next_sequence`.

    They are all blocks of `origin` that begin with a number from `first` to `last`, in this order.
    """

    producer: Producer
    base_sequence: int
    next_sequence: int
    origin: int
    first: int
    last: int

    @property
    def records(self) -> int:
        """How many went in it."""
        return (self.next_sequence - self.base_sequence) % WRAP


@dataclass(slots=True)
class StreamState:
    """One stream. `end` counts all records that its own blocks ever held, `open_records` those from `head` on.

    `oldest_ms` is when the oldest pending record was taken, by this boot's clock; 0 too where there is none.
    `run` is what went last, `earlier` what went before it under the same id, oldest first; `lists_checksum` is over
    `ranges` and `earlier` as they are on the disk, 0 where there are none.
    """

    id: int
    lane: Lane
    topic: str
    head: int = 1
    end: int = 0
    open_records: int = 0
    acked: int = -1
    oldest_ms: int = 0
    ranges: list[Range] = field(default_factory=list)
    ranges_changed: bool = False
    lease: Lease | None = None
    run: Run | None = None
    earlier: list[Run] = field(default_factory=list)
    earlier_changed: bool = False
    lists_checksum: int = 0
    holder: asyncio.Future[Batch] | None = None

    @property
    def pending(self) -> int:
        """Records that can be leased."""
        return self.open_records + sum(part.records for part in self.ranges if not part.standing.waits)

    @property
    def waiting(self) -> int:
        """Records that wait for `tidegate log adopt` or `discard` (D11)."""
        return sum(part.records for part in self.ranges if part.standing.waits)

    @property
    def depth(self) -> int:
        """Records that are not settled."""
        return self.pending + self.waiting + (self.lease.records if self.lease else 0)

    @property
    def parts(self) -> list[Range]:
        """All that is pending or waits for a decision, in the order in which it leaves."""
        own = [Range(self.id, self.head, MAX_NUMBER, self.open_records)] if self.open_records else []
        return [*self.ranges, *own]

    def next_part(self) -> Range | None:
        """Where the next lease is taken from; what waits for a decision is passed over (D11)."""
        return next((part for part in self.parts if not part.standing.waits), None)

    def oldest_part(self) -> Range | None:
        """What goes first where space is short: what waits for a decision too."""
        return next(iter(self.parts), None)

    def take(self, part: Range, last: int, records: int) -> None:
        """Move `records` up to the number `last` out of `part`, which `next_part` or `oldest_part` gave."""
        if part in self.ranges:
            at = self.ranges.index(part)
            rest = part.records - records
            self.ranges_changed = True
            self.ranges[at : at + 1] = [replace(part, first=last + 1, records=rest)] if rest else []
        else:
            self.head = last + 1
            self.open_records -= records

    def give_back(self, parts: list[Range]) -> None:
        """Make parts pending again, each at the place of its age, ahead of the open blocks."""
        self.ranges_changed = True
        self.ranges = sorted([*parts, *self.ranges], key=lambda part: part.first)

    def describe(self, partition: int | None) -> Pending:
        """For the shipper."""
        pending = self.pending
        return Pending(
            self.lane, self.topic, partition, pending, self.oldest_ms * 1_000_000 if pending else 0, bool(self.lease)
        )

    def batch(self, body: bytes, timeline: Timeline, *, attempted: bool) -> Batch:
        """The leased batch around its body."""
        lease = self.lease
        if lease is None:
            raise ValueError(f"nothing of {self.lane}/{self.topic} is leased")
        # While the clock is not trusted, batches leave without a time, and brokers soon forget their id (D5, F4).
        leased_ms = timeline.done_ms(lease.leased) if lease.leased.synced else None
        return Batch(
            claim=Claim(Stream(self.lane, self.topic, lease.partition), lease.producer, lease.base_sequence),
            first=lease.first,
            last=lease.last,
            count=lease.records,
            acked_offset=lease.acked_offset,
            body=body,
            taken_at_ns=lease.at_ms * 1_000_000,
            attempted=attempted,
            leased_at_ns=None if leased_ms is None else leased_ms * 1_000_000,
        )


def load(connection: sqlite3.Connection, timeline: Timeline | None = None) -> dict[int, StreamState]:
    """Read all streams by their ids; a few look-ups each, however long the backlog.

    With a timeline, when records were taken is told by this boot's clock, else by the wall clock of then.

    Raises:
        ValueError: what a stream says was delivered is not what was written (L6).
    """
    ranges = _by_stream(
        connection,
        "SELECT stream, first, last, origin, records, standing FROM ranges ORDER BY stream, first",
    )
    sent = _by_stream(
        connection,
        "SELECT stream, producer, epoch, base, next, origin, first, last FROM sent ORDER BY stream, position",
    )
    streams: dict[int, StreamState] = {}
    for *row, checksum in connection.execute(f"SELECT {_COLUMNS}, checksum FROM streams"):  # noqa: S608 - our own names
        number, lane, topic, head, acked = row[:5]
        total, open_records = row[20:22]
        state = StreamState(number, Lane(lane), topic, head=head, end=total, open_records=open_records, acked=acked)
        state.lists_checksum = _over_lists(ranges.get(number, []), sent.get(number, []))
        if checksum != _over(tuple(row), state.lists_checksum):
            raise ValueError(f"corrupt delivery state of {lane}/{topic}")
        if row[5] is not None:
            state.lease = _lease(row[5:19])
        if row[22] is not None:
            state.run = _run(row[22:])
        state.ranges = [
            Range(origin, first, last, records, Standing(standing))
            for first, last, origin, records, standing in ranges.pop(number, [])
        ]
        state.earlier = [_run(run) for run in sent.pop(number, [])]
        streams[number] = state
    if ranges or sent:
        raise ValueError(f"there is no stream {min([*ranges, *sent])}")
    for state in streams.values():
        refresh_oldest(connection, state, timeline)
        if state.lease is not None and timeline is not None:
            leased = Range(state.lease.origin, state.lease.first, state.lease.last, state.lease.records)
            state.lease = replace(state.lease, at_ms=_taken_ms(connection, leased, timeline))
    return streams


def save(connection: sqlite3.Connection, state: StreamState, given: int) -> None:
    """Write a stream's row, and its ranges (they are few) where they changed; `given` is the log's highest number."""
    lease = state.lease
    leased: tuple[int | None, ...] = (None,) * 14
    if lease:
        leased = (
            lease.origin,
            lease.first,
            lease.last,
            lease.records,
            lease.at_ms,
            lease.producer.id,
            lease.producer.epoch,
            lease.base_sequence,
            lease.partition,
            lease.acked_offset,
            *lease.leased,
        )
    if state.earlier_changed or state.ranges_changed:
        _save_lists(connection, state)
    row = (state.id, state.lane.value, state.topic, state.head, state.acked, *leased, given)
    row += (state.end, state.open_records, *_columns(state.run))
    connection.execute(
        f"INSERT OR REPLACE INTO streams({_COLUMNS}, checksum) VALUES({','.join('?' * (len(row) + 1))})",
        (*row, _over(row, state.lists_checksum)),
    )


def _set_apart(connection: sqlite3.Connection, state: StreamState) -> None:
    """Have no two ranges begin with one number, which may be a block of one and lie ahead of one of the other."""
    firsts = [part.first for part in state.ranges]
    if len(set(firsts)) == len(firsts):
        return
    for index, part in enumerate(state.ranges):
        key = connection.execute(
            "SELECT key FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
            (key_of(part.origin, part.first), key_of(part.origin, part.last)),
        ).fetchone()
        if key is not None:
            state.ranges[index] = replace(part, first=key[0] & MAX_NUMBER)
    state.ranges.sort(key=lambda part: part.first)


def _save_lists(connection: sqlite3.Connection, state: StreamState) -> None:
    _set_apart(connection, state)
    ranges = sorted((part.first, part.last, part.origin, part.records, int(part.standing)) for part in state.ranges)
    sent = [_columns(run) for run in state.earlier]
    state.lists_checksum = _over_lists(ranges, sent)
    if state.earlier_changed:
        state.earlier_changed = False
        connection.execute("DELETE FROM sent WHERE stream=?", (state.id,))
        connection.executemany(
            "INSERT INTO sent VALUES(?,?,?,?,?,?,?,?,?)",
            [(state.id, position, *run) for position, run in enumerate(sent)],
        )
    if state.ranges_changed:
        state.ranges_changed = False
        connection.execute("DELETE FROM ranges WHERE stream=?", (state.id,))
        connection.executemany("INSERT INTO ranges VALUES(?,?,?,?,?,?)", [(state.id, *part) for part in ranges])


def _by_stream(connection: sqlite3.Connection, question: str) -> dict[int, list[tuple[int, ...]]]:
    found: dict[int, list[tuple[int, ...]]] = {}
    for stream, *row in connection.execute(question):
        found.setdefault(stream, []).append(tuple(row))
    return found


def _over_lists(ranges: Sequence[tuple[int, ...]], sent: Sequence[tuple[int | None, ...]]) -> int:
    return _over(ranges, sent) if ranges or sent else 0


def _over(*values: object) -> int:
    """A checksum over what says what was delivered: a bit that flips there would lose or double records (L6)."""
    return zlib.crc32(repr(values).encode())


def refresh_oldest(connection: sqlite3.Connection, state: StreamState, timeline: Timeline | None) -> None:
    """Look up when the stream's oldest pending record was taken; where none is, the oldest that waits."""
    part = state.next_part() or state.oldest_part()
    state.oldest_ms = 0 if part is None else _taken_ms(connection, part, timeline)


def _taken_ms(connection: sqlite3.Connection, part: Range, timeline: Timeline | None) -> int:
    row = connection.execute(
        "SELECT at_ms, run, mono_ms, synced FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
        (key_of(part.origin, part.first), key_of(part.origin, part.last)),
    ).fetchone()
    if row is None:
        return 0
    stamp = Stamp(*row)
    return stamp.at_ms if timeline is None else timeline.taken_ms(stamp)


def _lease(row: Sequence[int]) -> Lease:
    origin, first, last, records, at_ms, producer, epoch, base, partition, acked, *leased = row
    return Lease(
        origin,
        first,
        last,
        records,
        at_ms,
        Producer(producer, epoch),
        base,
        partition,
        acked,
        Stamp(*(number or 0 for number in leased)),
    )


def _run(row: Sequence[int]) -> Run:
    producer, epoch, *rest = row
    return Run(Producer(producer, epoch), *rest)


def _columns(run: Run | None) -> tuple[int | None, ...]:
    if run is None:
        return (None,) * 7
    return (
        run.producer.id,
        run.producer.epoch,
        run.base_sequence,
        run.next_sequence,
        run.origin,
        run.first,
        run.last,
    )


def protected(streams: dict[int, StreamState], origin: int) -> list[tuple[int, int]]:
    """The numbers of a stream's own blocks that are pending or leased, as sorted (first, last)."""
    kept = [(streams[origin].head, MAX_NUMBER)]
    for state in streams.values():
        kept.extend((part.first, part.last) for part in state.ranges if part.origin == origin)
        if state.lease and state.lease.origin == origin:
            kept.append((state.lease.first, state.lease.last))
    return sorted(kept)
