"""The loss ledger and the dead letters: every record that leaves the log undelivered leaves a trace (L5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sync.log import notices
from sync.log.notices import Loss

if TYPE_CHECKING:
    from sync.log.blocks import Block
    from sync.log.book import Book
    from sync.log.streams import Lease, StreamState
    from sync.values import Lane

REPORT_AFTER_MS: Final = 5_000
"""So long losses of one kind are gathered before they are told upstream."""
_KEEP_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Missing:
    """How many undelivered records are gone, from which number to which (None: not known, or never given)."""

    first: int | None
    last: int | None
    records: int
    reason: str


def lose(book: Book, stream: StreamState, missing: Missing) -> None:
    """Note that undelivered records of a stream are gone, in the transaction that removes them."""
    note(book, stream.lane, stream.topic, missing)
    book.lost[missing.reason] += missing.records


def note(book: Book, lane: Lane, topic: str, missing: Missing) -> None:
    """Write a loss down; it grows a recent entry of the same kind that was not yet told."""
    first, last, records, reason = missing.first, missing.last, missing.records, missing.reason
    for number, loss in book.losses.items():
        if (loss.lane, loss.topic, loss.reason) == (lane, topic, reason):
            grown = replace(
                loss,
                first=first if loss.first is None else min(loss.first, first or loss.first),
                last=last if loss.last is None else max(loss.last, last or loss.last),
                records=loss.records + records,
                until_ms=book.now_ms,
            )
            book.losses[number] = grown
            book.connection.execute(
                "UPDATE ledger SET until_ms=?, first=?, last=?, records=? WHERE id=?",
                (grown.until_ms, grown.first, grown.last, grown.records, number),
            )
            return
    loss = Loss(lane, topic, first, last, records, reason, book.now_ms, book.now_ms)
    cursor = book.connection.execute(
        "INSERT INTO ledger(at_ms, until_ms, lane, topic, first, last, records, reason, reported)"
        " VALUES(?,?,?,?,?,?,?,?,0)",
        (loss.at_ms, loss.until_ms, lane.value, topic, first, last, records, reason),
    )
    if cursor.lastrowid is not None:
        book.losses[cursor.lastrowid] = loss
        book.connection.execute("DELETE FROM ledger WHERE reported=1 AND id<=?", (cursor.lastrowid - _KEEP_ROWS,))


def report(book: Book, *, all_of_them: bool = False) -> None:
    """Append what was lost as events for the centre; the entry and its event are one commit."""
    due = [
        (number, loss)
        for number, loss in book.losses.items()
        if all_of_them or not 0 <= book.now_ms - loss.at_ms < REPORT_AFTER_MS
    ]
    for number, loss in due:
        event = notices.loss_event(loss, book.names.log_id, book.settings)
        book.store(event.lane, event.topic, [event])
        book.connection.execute("UPDATE ledger SET reported=1 WHERE id=?", (number,))
        del book.losses[number]


def bury(book: Book, stream: StreamState, lease: Lease, block: Block, reason: str) -> None:
    """Move a block of one record to the dead letters, and tell upstream; dead letters themselves only stay here."""
    book.connection.execute(
        "INSERT INTO dead_letters(at_ms, lane, topic, number, reason, body) VALUES(?,?,?,?,?,?)",
        (book.now_ms, stream.lane.value, stream.topic, block.first, reason, block.body),
    )
    book.dead_letters += 1
    book.delete(lease.origin, block.first)
    if stream.topic != notices.DEAD_LETTERS:
        letter = notices.dead_letter(
            (stream.lane, stream.topic), block.body, reason, at_ms=book.now_ms, settings=book.settings
        )
        book.store(letter.lane, letter.topic, [letter])
