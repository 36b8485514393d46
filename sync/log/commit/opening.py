"""A run begins: it gets its number, the log its name, and what the last run left unused is told (L2, L10, D10)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sync.log.book import lineage, numbers, rows
from sync.log.book.content import Book
from sync.log.ledger import entries

if TYPE_CHECKING:
    import sqlite3

    from sync.log.clock import Clock
    from sync.log.disk.names import Names
    from sync.log.settings import LogSettings


def open_book(
    connection: sqlite3.Connection, settings: LogSettings, clock: Clock, names: Names, *, compared: bool = False
) -> Book:
    """Open a file's book and begin a run; `names` is what stands beside the file.

    `compared`: this process knows that the log is no copy (D11).

    Raises:
        sqlite3.Error, ValueError, TypeError, KeyError: as the disk or a damaged file has it.
    """
    book = Book(connection, settings, clock, names, compared=compared)
    cell = connection.execute
    meta = dict(cell("SELECT name, value FROM meta").fetchall())
    _compare_partitions(connection, names)
    book.load()
    given = cell("SELECT max(given) FROM streams UNION ALL SELECT max(first)-1 FROM runs").fetchall()
    book.newest = max(0, *(int(row[0] or 0) for row in given))
    first = int(meta.get("clean") or max(int(meta.get("reserved", 1)), book.newest + 1))
    book.lineage = lineage.opened(meta, names, first, compared=compared)
    names.run = max(names.run, int(meta.get("run", 0))) + 1
    book.begin()
    book.take_name(str(meta.get("log_id") or secrets.token_hex(6)))
    book.set_aside(first)
    lineage.save(connection, book.lineage)
    cell("DELETE FROM meta WHERE name='clean'")
    cell("INSERT OR REPLACE INTO meta VALUES('run', ?)", (names.run,))
    cell("INSERT OR REPLACE INTO runs VALUES(?,?,?,?)", (names.run, first, book.now_ms, clock.boot))
    for topic, partition in names.partitions.items():
        cell("INSERT OR IGNORE INTO topics VALUES(?,?)", (topic, partition))
    for name, value in names.cursors.items():
        cell("INSERT OR IGNORE INTO cursors VALUES(?,?)", (name, value))
    if first > book.newest + 1:
        entries.skip(book, book.newest + 1, first - 1, "unclosed")
    oldest = min((rows.oldest_number(connection, stream) for stream in book.streams), default=0)
    numbers.forget_spans(book, oldest)
    cell("COMMIT")
    here = cell("SELECT run FROM runs WHERE boot=? AND boot<>'unknown'", (clock.boot,))
    book.timeline.begin(frozenset(run for (run,) in here), meta.get("clock"))
    book.load()
    book.begin_at(first)
    return book


def _compare_partitions(connection: sqlite3.Connection, names: Names) -> None:
    """A topic's partition never changes (L7): where the file says another one than stands beside it, that is noise.

    Raises:
        ValueError: it does.
    """
    for topic, partition in connection.execute("SELECT name, partition FROM topics").fetchall():
        known = names.partitions.get(topic)
        if partition is not None and (not isinstance(partition, int) or (known is not None and known != partition)):
            raise ValueError(f"corrupt partition number of {topic}")
