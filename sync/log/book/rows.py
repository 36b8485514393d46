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
_COUNTS: Final = "SELECT key, records, before, checksum FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key"


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
    first = records_before(connection, first_key, last_key)
    if first is None:
        keys = [row[0] for row in connection.execute(_COUNTS, (first_key, last_key))]
        return sum(_records(connection, key) for key in keys)
    behind = 0
    for key, records, before, checksum in connection.execute(_COUNTS + " DESC", (first_key, last_key)):
        if blocks.counted(key, records, before, checksum):
            return int(before) + int(records) + behind - first
        behind += _records(connection, key)
    return 0


def records_before(connection: sqlite3.Connection, first_key: int, last_key: int) -> int | None:
    """How many records of a stream were ahead of the first of some blocks; None if no row says it."""
    passed = 0
    for key, records, before, checksum in connection.execute(_COUNTS, (first_key, last_key)):
        if blocks.counted(key, records, before, checksum):
            return int(before) - passed
        passed += _records(connection, key)
    return None


def _records(connection: sqlite3.Connection, key: int) -> int:
    """How many records a block holds, by its body; 0 if that is corrupt."""
    records, body, checksum = connection.execute(
        "SELECT records, body, checksum FROM blocks WHERE key=?", (key,)
    ).fetchone()
    return blocks.records_of(key, records, body, checksum) or 0


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


def discarded(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """The keys of blocks that only wait to be removed (sync/log/retention/discards.py), from and to."""
    return list(connection.execute("SELECT first_key, last_key FROM discards"))


def _read(row: tuple[Any, ...], timeline: Timeline) -> tuple[Block, int, bool]:
    """A row as it is on the disk; if a field is not even of its type, the block is not intact."""
    key, records, body, checksum, *stamp = row
    number = key & MAX_NUMBER
    held = blocks.records_of(key, records, body, checksum)
    if held is None or not all(isinstance(field, int) for field in stamp):
        return Block(number, 1, b""), 0, False
    taken = Stamp(*stamp)
    return Block(number, held, body, taken=taken), timeline.taken_ms(taken), True
