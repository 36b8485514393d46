"""The tables of `farm.sqlite`, and how it is opened."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from sync.disk import MODE
from sync.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from pathlib import Path

APPLICATION_ID: Final = 0x54474661
"""TGFa, in the file's header."""
FORMAT: Final = 1
_TABLES: Final = (
    # In the order of recording; `body` is the event as it was reported. Nothing deletes from it.
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, recorded_ms INTEGER NOT NULL, body TEXT NOT NULL,
        told INTEGER NOT NULL DEFAULT 0) STRICT""",
    "CREATE INDEX untold_events ON events (seq) WHERE told = 0",
    # Records made of the events, each of which goes upstream once.
    """CREATE TABLE outgoing (
        id TEXT PRIMARY KEY, made_ms INTEGER NOT NULL, schema TEXT NOT NULL, body TEXT NOT NULL,
        told INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID""",
    "CREATE INDEX untold_outgoing ON outgoing (made_ms) WHERE told = 0",
    # One row a sensor and hour: the hour first, so that what is written each minute lies on few pages.
    """CREATE TABLE hours (
        hour INTEGER, sensor TEXT, median REAL NOT NULL, seen INTEGER NOT NULL, minutes BLOB,
        PRIMARY KEY (hour, sensor)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file for its one writer; one that is not there is created.

    Raises:
        NotReady: the disk does not take it now.
        Misconfigured: the file is damaged, or something else.
    """
    connection = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(MODE)
        connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-1024")
        _create_or_check(connection, path)
    except (sqlite3.Error, OSError, Misconfigured) as fault:
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
        if isinstance(fault, Misconfigured):
            raise
        raise error_of(fault, path) from fault
    return connection


def error_of(fault: Exception, path: Path) -> NotReady | Misconfigured:
    """What an error of the file means: a disk that may take it later, or a file that is damaged."""
    if isinstance(fault, sqlite3.DatabaseError) and not isinstance(fault, sqlite3.OperationalError):
        return Misconfigured(
            f"{path} is damaged: {fault}",
            "gateway.state_dir",
            "move it aside, restart, and bring back the newest export with `tidegate stock import`",
        )
    return NotReady(f"{path} cannot be used: {fault}", "is the disk full or read-only?")


def _create_or_check(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if version > FORMAT:
        raise Misconfigured(
            f"a later version of tidegate wrote {path}, in format {version}", "gateway.state_dir", "update tidegate"
        )
    if tables == 0:
        connection.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("COMMIT")
    elif version == 0:
        raise Misconfigured(f"{path} holds tables of another program", "gateway.state_dir", "move it aside")
