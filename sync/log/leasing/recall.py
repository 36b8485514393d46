"""What a topic lost that it had acknowledged goes again from local history, marked (D15).

A topic that is deleted and created again holds nothing of what was acknowledged in it. Two things show that: an
offset that is no higher than one acknowledged before the batch was leased, and the topic's id, which is another one.

A recall writes a few rows, however much history there is: ranges of settled blocks become pending. All of it goes in
lane `backfill` (bulk in `bulk`), so that no alarm and no fresh reading waits for it. Between the ends of a range
blocks may be gone that were thinned or buried, so its count is an upper bound; what it counts too much is no loss.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sync.log.book import streams
from sync.log.book.streams import Range
from sync.log.disk.schema import MAX_NUMBER, NUMBER_BITS, key_of
from sync.log.leasing import leases
from sync.values import Lane, Recalled, Standing, Stream, cluster_number

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.book.streams import StreamState
    from sync.values import Batch

_CURSOR: Final = "topic:"
_NOT_KNOWN: Final = 0


def recall(book: Book, batch: Batch, offset: int, end: int, *, settles: bool) -> Recalled | None:
    """An answer about a batch names less than was acknowledged before: what goes again, None if nothing does.

    `offset` is where it stands, -1 if the broker did not say; `end` where the partition ended when it was looked up,
    -1 if it was not. The lease as it is now decides: the topic may have been recalled since it was handed over.
    """
    state = leases.leased(book, batch)
    lease = state.lease if state is not None else None
    held = batch.count if settles else 0
    lost = lease is not None and (0 <= offset <= lease.acked_offset or 0 <= end <= lease.acked_offset + held)
    recalled = _recall(book, batch.claim.stream.topic) if lost else None
    if lost:
        # Which topic it is now, the brokers are asked before the next batch.
        _note(book, batch.claim.stream.topic, _NOT_KNOWN)
    if settles:
        leases.settle(book, batch, offset)
    return recalled


def stands_in(book: Book, topic: str, topic_id: str) -> Recalled | None:
    """Note which topic goes by a name, by its id; what goes again if it was another one before."""
    number = cluster_number(topic_id) or 1  # 0 stands for no topic
    before = book.cursors.get(_CURSOR + topic, _NOT_KNOWN)
    if before == number:
        return None
    _note(book, topic, number)
    return None if before == _NOT_KNOWN else _recall(book, topic)


def forget_topics(book: Book) -> None:
    """Another cluster has topics of its own: the ids that were known say nothing of them."""
    for name in [name for name, value in book.cursors.items() if name.startswith(_CURSOR) and value != _NOT_KNOWN]:
        book.set_cursor(name, _NOT_KNOWN)


def _note(book: Book, topic: str, number: int) -> None:
    if book.cursors.get(_CURSOR + topic, _NOT_KNOWN) != number:
        book.set_cursor(_CURSOR + topic, number)


def _recall(book: Book, topic: str) -> Recalled | None:
    again: dict[Stream, int] = {}
    not_held = 0
    for state in [state for state in book.streams.values() if state.topic == topic]:
        parts, gone = ([], 0) if topic in book.settings.newest_only else _history(book, state)
        not_held += gone
        state.acked = -1
        state.run, state.earlier, state.earlier_changed = None, [], True
        if state.lease is not None:
            # What is read back for it begins with the partition.
            state.lease = replace(state.lease, acked_offset=-1)
        book.touch(state)
        if parts:
            lane = state.lane if state.lane is Lane.BULK else Lane.BACKFILL
            target = book.stream(lane, topic)
            target.give_back(parts)
            book.touch(target)
            book.more = True
            stream = Stream(lane, topic, book.partitions.get(topic) or 0)
            again[stream] = again.get(stream, 0) + sum(part.records for part in parts)
    if not again and not not_held and topic not in book.settings.newest_only:
        return None  # nothing was ever sent there
    return Recalled(topic, again, not_held)


def _history(book: Book, state: StreamState) -> tuple[list[Range], int]:
    """A stream's settled blocks as ranges, and how many of its records are here no more."""
    busy = streams.protected(book.streams, state.id)
    busy += [
        (first & MAX_NUMBER, last & MAX_NUMBER) for first, last in book.discards if first >> NUMBER_BITS == state.id
    ]
    parts: list[Range] = []
    at = 0
    for first, last in sorted(busy):
        if first > at:
            parts += _range(book, state.id, at, first - 1)
        at = max(at, last + 1)
    return parts, book.records_before(state.id, 0)


def _range(book: Book, origin: int, first: int, last: int) -> list[Range]:
    row = book.connection.execute(
        "SELECT key FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
        (key_of(origin, first), key_of(origin, last)),
    ).fetchone()
    if row is None:
        return []
    begun = row[0] & MAX_NUMBER
    return [Range(origin, begun, last, book.records_in(origin, begun, last), Standing.RECALLED)]
