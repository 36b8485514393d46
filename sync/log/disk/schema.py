"""The file: its tables, its pragmas, and its formats.

A block's key holds its stream and its first number, so that a stream's blocks lie side by side and need no
index: with 1 KiB pages that saves a sixth of the bytes written. `before` counts the stream's records ahead of
a block; a difference of two is the number of records between them, whatever the length of the backlog. A block's
`checksum` lets both counts be believed without its body (`blocks.checksum`). `given`
is the highest number that was given out when a stream's row was last written, which each commit does anyway;
`total` is how many records its own blocks ever held, `open_records` how many of them lie from `head` on;
its `checksum` is over the row and over the stream's rows in `ranges` and `sent`.
`spans` says of blocks, from a number on, under which log's numbers their records go (sync/log/book/numbers.py);
`reported` is the number of the event that told an entry of the ledger, 0 while none did;
`discards` holds the blocks that are no longer pending and only wait to be removed (sync/log/retention/discards.py).
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 4
APPLICATION_ID: Final = 0x54494447  # "TIDG"
PAGE_BYTES: Final = 1024
BUSY_MS: Final = 1_000
"""How long another process is waited for that has the file locked."""
NUMBER_BITS: Final = 48
MAX_NUMBER: Final = (1 << NUMBER_BITS) - 1

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
        total INTEGER NOT NULL, open_records INTEGER NOT NULL,
        run_producer INTEGER, run_epoch INTEGER, run_base INTEGER, run_next INTEGER, run_origin INTEGER,
        run_first INTEGER, run_last INTEGER, checksum INTEGER)""",
    """CREATE TABLE ranges(
        stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, origin INTEGER NOT NULL,
        records INTEGER NOT NULL, standing INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(stream, first)) WITHOUT ROWID""",
    """CREATE TABLE sent(
        stream INTEGER NOT NULL, position INTEGER NOT NULL, producer INTEGER NOT NULL, epoch INTEGER NOT NULL,
        base INTEGER NOT NULL, next INTEGER NOT NULL, origin INTEGER NOT NULL, first INTEGER NOT NULL,
        last INTEGER NOT NULL, PRIMARY KEY(stream, position)) WITHOUT ROWID""",
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
    """CREATE TABLE spans(first INTEGER PRIMARY KEY, log_id TEXT NOT NULL, shift INTEGER NOT NULL)""",
    """CREATE TABLE discards(first_key INTEGER PRIMARY KEY, last_key INTEGER NOT NULL)""",
)

_UPGRADES: Final[dict[int, tuple[str, ...]]] = {}
"""For each format that was released: what makes a file of it one of the next format. Only additions, for blocks are
many. A format that is not here is not read: its file is put aside."""


class Foreign(Exception):  # noqa: N818 - says what the file is
    """A file of SQLite that is no log, or no more."""


class OtherFormat(Exception):  # noqa: N818 - says what the file is
    """A log in a format that this version does not read."""

    def __init__(self, number: int) -> None:
        age = "a later" if number > FORMAT else "an earlier"
        super().__init__(
            f"{age} version of tidegate wrote it, in format {number}; this version reads format {FORMAT}"
        )
        self.number = number


def reads(number: int) -> bool:
    """Whether a file of a format can be used: it is ours, or can be brought to ours."""
    return 0 < number <= FORMAT and all(older in _UPGRADES for older in range(number, FORMAT))


def key_of(stream: int, number: int) -> int:
    """Where a stream's block that begins with a number lies."""
    return stream << NUMBER_BITS | number


def connect(path: Path, *, synchronous: str = "FULL") -> sqlite3.Connection:
    """Open the writer's connection; a file that is not there is created.

    Raises:
        sqlite3.Error: as the disk or a damaged file has it.
        Foreign: the file is no log.
        OtherFormat: this version does not read the file; nothing in it was changed.
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
        # Some builds overwrite what is deleted with zeros, which writes every page once more.
        connection.execute("PRAGMA secure_delete=FAST")
        _create_or_upgrade(connection, path, version)
    except BaseException:  # raised on at once; a half-opened file must not keep its locks
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise
    return connection


def _format(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > 0 and not reads(version):
        raise OtherFormat(version)
    return version


def _create_or_upgrade(connection: sqlite3.Connection, path: Path, version: int) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and version <= 0:
        raise Foreign(f"{path} is a database, but not a log")
    if tables and version == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    changes = [_UPGRADES[older] for older in range(version, FORMAT)] if tables else [_TABLES]
    for change in changes:
        for statement in change:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={FORMAT}")
    connection.execute("COMMIT")
