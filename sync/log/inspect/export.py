"""Copying records out of a log's file, piece by piece, in the order of their numbers.

Between pieces nothing is held: what is trimmed, thinned or appended meanwhile is seen as it is by then. A number
that came once does not come again, also where a block was cut in two.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.inspect.records import COLUMNS, Standings, StoredBlock

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from sync.log.inspect.records import Entry
    from sync.values import Lane

_PIECE_BYTES: Final = 256 * 1024
_PIECE_BLOCKS: Final = 1_000
"""Looked at in one piece, wanted or not: some milliseconds."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Records numbered `first` to `last`, taken from `since_ms` up to, not with, `until_ms` (wall clock of then)."""

    first: int = 1
    last: int = MAX_NUMBER
    since_ms: int | None = None
    until_ms: int | None = None
    lane: Lane | None = None
    topic: str | None = None

    def took(self, at_ms: object) -> bool:
        """Whether a block is wanted by its time; one whose time does not read is."""
        if not isinstance(at_ms, int):
            return True
        early = self.since_ms is not None and at_ms < self.since_ms
        return not early and (self.until_ms is None or at_ms < self.until_ms)

    def entries(self, found: Sequence[StoredBlock]) -> Iterator[Entry]:
        """The records of blocks that are wanted by their numbers."""
        for block in found:
            for entry in block.entries():
                if self.first <= entry.seq <= self.last:
                    yield entry


@dataclass(frozen=True, slots=True)
class Piece:
    """Blocks in the order of their numbers, and the number with which the next piece begins: None after the last."""

    blocks: list[StoredBlock]
    next_number: int | None


def begin(connection: sqlite3.Connection, wanted: Selection) -> int:
    """The number that the first piece begins with: a block's, which may hold numbers ahead of the wanted."""
    at = wanted.first
    for stream in Standings(connection).chosen(wanted.lane, wanted.topic):
        row = connection.execute(
            "SELECT key, records FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1",
            (key_of(stream, 0), key_of(stream, min(wanted.first, MAX_NUMBER))),
        ).fetchone()
        if row is not None and isinstance(row[1], int) and (row[0] & MAX_NUMBER) + row[1] > wanted.first:
            at = min(at, row[0] & MAX_NUMBER)
    return at


def piece(connection: sqlite3.Connection, wanted: Selection, at: int) -> Piece:
    """Blocks from the number `at` on."""
    standings = Standings(connection)
    found: list[StoredBlock] = []
    size = 0
    cursors = [_cursor(connection, stream, at, wanted) for stream in standings.chosen(wanted.lane, wanted.topic)]
    rows = heapq.merge(*cursors, key=lambda row: int(row[0]) & MAX_NUMBER)
    for looked_at, (key, at_ms) in enumerate(rows):
        if looked_at >= _PIECE_BLOCKS or size >= _PIECE_BYTES:
            return Piece(found, at)
        at = (key & MAX_NUMBER) + 1
        if wanted.took(at_ms):
            # Bodies are read where they are wanted: most pages of a long log are bodies.
            row = connection.execute(f"SELECT {COLUMNS} FROM blocks WHERE key=?", (key,)).fetchone()  # noqa: S608 - our own names
            block = standings.found(row)
            found.append(block)
            size += len(block.body or b"")
            at = block.first + block.records
    return Piece(found, None)


def _cursor(connection: sqlite3.Connection, stream: int, at: int, wanted: Selection) -> Iterator[tuple[int, object]]:
    return connection.execute(
        "SELECT key, at_ms FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key",
        (key_of(stream, at), key_of(stream, wanted.last)),
    )
