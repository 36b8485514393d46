"""Reads the log's file for people, beside a running daemon or without one.

Each question is one short read-only transaction, so that the writer's checkpoints are not held up (a reader that
stays keeps the write-ahead log from shrinking). Nothing here writes, repairs or puts aside.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote

from sync.log import blocks
from sync.log.file import NOISE
from sync.log.schema import APPLICATION_ID, FORMAT, MAX_NUMBER, NUMBER_BITS, key_of
from sync.log.streams import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sync.log.blocks import Record
    from sync.log.streams import StreamState

Standing = Literal["pending", "in flight", "settled"]

_PATIENCE_S: Final = 5.0


class LogUnreadable(Exception):  # noqa: N818 - a state of the file
    """There is no log there, or it cannot be read; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is not settled of one lane's records of one topic. `oldest_at_ms`: Unix time, None where nothing waits."""

    lane: str
    topic: str
    records: int
    in_flight: int
    oldest_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One record. `at_ms` is when the log took it, Unix time."""

    number: int
    lane: str
    topic: str
    at_ms: int
    standing: Standing
    record: Record


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that Kafka refused for itself, and why."""

    number: int
    lane: str
    topic: str
    at_ms: int
    reason: str
    record: Record | None


@dataclass(frozen=True, slots=True)
class Loss:
    """Records that left the log undelivered, from `first` to `last` (None where they never had a number)."""

    lane: str
    topic: str
    first: int | None
    last: int | None
    records: int
    reason: str
    at_ms: int


class LogReader:
    """Answers about one file. Every method raises LogUnreadable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def waiting(self) -> list[Waiting]:
        """What is not settled, by lane and topic, in order of sending; streams with nothing are there too."""
        with self._open() as connection:
            states = load(connection)
        found = []
        for state in states.values():
            in_flight = state.lease.records if state.lease else 0
            times = [state.oldest_ms] if state.oldest_ms else []
            times += [state.lease.at_ms] if state.lease else []
            found.append(
                Waiting(state.lane.value, state.topic, state.depth, in_flight, min(times) if times else None)
            )
        order = ("alert", "live", "backfill", "bulk")
        return sorted(found, key=lambda waiting: (order.index(waiting.lane), waiting.topic))

    def tail(self, count: int, *, lane: str | None = None, topic: str | None = None) -> list[Entry]:
        """The newest records, oldest of them first. Blocks that do not read are left out."""
        found: list[Entry] = []
        with self._open() as connection:
            states = load(connection)
            for state in states.values():
                if lane in (None, state.lane.value) and topic in (None, state.topic):
                    found += _newest(connection, states, state, count)
        return sorted(found, key=lambda entry: entry.number)[-count:]

    def dead_letters(self, count: int) -> list[DeadLetter]:
        """The newest refused records, oldest of them first."""
        query = "SELECT number, lane, topic, at_ms, reason, body FROM dead_letters ORDER BY id DESC LIMIT ?"
        with self._open() as connection:
            rows = connection.execute(query, (count,)).fetchall()
        return [
            DeadLetter(number, lane, topic, at_ms, reason, _only(body))
            for number, lane, topic, at_ms, reason, body in reversed(rows)
        ]

    def losses(self, count: int) -> list[Loss]:
        """The newest entries of the loss ledger, oldest of them first."""
        query = "SELECT lane, topic, first, last, records, reason, at_ms FROM ledger ORDER BY id DESC LIMIT ?"
        with self._open() as connection:
            rows = connection.execute(query, (count,)).fetchall()
        return [Loss(*row) for row in reversed(rows)]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self._path.exists():
            raise LogUnreadable(f"there is no log at {self._path}")
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=_PATIENCE_S, isolation_level=None
            )
            with contextlib.closing(connection):
                # Noise where text should be is shown as such, and where a body should be it fails its checksum.
                connection.text_factory = lambda raw: raw.decode(errors="replace")
                connection.execute("BEGIN")
                self._recognise(connection)
                yield connection
        except (sqlite3.Error, *NOISE) as fault:
            raise LogUnreadable(f"{self._path} cannot be read: {fault}{_hint(fault)}") from fault

    def _recognise(self, connection: sqlite3.Connection) -> None:
        (identity,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if identity != APPLICATION_ID:
            raise LogUnreadable(f"{self._path} is no log of tidegate")
        if version != FORMAT:
            raise LogUnreadable(f"{self._path} is of another version of tidegate (format {version}, not {FORMAT})")


def _hint(fault: BaseException) -> str:
    code = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    # Even a reader of a write-ahead log shares memory with the writer, in a file that it must be able to write.
    denied = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
    return " (be root, or the user that the daemon runs as)" if code in denied else ""


def _newest(
    connection: sqlite3.Connection, states: dict[int, StreamState], state: StreamState, count: int
) -> Iterator[Entry]:
    rows = connection.execute(
        "SELECT key, records, at_ms, checksum, body FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC",
        (key_of(state.id, 0), key_of(state.id, MAX_NUMBER)),
    )
    left = count
    for key, records, at_ms, checksum, body in rows:
        if left <= 0:
            return
        first = key & ((1 << NUMBER_BITS) - 1)
        try:
            if checksum != blocks.checksum(key, records, body):
                continue
            decoded = blocks.decode(body, records)
        except (ValueError, TypeError):
            continue
        standing = _standing(states, state, first)
        for index in range(len(decoded) - 1, max(len(decoded) - left, 0) - 1, -1):
            yield Entry(first + index, state.lane.value, state.topic, at_ms, standing, decoded[index])
        left -= len(decoded)


def _standing(states: dict[int, StreamState], own: StreamState, first: int) -> Standing:
    """How a block stands: it may be leased or pending in a stream that did not take it."""
    for state in states.values():
        lease = state.lease
        if lease is not None and lease.origin == own.id and lease.first <= first <= lease.last:
            return "in flight"
        if any(part.origin == own.id and part.first <= first <= part.last for part in state.ranges):
            return "pending"
    return "pending" if first >= own.head else "settled"


def _only(body: bytes) -> Record | None:
    try:
        return blocks.decode(body, 1)[0]
    except (ValueError, TypeError, IndexError):
        return None
