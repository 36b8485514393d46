"""The file: its tables, its pragmas, and its formats.

A block's key holds its stream and its first number, so that a stream's blocks lie side by side and need no
index: with 1 KiB pages that saves a sixth of the bytes written. `before` counts the stream's records ahead of
a block; a difference of two is the number of records between them, whatever the length of the backlog. `given`
is the highest number that was given out when a stream's row was last written, which each commit does anyway;
its `checksum` is over the row and over the stream's rows in `ranges` and `sent`.
`spans` says of blocks, from a number on, under which log's numbers their records go (sync/log/book/numbers.py);
`reported` is the number of the event that told an entry of the ledger, 0 while none did;
`discards` holds the blocks that are no longer pending and only wait to be removed (sync/log/retention/thinning.py).
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 3
APPLICATION_ID: Final = 0x54494447  # "TIDG"
PAGE_BYTES: Final = 1024
BUSY_MS: Final = 1_000
"""How long another process is waited for that has the file locked."""
NUMBER_BITS: Final = 48
MAX_NUMBER: Final = (1 << NUMBER_BITS) - 1

_BOOKKEEPING: Final = (
    """CREATE TABLE spans(first INTEGER PRIMARY KEY, log_id TEXT NOT NULL, shift INTEGER NOT NULL)""",
    """CREATE TABLE discards(first_key INTEGER PRIMARY KEY, last_key INTEGER NOT NULL)""",
)
_SENT: Final = """CREATE TABLE sent(
        stream INTEGER NOT NULL, position INTEGER NOT NULL, producer INTEGER NOT NULL, epoch INTEGER NOT NULL,
        base INTEGER NOT NULL, next INTEGER NOT NULL, origin INTEGER NOT NULL, first INTEGER NOT NULL,
        last INTEGER NOT NULL, PRIMARY KEY(stream, position)) WITHOUT ROWID"""

_UNCLOSED: Final = f"""
    WITH ends AS (
        SELECT first AS next, at_ms, lag(first) OVER (ORDER BY run) AS began, max(
            ifnull((SELECT max(last) FROM ledger WHERE last<runs.first), 0),
            ifnull((SELECT max(number) FROM dead_letters WHERE number<runs.first), 0),
            ifnull((SELECT max((SELECT (key & {MAX_NUMBER}) + records - 1 FROM blocks
                WHERE key BETWEEN (streams.id << {NUMBER_BITS}) AND (streams.id << {NUMBER_BITS}) + runs.first - 1
                ORDER BY key DESC LIMIT 1)) FROM streams), 0)) AS used
        FROM runs)
    INSERT INTO ledger(at_ms, until_ms, lane, topic, first, last, records, reason, reported, log_id)
        SELECT at_ms, at_ms, '', '', used+1, next-1, next-1-used, 'unclosed', 0,
            (SELECT value FROM meta WHERE name='log_id')
        FROM ends WHERE used>=began AND used+1<next"""  # noqa: S608 - our own numbers
"""What format 1 never told: the numbers that went unused where a run of it ended without warning (L2, L10).

