"""Blocks that nobody waits for any more, removed by and by: deleting a minute of them holds up a commit.

Aggregates stand for their records, and the ledger says so, in the commit that lays them down here. So they are no
local history either: what was thinned was never sent, and D7 must not find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync.log.disk.schema import key_of

if TYPE_CHECKING:
    from sync.log.book.content import Book


def add(book: Book, origin: int, first: int, last: int) -> None:
    """Let blocks that are no longer pending be removed."""
    keys = key_of(origin, first), key_of(origin, last)
    book.connection.execute("INSERT OR REPLACE INTO discards VALUES(?,?)", keys)
    book.discards.append(keys)


def remove(book: Book, most: int) -> bool:
    """Remove so many of them; False where there are none."""
    if not book.discards:
        return False
    found = book.connection.execute(
        "SELECT key FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?", (*book.discards[0], most)
    ).fetchall()
    book.connection.executemany("DELETE FROM blocks WHERE key=?", found)
    book.pages_touched += 3 * len(found)
    if len(found) < most:
        book.connection.execute("DELETE FROM discards WHERE first_key=?", book.discards.pop(0)[:1])
    return True
