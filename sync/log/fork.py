"""A log that was restored or copied: it takes a new id, and what it holds waits, or goes marked (D11).

What it held before may have been sent by the log that it is a copy of, and keeps its names. What came in since it was
started as a copy was sent by nobody; but its names may be taken upstream, so it leaves under the new id, as it is.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from sync.log import blocks, ledger, lineage, notices, rows
from sync.log.blocks import Namer
from sync.log.ledger import Missing
from sync.log.lineage import Lineage
from sync.log.schema import MAX_NUMBER, key_of
from sync.log.streams import Range
from sync.values import Origin, Standing

if TYPE_CHECKING:
    from sync.log.blocks import Block, Record
    from sync.log.book import Book
    from sync.log.streams import StreamState


def origin(book: Book, topic: str) -> Origin:
    """Who this log is; `told_at` is the last offset acknowledged to it on a topic."""
    told_at = max((state.acked for state in book.streams.values() if state.topic == topic), default=-1)
    return Origin(
        book.names.log_id, book.names.run, book.first_number, book.lineage.begins_at, told_at, book.lineage.behind
    )


def compared(book: Book) -> None:
    """This log is no copy: what it holds may be sent from now on."""
    book.compared = True
    book.lineage = replace(book.lineage, unsent_from=None, behind=False)
    lineage.save(book.connection, book.lineage)


def fork(book: Book, standing: Standing) -> int:
    """Take a new log id; what may have been sent before gets `standing`. How many records that is.

    Nothing may have been sent since `Lineage.unsent_from`: the shipper has not begun.
    """
    border = book.next_number if book.lineage.unsent_from is None else book.lineage.unsent_from
    old = 0
    for state in book.streams.values():
        old += _fork_stream(book, state, border, standing)
        book.touch(state)
    earlier = (*book.lineage.earlier, (book.names.log_id, border))
    book.lineage = Lineage(earlier)
    lineage.save(book.connection, book.lineage)
    book.compared = True
    book.first_number = border
    old_id = book.names.log_id
    book.take_name(secrets.token_hex(6))
    ledger.rename(book, old_id, border)
    book.more = True
    return old


def adopt(book: Book) -> int:
    """Let what waits go, marked as possibly repeated; how many records."""
    adopted = 0
    for state in book.streams.values():
        if state.waiting:
            adopted += state.waiting
            state.ranges = [
                replace(part, standing=Standing.MARKED) if part.standing is Standing.WAITS else part
                for part in state.ranges
            ]
            state.ranges_changed = True
            book.touch(state)
            book.more = True
    return adopted


def discard(book: Book) -> int:
    """Give up what waits, with entries of the loss ledger; how many records. Its blocks stay as local history."""
    discarded = 0
    for state in book.streams.values():
        waiting = [part for part in state.ranges if part.standing is Standing.WAITS]
        for part in waiting:
            ledger.lose(book, state, Missing(part.first, part.last, part.records, "discarded"))
            discarded += part.records
        if waiting:
            state.ranges = [part for part in state.ranges if part.standing is not Standing.WAITS]
            state.ranges_changed = True
            book.touch(state)
    return discarded


def rename(book: Book, part: Range, topic: str, found: list[tuple[Block, int]]) -> list[tuple[Block, int]]:
    """Blocks of a part as they may leave: those that came in before the fork get the names of the present id."""
    if part.standing is not Standing.RENAMED:
        return found
    renamed = []
    for block, at_ms in found:
        fresh = renamed_block(book, topic, block, book.lineage, book.names.log_id)
        book.replace(part.origin, block, [fresh])
        renamed.append((fresh, at_ms))
    return renamed


def renamed_block(book: Book, topic: str, block: Block, known: Lineage, log_id: str) -> Block:
    """A block that came in before a fork, under the names of the id that the fork gave.

    So do the numbers of which its events and its aggregates tell, where they have the new id's names too.
    """
    old_id, border = known.earlier[-1]
    gateway, level, fold = book.settings.gateway_id, book.settings.compression_level, book.settings.fold
    fresh = blocks.rename(block, Namer(gateway, old_id), Namer(gateway, log_id), level)
    if topic == notices.EVENTS:
        told_as = notices.told_as
    elif fold is not None and topic in fold.topics:
        told_as = fold.told_as
    else:
        return fresh

    def told_anew(record: Record) -> Record:
        return replace(record, value=told_as(record.value, old_id=old_id, border=border, log_id=log_id))

    return blocks.rewritten(fresh, told_anew, level)


def _fork_stream(book: Book, state: StreamState, border: int, standing: Standing) -> int:
    parts = list(state.ranges)
    if state.lease is not None:
        lease = state.lease
        parts.append(Range(lease.origin, lease.first, lease.last, lease.records))
        state.lease = None
        state.holder = None
    if state.open_records:
        parts.append(Range(state.id, state.head, book.next_number - 1, state.open_records))
        state.head = book.next_number
        state.open_records = 0
    parts = [_named(book, state, part) for part in parts]
    # What was acknowledged to the log that this one is a copy of was not acknowledged to us.
    state.acked = -1
    state.ranges = []
    state.give_back([piece for part in parts for piece in _divided(book, part, border, standing)])
    return sum(part.records for part in state.ranges if part.standing is not Standing.RENAMED)


def _named(book: Book, state: StreamState, part: Range) -> Range:
    """A part of an earlier fork that nobody has leased yet: it gets its names before the id changes again."""
    if part.standing is not Standing.RENAMED:
        return part
    at, last_key = part.first, key_of(part.origin, part.last)
    while (row := rows.first(book.connection, book.timeline, key_of(part.origin, at), last_key)) is not None:
        block, at_ms, intact = row
        if intact:
            rename(book, part, state.topic, [(block, at_ms)])
        at = block.last + 1
    return replace(part, standing=Standing.PLAIN)


def _divided(book: Book, part: Range, border: int, standing: Standing) -> list[Range]:
    """A part as one or two: what may have been sent before the border, and what cannot have been from there on."""
    older = replace(part, standing=_stricter(part.standing, standing))
    newer = replace(part, standing=Standing.RENAMED if part.standing is Standing.PLAIN else part.standing)
    if part.first >= border:
        return [newer]
    if part.last < border:
        return [older]
    # A block lies on one side, for no block of an earlier run ends past the border.
    row = book.connection.execute(
        "SELECT key FROM blocks WHERE key BETWEEN ? AND ? LIMIT 1",
        (key_of(part.origin, border), key_of(part.origin, part.last)),
    ).fetchone()
    records = book.records_in(part.origin, border, part.last) if row else 0
    if not records:
        return [older]
    if records >= part.records:
        return [newer]
    number = row[0] & MAX_NUMBER
    return [
        replace(older, last=number - 1, records=part.records - records),
        replace(newer, first=number, records=records),
    ]


def _stricter(present: Standing, wanted: Standing) -> Standing:
    return Standing.WAITS if Standing.WAITS in {present, wanted} else wanted
