"""Counts in rows, which say how much a stream holds: none may be a number that noise made up (L5, L6).

A block's checksum covers its own count, and the damaged block is found and told as any other when its turn comes. But
how many records a stream has is read from its newest row and from the one at its head: they are set right when a file
is opened. What goes by the count of another row asks its neighbour, or else its checksum, if it can be believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sync.log.disk import blocks
from sync.log.disk.schema import MAX_NUMBER, key_of

if TYPE_CHECKING:
    import sqlite3


def mend(connection: sqlite3.Connection, next_number: int | None) -> bool:
    """Let the numbers around a row say what its noise no longer does; True where one is not known for all that.

    `next_number` is the first that no record has, None where the last run ended without warning.
    """
    given = connection.execute("SELECT max(given) FROM streams").fetchone()[0]
    if next_number is None and isinstance(given, int):
        next_number = given + 1
    heads: dict[int, Any] = dict(connection.execute("SELECT id, head FROM streams").fetchall())
    streams = list(heads)
    unknown = False
    for stream, head in heads.items():
        found = connection.execute(
            "SELECT key, records, before, body, checksum FROM blocks WHERE key BETWEEN ? AND ?"
            " ORDER BY key DESC LIMIT 2",
            (key_of(stream, 0), key_of(stream, MAX_NUMBER)),
        ).fetchall()
        if found and not blocks.intact(*(found[0][at] for at in (0, 1, 3, 4))):
            unknown |= not _mend_records(connection, streams, found[0], next_number)
        if len(found) > 1:
            _mend_before(connection, found[0], found[1])
        if isinstance(head, int) and 0 < head <= MAX_NUMBER:
            _mend_head(connection, stream, head)
    return unknown


def believable(connection: sqlite3.Connection, key: int, records: object, before: object) -> bool:
    """Whether a row's count is what was written: its stream's next row says the same, or its checksum does."""
    if not isinstance(records, int) or not 0 < records <= blocks.MAX_RECORDS:
        return False
    following = connection.execute(
        "SELECT before FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1", (key + 1, key | MAX_NUMBER)
    ).fetchone()
    if following and isinstance(before, int) and following[0] == before + records:
        return True
    body, checksum = connection.execute("SELECT body, checksum FROM blocks WHERE key=?", (key,)).fetchone()
    return blocks.intact(key, records, body, checksum)


def _mend_records(
    connection: sqlite3.Connection, streams: list[int], row: tuple[Any, ...], next_number: int | None
) -> bool:
    """Whether the count is known: it is one that can be, or what lies behind the block says it."""
    key, records = row[0], row[1]
    first = key & MAX_NUMBER
    behind = [_next(connection, stream, first) for stream in streams]
    if next_number is not None and next_number > first:
        behind.append(next_number)
    room = min((number for number in behind if number is not None), default=None)
    most = blocks.MAX_RECORDS if room is None else min(room - first, blocks.MAX_RECORDS)
    if isinstance(records, int) and 0 < records <= most:
        return True
    connection.execute("UPDATE blocks SET records=? WHERE key=?", (1 if room is None else most, key))
    return room is not None


def _next(connection: sqlite3.Connection, stream: int, number: int) -> int | None:
    row = connection.execute(
        "SELECT key FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
        (key_of(stream, number + 1), key_of(stream, MAX_NUMBER)),
    ).fetchone()
    return row[0] & MAX_NUMBER if row else None


def _mend_head(connection: sqlite3.Connection, stream: int, head: int) -> None:
    """What lay ahead of the first pending block, by the one behind it: see `_mend_before`."""
    found = connection.execute(
        "SELECT key, records, before, body, checksum FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 2",
        (key_of(stream, head), key_of(stream, MAX_NUMBER)),
    ).fetchall()
    if len(found) < 2 or not blocks.intact(*(found[0][at] for at in (0, 1, 3, 4))):
        return
    (key, records, before, *_), (behind_key, _, behind, *_) = found
    if isinstance(behind, int) and (
        not isinstance(before, int) or not behind - (behind_key - key) <= before <= behind - records
    ):
        connection.execute("UPDATE blocks SET before=? WHERE key=?", (behind - records, key))


def _mend_before(connection: sqlite3.Connection, row: tuple[Any, ...], ahead: tuple[Any, ...]) -> None:
    """Between two blocks of a stream lie at least the records of the first, and at most as many as numbers."""
    key, before = row[0], row[2]
    ahead_key, ahead_records, ahead_before, body, checksum = ahead
    if not blocks.intact(ahead_key, ahead_records, body, checksum) or not isinstance(ahead_before, int):
        return
    least = ahead_before + ahead_records
    if not isinstance(before, int) or not least <= before <= ahead_before + key - ahead_key:
        connection.execute("UPDATE blocks SET before=? WHERE key=?", (least, key))
