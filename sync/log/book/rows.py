"""Blocks as they lie on the disk: what a row says, if it is intact, when it was taken by this boot's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sync.log.clock import Stamp
from sync.log.disk import blocks
from sync.log.disk.blocks import Block
from sync.log.disk.schema import MAX_NUMBER, key_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from sync.log.book.streams import StreamState
    from sync.log.clock import Timeline

_ROWS: Final = (
    "SELECT key, records, body, checksum, at_ms, run, mono_ms, synced FROM blocks"
    " WHERE key BETWEEN ? AND ? ORDER BY key"
)


def between(
    connection: sqlite3.Connection, timeline: Timeline, first_key: int, last_key: int
) -> Iterator[tuple[Block, int, bool]]:
    """Blocks in the order of their keys, each with when it was taken, and if it is intact."""
    for row in connection.execute(_ROWS, (first_key, last_key)):
        yield _read(row, timeline)


def first(
    connection: sqlite3.Connection, timeline: Timeline, first_key: int, last_key: int
) -> tuple[Block, int, bool] | None:
    """The first of them, None where there is none."""
    row = connection.execute(_ROWS + " LIMIT 1", (first_key, last_key)).fetchone()
    return _read(row, timeline) if row else None


def records_between(connection: sqlite3.Connection, first_key: int, last_key: int) -> int:
    """How many records blocks hold that lie side by side: their two ends tell, however many there are."""
    row = connection.execute(
        "SELECT (SELECT before+records FROM blocks WHERE key BETWEEN ?1 AND ?2 ORDER BY key DESC LIMIT 1)"
        " - (SELECT before FROM blocks WHERE key BETWEEN ?1 AND ?2 ORDER BY key LIMIT 1)",
        (first_key, last_key),
    ).fetchone()
    return max(int(row[0] or 0), 0)


def newest_number(connection: sqlite3.Connection, stream: int) -> int:
    """The last number of a stream's own blocks, 0 where it has none."""
    row = connection.execute(
        "SELECT key, records FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1",
        (key_of(stream, 0), key_of(stream, MAX_NUMBER)),
    ).fetchone()
    return (row[0] & MAX_NUMBER) + row[1] - 1 if row else 0


def oldest_number(connection: sqlite3.Connection, stream: int) -> int:
    """The first number of a stream's own blocks, the highest of all where it has none."""
    row = connection.execute(
        "SELECT key FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
        (key_of(stream, 0), key_of(stream, MAX_NUMBER)),
    ).fetchone()
    return row[0] & MAX_NUMBER if row else MAX_NUMBER


def first_since(
    connection: sqlite3.Connection, timeline: Timeline, state: StreamState, cutoff_ms: int, next_number: int
) -> int:
    """The first number of a stream's open blocks that were taken at `cutoff_ms` of this boot's clock or later.

    What this boot took is in the order of that clock, and behind what others took: none of it is passed over. It goes
    by the numbers of blocks alone, for the counts of those that it looks at may be noise.
    """
    low, high = state.head, next_number
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT key, at_ms, run, mono_ms, synced FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
            (key_of(state.id, middle), key_of(state.id, MAX_NUMBER)),
        ).fetchone()
        if row is None or timeline.taken_ms(Stamp(*row[1:])) >= cutoff_ms:
            high = middle
        else:
            low = (row[0] & MAX_NUMBER) + 1
    behind = connection.execute(
        "SELECT key FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
        (key_of(state.id, low), key_of(state.id, MAX_NUMBER)),
    ).fetchone()
    return behind[0] & MAX_NUMBER if behind else next_number


def _read(row: tuple[Any, ...], timeline: Timeline) -> tuple[Block, int, bool]:
    """A row as it is on the disk; where a field is not even of its type, the block is not intact."""
    key, records, body, checksum, *stamp = row
    number = key & MAX_NUMBER
    if not (
        isinstance(records, int)
        and isinstance(body, bytes)
        and 0 < records < 1 << 31
        and all(isinstance(field, int) for field in stamp)
    ):
        return Block(number, 1, b""), 0, False
    taken = Stamp(*stamp)
    intact = blocks.checksum(key, records, body) == checksum
    return Block(number, records, body, taken=taken), timeline.taken_ms(taken), intact