Only where the file still holds something of that run: else its newest numbers may be those of trimmed records.
"""

_TABLES: Final = (
    """CREATE TABLE blocks(
        key INTEGER PRIMARY KEY, records INTEGER NOT NULL, before INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        run INTEGER NOT NULL, mono_ms INTEGER NOT NULL, synced INTEGER NOT NULL,
        checksum INTEGER NOT NULL, body BLOB NOT NULL, receipts BLOB)""",
    """CREATE TABLE topics(name TEXT PRIMARY KEY, partition INTEGER) WITHOUT ROWID""",
    """CREATE TABLE streams(
        id INTEGER PRIMARY KEY, lane TEXT NOT NULL, topic TEXT NOT NULL, head INTEGER NOT NULL,
        acked INTEGER NOT NULL, lease_origin INTEGER, lease_first INTEGER, lease_last INTEGER,
        lease_records INTEGER, lease_at_ms INTEGER, lease_producer INTEGER, lease_epoch INTEGER,
        lease_base INTEGER, lease_partition INTEGER, lease_acked INTEGER,
        lease_ms INTEGER, lease_run INTEGER, lease_mono INTEGER, lease_synced INTEGER, given INTEGER,
        run_producer INTEGER, run_epoch INTEGER, run_base INTEGER, run_next INTEGER, run_origin INTEGER,
        run_first INTEGER, run_last INTEGER, checksum INTEGER)""",
    """CREATE TABLE ranges(
        stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, origin INTEGER NOT NULL,
        records INTEGER NOT NULL, standing INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(stream, first)) WITHOUT ROWID""",
    _SENT,
    """CREATE TABLE dead_letters(
        id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, lane TEXT NOT NULL, topic TEXT NOT NULL,
        number INTEGER NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL,
        run INTEGER NOT NULL DEFAULT 0, mono_ms INTEGER NOT NULL DEFAULT 0, synced INTEGER NOT NULL DEFAULT 1)""",
    """CREATE TABLE ledger(
        id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL, lane TEXT NOT NULL,
        topic TEXT NOT NULL, first INTEGER, last INTEGER, records INTEGER NOT NULL, reason TEXT NOT NULL,
        reported INTEGER NOT NULL, log_id TEXT, into_first INTEGER, into_last INTEGER, into_records INTEGER)""",
    """CREATE TABLE runs(
        run INTEGER PRIMARY KEY, first INTEGER NOT NULL, at_ms INTEGER NOT NULL, boot TEXT NOT NULL)""",
    """CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID""",
    """CREATE TABLE cursors(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID""",
    *_BOOKKEEPING,
)

_UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    1: (
        "ALTER TABLE streams ADD COLUMN lease_ms INTEGER",
        "ALTER TABLE streams ADD COLUMN lease_run INTEGER",
        "ALTER TABLE streams ADD COLUMN lease_mono INTEGER",
        "ALTER TABLE streams ADD COLUMN lease_synced INTEGER",
        "ALTER TABLE ranges ADD COLUMN standing INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE streams ADD COLUMN given INTEGER",
        "ALTER TABLE ledger ADD COLUMN log_id TEXT",
        "ALTER TABLE ledger ADD COLUMN into_first INTEGER",
        "ALTER TABLE ledger ADD COLUMN into_last INTEGER",
        "ALTER TABLE ledger ADD COLUMN into_records INTEGER",
        *_BOOKKEEPING,
        "ALTER TABLE blocks ADD COLUMN receipts BLOB",
        "ALTER TABLE dead_letters ADD COLUMN run INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE dead_letters ADD COLUMN mono_ms INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE dead_letters ADD COLUMN synced INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE streams ADD COLUMN run_producer INTEGER",
        "ALTER TABLE streams ADD COLUMN run_epoch INTEGER",
        "ALTER TABLE streams ADD COLUMN run_base INTEGER",
        "ALTER TABLE streams ADD COLUMN run_next INTEGER",
        "ALTER TABLE streams ADD COLUMN run_origin INTEGER",
        "ALTER TABLE streams ADD COLUMN run_first INTEGER",
        "ALTER TABLE streams ADD COLUMN run_last INTEGER",
        _SENT,
        "UPDATE ledger SET log_id=(SELECT value FROM meta WHERE name='log_id')",
        _UNCLOSED,
    ),
    2: ("ALTER TABLE streams ADD COLUMN checksum INTEGER",),
}
"""What makes a file of one format one of the next. Only additions: blocks, which are many, are never rewritten."""


class Foreign(Exception):  # noqa: N818 - says what the file is
    """A file of SQLite that is no log, or no more."""


class Later(Exception):  # noqa: N818 - says what the file is
    """A log that a later version of tidegate wrote, in a format that this one does not know."""

    def __init__(self, number: int) -> None:
        super().__init__(f"a later version of tidegate wrote it, in format {number}")
        self.number = number


def key_of(stream: int, number: int) -> int:
    """Where a stream's block that begins with a number lies."""
    return stream << NUMBER_BITS | number


def connect(path: Path, *, synchronous: str = "FULL") -> sqlite3.Connection:
    """Open the writer's connection; a file that is not there is created.

    Raises:
        sqlite3.Error: as the disk or a damaged file has it.
        Foreign: the file is no log.
        Later: the file was written by a later version; nothing in it was changed.
    """
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1_000, check_same_thread=False)
    try:
        version = _format(connection)
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        # Checkpoints are the writer's to place: between commits.
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA cache_size=-2048")
        connection.execute("PRAGMA cell_size_check=1")
        _create_or_check(connection, path, version)
    except BaseException:  # raised on at once; a half-opened file must not keep its locks
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise
    return connection


def _format(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise Later(version)
    return version


def _create_or_check(connection: sqlite3.Connection, path: Path, version: int) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables == 0:
        connection.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("COMMIT")
    elif not 0 < version <= FORMAT:
        raise Foreign(f"{path} holds tables, but no log")
    elif version < FORMAT:
        connection.execute("BEGIN IMMEDIATE")
        for older in range(version, FORMAT):
            for change in _UPGRADES[older]:
                connection.execute(change)
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("COMMIT")
