"""A log that was restored or copied: it takes a new id, and what it holds waits, or goes marked (D11).

What it held before may have been sent by the log that it is a copy of, and keeps its names. What came in since it was
started as a copy was sent by nobody; but its names may be taken upstream, so it leaves under the new id, as it is.

A fork rewrites no block, however long the backlog: a range says that its blocks are to be renamed, which is done
with their lease, and the lineage says under which id a number goes, also where the log was forked again since.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from sync.log.book import lineage
from sync.log.book.lineage import Lineage
from sync.log.book.streams import Range
from sync.log.disk import blocks
from sync.log.disk.blocks import Namer
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.ledger import entries, notices
from sync.log.ledger.entries import Missing
from sync.values import Origin, Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.log.book.content import Book
    from sync.log.book.lineage import Renaming
    from sync.log.book.streams import StreamState
    from sync.log.disk.blocks import Block, Record
    from sync.log.settings import LogSettings


_ADOPTED: Final = {Standing.WAITS: Standing.MARKED, Standing.RENAMED_WAITS: Standing.RENAMED_MARKED}
_TO_BE_RENAMED: Final = {Standing.MARKED: Standing.RENAMED_MARKED, Standing.WAITS: Standing.RENAMED_WAITS}


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
    entries.rename(book, old_id, border)
    book.more = True
    return old


def adopt(book: Book) -> int:
    """Let what waits go, marked as possibly repeated; how many records."""
    adopted = 0
    for state in book.streams.values():
        if state.waiting:
            adopted += state.waiting
            state.ranges = [
                replace(part, standing=_ADOPTED.get(part.standing, part.standing)) for part in state.ranges
            ]
            state.ranges_changed = True
            book.touch(state)
            book.more = True
    return adopted


def discard(book: Book) -> int:
    """Give up what waits, with entries of the loss ledger; how many records. Its blocks stay as local history."""
    discarded = 0
    for state in book.streams.values():
        waiting = [part for part in state.ranges if part.standing.waits]
        for part in waiting:
            entries.lose(book, state, Missing(part.first, part.last, part.records, "discarded"))
            discarded += part.records
        if waiting:
            state.ranges = [part for part in state.ranges if not part.standing.waits]
            state.ranges_changed = True
            book.touch(state)
    return discarded


def as_it_leaves(
    settings: LogSettings, topic: str, block: Block, known: Lineage, log_id: str, *, renamed: bool, mark: bool
) -> Block:
    """A block, its records under the names that a fork gave them where they are `renamed`, and marked if so wished.

    `known` says which fork, `log_id` is what the last one gave. Where none did, nobody can say that the block was
    never sent, and it goes marked.
    """
    renaming = known.renaming(block.first, log_id) if renamed else None
    rename = None if renaming is None else _rename(settings, topic, renaming)
    mark = mark or (renamed and rename is None)
    if rename is None and not mark:
        return block

    def change(record: Record) -> Record:
        record = record if rename is None else rename(record)
        return blocks.marked(record) if mark else record

    return blocks.rewritten(block, change, settings.compression_level)


def _rename(settings: LogSettings, topic: str, renaming: Renaming) -> Callable[[Record], Record]:
    """A record under its new name; so are the numbers of which events and aggregates tell."""
    old, new = Namer(settings.gateway_id, renaming.old_id), Namer(settings.gateway_id, renaming.log_id)
    told_as = None
    if topic == notices.EVENTS:
        told_as = notices.told_as
    elif settings.fold is not None and topic in settings.fold.topics:
        told_as = settings.fold.told_as
    if told_as is None:
        return lambda record: blocks.renamed(record, old, new)
    numbers = asdict(renaming)
    return lambda record: replace(blocks.renamed(record, old, new), value=told_as(record.value, **numbers))


def _fork_stream(book: Book, state: StreamState, border: int, standing: Standing) -> int:
    parts = list(state.ranges)
    if state.lease is not None:
        lease = state.lease
        parts.append(Range(lease.origin, lease.first, lease.last, lease.records))
        state.lease = None
        state.holder = None
    if state.open_records:
        parts.append(Range(state.id, state.head, book.next_number - 1, state.open_records))
    state.head, state.open_records = book.next_number, 0
    # What was acknowledged to the log that this one is a copy of was not acknowledged to us.
    state.acked = -1
    state.ranges = []
    state.give_back([piece for part in parts for piece in _divided(book, part, border, standing)])
    return sum(part.records for part in state.ranges if part.standing is not Standing.RENAMED)


def _divided(book: Book, part: Range, border: int, standing: Standing) -> list[Range]:
    """A part as one or two: what may have been sent before the border, and what cannot have been from there on.

    So each is of numbers of one log id, by which it is told if it is lost (L10).
    """
    older = replace(part, standing=_stricter(part.standing, standing))
    newer = replace(part, standing=Standing.RENAMED if part.standing is Standing.PLAIN else part.standing)
    if part.first >= border:
        return [newer]
    # A block lies on one side, for no block of an earlier run ends past the border.
    number = _next(book, part.origin, border, part.last)
    if number is None:
        return [replace(older, last=min(part.last, border - 1))]
    if _next(book, part.origin, part.first, border - 1) is None:
        return [replace(newer, first=number)]
    records = book.records_in(part.origin, number, part.last)
    if not records:
        return [older]
    if records >= part.records:
        return [newer]
    return [
        replace(older, last=border - 1, records=part.records - records),
        # Not from the border on: no two ranges of a stream begin with one number.
        replace(newer, first=number, records=records),
    ]


def _next(book: Book, origin: int, first: int, last: int) -> int | None:
    row = book.connection.execute(
        "SELECT key FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
        (key_of(origin, first), key_of(origin, last)),
    ).fetchone()
    return row[0] & MAX_NUMBER if row else None


def _stricter(present: Standing, wanted: Standing) -> Standing:
    """How a part stands that may have been sent; what an earlier fork renames is renamed all the same."""
    standing = Standing.WAITS if present.waits else wanted
    return _TO_BE_RENAMED[standing] if present.renamed else standing
