"""Which records the log's numbers belong to, and what is told of numbers that no record has (L10).

A number goes unused where a run ended without warning (the next begins beyond what was set aside, L2), where a
COMMIT failed and nobody can say at once whether it is on disk, and where a salvage brings over a block: its
records keep the names that they have, and the number only says where the block lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync.log.disk.blocks import first_of

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.disk.blocks import Block


def brought(book: Book, block: Block) -> None:
    """Note of a block that was added with the names that its records had: by those a loss of it is told."""
    name = dict(first_of(block.body).headers).get("ce_id") or b""
    log_id, _, number = name.decode(errors="replace").rpartition("-")
    if not number.isdigit():
        return
    add = "INSERT OR REPLACE INTO spans VALUES(?,?,?)"
    book.connection.execute(add, (block.first, log_id, block.first - int(number)))
    book.connection.execute(add, (block.last + 1, "", 0))
    book.spanned = True


def names_of(book: Book, first: int, last: int) -> tuple[str, int | None, int | None]:
    """Under which log's numbers the records of blocks go: its id, and the first and last of them.

    The numbers are None where the blocks are of more than one log.
    """
    ours = book.log_id_of(first)
    if ours != book.log_id_of(last):
        return ours, None, None
    if not book.spanned:
        return ours, first, last
    begins, ends = _span(book, first), _span(book, last)
    if begins[0] != ends[0]:
        return ours, None, None
    return begins[0] or ours, first - begins[1], last - ends[1]


def side_by_side(book: Book, first: int, last: int) -> bool:
    """Whether records of blocks go under numbers of one log that are as far apart as those of the blocks."""
    log_id, first_name, last_name = names_of(book, first, last)
    apart = None if first_name is None or last_name is None else last_name - first_name
    return log_id == names_of(book, first, first)[0] and apart == last - first


def forget_spans(book: Book, oldest: int) -> None:
    """Let go of what was noted of blocks ahead of the oldest."""
    keep = book.connection.execute("SELECT max(first) FROM spans WHERE first<=?", (oldest,)).fetchone()[0]
    if keep is not None:
        book.connection.execute("DELETE FROM spans WHERE first<?", (keep,))


def _span(book: Book, number: int) -> tuple[str, int]:
    row = book.connection.execute(
        "SELECT log_id, shift FROM spans WHERE first<=? ORDER BY first DESC LIMIT 1", (number,)
    ).fetchone()
    return (str(row[0]), int(row[1])) if row else ("", 0)
