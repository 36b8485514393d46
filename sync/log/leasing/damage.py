"""A block that cannot be read, ahead of all others of its part: what is lost with it is counted and named (L5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync.log.disk import blocks
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.ledger import entries
from sync.log.ledger.entries import Missing

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.book.streams import Range, StreamState


def lose(book: Book, state: StreamState, part: Range, first: int) -> None:
    """Remove a part's first block, whose body is corrupt.

    If its count is corrupt too, the rest of the part says how many records it held. That does not tell it from blocks
    right behind it of which the same is true: these go with it, in one loss.
    """
    row = book.connection.execute(
        "SELECT key, records, before, checksum FROM blocks WHERE key=?", (key_of(part.origin, first),)
    ).fetchone()
    counted = blocks.counted(*row)
    gone = [first] if counted else _uncounted(book, part, first)
    lost = row[1] if counted else part.records - book.records_in(part.origin, gone[-1] + 1, part.last)
    lost = min(max(lost, 0), part.records)
    last = last_possible(book, part, gone[-1], lost - len(gone) + 1)
    for number in gone:
        book.delete(part.origin, number)
    state.take(part, gone[-1], lost)
    book.touch(state)
    entries.lose(book, state, Missing(first, last, lost, "corrupt"))


def last_possible(book: Book, part: Range, number: int, most: int) -> int:
    """The last number that a corrupt block of at most so many records may have had.

    What may have been a pack may have had any ahead of the next block: between its numbers there may be others.
    """
    *counts, beginning = book.connection.execute(
        "SELECT key, records, before, checksum, substr(body, 1, 4) FROM blocks WHERE key=?",
        (key_of(part.origin, number),),
    ).fetchone()
    if blocks.counted(*counts) and beginning == blocks.ZSTD:
        return number + int(counts[1]) - 1
    following = book.next_row(part.origin, number + 1, part.last)
    last = min(part.last, book.next_number - 1) if following is None else following[0].first - 1
    return min(last, number + max(most, 1) - 1) if beginning == blocks.ZSTD else last


def _uncounted(book: Book, part: Range, first: int) -> list[int]:
    """The first numbers of a block and of those right behind it of which neither count nor body can be believed."""
    found: list[int] = []
    for key, records, before, checksum, body in book.connection.execute(
        "SELECT key, records, before, checksum, body FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key",
        (key_of(part.origin, first), key_of(part.origin, part.last)),
    ):
        known = blocks.counted(key, records, before, checksum) or blocks.records_of(key, records, body, checksum)
        if found and known:
            break
        found.append(key & MAX_NUMBER)
    return found
