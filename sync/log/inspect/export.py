"""Copying records out of a log's file, piece by piece, in the order of their numbers.

Between pieces nothing is held: what is trimmed, thinned or appended meanwhile is seen as it is by then. A number
that came once does not come again, also where a block was cut in two.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sync.log.disk import packed
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.inspect.records import COLUMNS, Standings, StoredBlock
from sync.log.packs import pack as packs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from sync.log.inspect.records import Entry
    from sync.values import Lane

_PIECE_BYTES: Final = 256 * 1024
_COMPRESSED: Final = 16
"""How much smaller a body is than its section, about."""
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

    def took(self, at_ms: object, span_ms: int = 0) -> bool:
        """Whether a block, taken in so long, is wanted by its time; one whose time does not read is."""
        if not isinstance(at_ms, int):
            return True
        early = self.since_ms is not None and at_ms + span_ms < self.since_ms
        return not early and (self.until_ms is None or at_ms < self.until_ms)

    def entries(self, piece: Piece) -> Iterator[Entry]:
        """The records of a piece that are wanted by their numbers, in order."""
        first = max(self.first, piece.first)
        last = self.last if piece.next_number is None else min(self.last, piece.next_number - 1)
        for group in _groups(piece.blocks):
            for entry in heapq.merge(*(block.entries() for block in group), key=lambda entry: entry.seq):
                # The time that the entry shows is 0 if its block's does not read.
                if first <= entry.seq <= last and (entry.at_ms == 0 or self.took(entry.at_ms)):
                    yield entry


@dataclass(frozen=True, slots=True)
class Piece:
    """Blocks with all numbers from `first` on, up to the one with which the next piece begins: None after the last.

    A pack's last records may be beyond that: the next piece has them.
    """

    first: int
    blocks: list[StoredBlock]
    next_number: int | None


def piece(connection: sqlite3.Connection, wanted: Selection, at: int) -> Piece:
    """Blocks with numbers from `at` on."""
    standings = Standings(connection)
    found: list[StoredBlock] = []
    size = 0
    cursors = [_cursor(connection, stream, at, wanted) for stream in standings.chosen(wanted.lane, wanted.topic)]
    rows = heapq.merge(*cursors, key=lambda row: int(row[0]) & MAX_NUMBER)
    for looked_at, (key, at_ms, beginning) in enumerate(rows):
        number = key & MAX_NUMBER
        if number > at and (looked_at >= _PIECE_BLOCKS or size >= _PIECE_BYTES):
            return Piece(at, found, number)
        if wanted.took(at_ms, packs.span_ms(beginning) if isinstance(beginning, bytes) else 0):
            # Bodies are read where they are wanted: most pages of a long log are bodies.
            row = connection.execute(f"SELECT {COLUMNS} FROM blocks WHERE key=?", (key,)).fetchone()  # noqa: S608 - our own names
            block = standings.found(row)
            found.append(block)
            size += packs.unpacked_bytes(block.body or b"") // _COMPRESSED
    return Piece(at, found, None)


def _cursor(
    connection: sqlite3.Connection, stream: int, at: int, wanted: Selection
) -> Iterator[tuple[int, object, object]]:
    """A stream's blocks from the one on that holds the number, or is the first behind it.

    That may begin before it: a pack may have taken its place since the last piece.
    """
    before = connection.execute(
        "SELECT key, records, substr(body, 1, ?) FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1",
        (packs.HEADER_BYTES, key_of(stream, 0), key_of(stream, min(at, MAX_NUMBER))),
    ).fetchone()
    begins = key_of(stream, at)
    if before is not None and isinstance(before[1], int):
        last = packed.last_number(before[0] & MAX_NUMBER, before[1], before[2])
        begins = before[0] if last >= at else begins
    return connection.execute(
        "SELECT key, at_ms, substr(body, 1, ?) FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key",
        (packs.HEADER_BYTES, begins, key_of(stream, wanted.last)),
    )


def _groups(found: Sequence[StoredBlock]) -> Iterator[list[StoredBlock]]:
    """Blocks whose numbers lie between each other's, together."""
    group: list[StoredBlock] = []
    last = 0
    for block in found:
        if group and block.first > last:
            yield group
            group = []
        group.append(block)
        last = max(last, block.last)
    if group:
        yield group
