"""Reading a log's file from beside it, for people: what is pending, the newest records, dead letters, losses.

Each question opens the file, asks little and closes it, so that no snapshot is held over a commit of the
daemon. It also reads the file of a daemon that is not running.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlite_utils import Database

from sync.log.book import losses, streams
from sync.log.clock import Clock, Timeline
from sync.log.disk import blocks, faults, schema
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.inspect import export, undelivered
from sync.log.inspect.records import COLUMNS, Standings
from sync.values import Lane, NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sync.log.book.losses import Loss
    from sync.log.disk.blocks import Record
    from sync.log.inspect.export import Selection
    from sync.log.inspect.records import Entry
    from sync.log.inspect.undelivered import Undelivered


@dataclass(frozen=True, slots=True)
class Depth:
    """One stream: records pending, leased, and waiting for a decision (D11).

    `oldest_at_ms` is when (ms since the epoch) the oldest pending was taken, 0 for none; `oldest_s` its age, which a
    clock that was set since does not change (C4, C5).
    """

    lane: Lane
    topic: str
    partition: int | None
    pending: int
    leased: int
    oldest_at_ms: int
    oldest_s: float = 0.0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that Kafka refused for itself."""

    seq: int
    lane: Lane
    topic: str
    at_ms: int
    reason: str
    record: Record | None


class LogReader:
    """Answers from a log's file. Every method raises NotReady where there is no log that can be read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def identity(self) -> tuple[str, int]:
        """The log id, and the number of its newest run."""
        with self._open() as connection:
            meta = dict(connection.execute("SELECT name, value FROM meta").fetchall())
            return str(meta.get("log_id", "")), int(meta.get("run", 0))

    def depth(self) -> list[Depth]:
        """What is not settled, stream by stream, in the order of lanes."""
        with self._open() as connection:
            partitions = dict(connection.execute("SELECT name, partition FROM topics").fetchall())
            found = sorted(streams.load(connection).values(), key=lambda state: (streams.ORDER[state.lane], state.id))
            timeline = _timeline(connection)
            taken = {state.id: state.oldest_ms for state in streams.load(connection, timeline).values()}
        return [
            Depth(
                state.lane,
                state.topic,
                partitions.get(state.topic),
                state.pending,
                state.lease.records if state.lease else 0,
                state.oldest_ms,
                max(timeline.now.mono_ms - taken[state.id], 0) / 1_000 if state.pending else 0.0,
                state.waiting,
            )
            for state in found
        ]

    def tail(self, count: int, *, lane: Lane | None = None, topic: str | None = None) -> list[Entry]:
        """The newest records that the log still holds, oldest of them first; `lane` is the one they came in by."""
        entries: list[Entry] = []
        with self._open() as connection:
            standings = Standings(connection)
            for stream in standings.chosen(lane, topic):
                entries += _newest(connection, standings, stream, count)
        return sorted(entries, key=lambda entry: entry.seq)[-count:]

    def export(self, wanted: Selection) -> Iterator[Entry]:
        """Every record of a selection that the log holds by now, in the order of numbers.

        However slowly they are taken, no snapshot is held meanwhile. What is trimmed before its turn is left out.

        Raises:
            NotReady: also where another file took the log's place: its numbers say other things.
        """
        identity = self._identity()
        with self._open() as connection:
            wanted = replace(wanted, last=min(wanted.last, undelivered.last_number(connection)[1]))
        at: int | None = wanted.first
        while at is not None:
            with self._open() as connection:
                if self._identity() != identity:
                    raise NotReady(f"{self._path} was replaced by another file", "start again")
                found = export.piece(connection, wanted, at)
            yield from wanted.entries(found)
            at = found.next_number

    def last_number(self) -> tuple[str, int]:
        """The log's id, and the highest number in the file."""
        with self._open() as connection:
            return undelivered.last_number(connection)

    def first_number(self) -> int:
        """The first number that the log gave under its present id."""
        with self._open() as connection:
            return undelivered.first_number(connection)

    def undelivered(self, on_block: Callable[[Undelivered], None]) -> None:
        """Call `on_block` with each block that is not settled."""
        with self._open() as connection:
            for block in undelivered.undelivered(connection):
                on_block(block)

    def unreported(self) -> list[Loss]:
        """Entries of the loss ledger that were not told upstream yet."""
        with self._open() as connection:
            return losses.unreported(connection)[0]

    def dead_letters(self, count: int) -> list[DeadLetter]:
        """The newest dead letters, oldest of them first."""
        with self._open() as connection:
            rows = list(Database(connection)["dead_letters"].rows_where(order_by="id desc", limit=count))
        return [
            DeadLetter(
                row["number"], Lane(row["lane"]), row["topic"], row["at_ms"], row["reason"], _first(row["body"])
            )
            for row in reversed(rows)
        ]

    def losses(self, count: int) -> list[Loss]:
        """The newest entries of the loss ledger, oldest of them first."""
        with self._open() as connection:
            return losses.newest(connection, count)

    def _identity(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except PermissionError as error:
            raise self._no_right() from error
        except OSError as error:
            raise NotReady(f"no log at {self._path}", "start the daemon once, or check gateway.state_dir") from error
        if not stat.S_ISREG(found.st_mode):
            raise NotReady(f"{self._path} is not a file", "check gateway.state_dir")
        if not os.access(self._path, os.R_OK):
            raise self._no_right()
        return found.st_dev, found.st_ino

    def _no_right(self) -> NotReady:
        return NotReady(f"no permission to read {self._path}", "run as root, or join the group that owns it")

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._identity()
        # Without a WAL nobody is writing, and a reader may lack the right to make one.
        wal = self._path.with_name(self._path.name + "-wal")
        written_to = wal.exists()
        options = "mode=ro" if written_to else "mode=ro&immutable=1"
        connection = None
        try:
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?{options}", uri=True, isolation_level=None, timeout=1.0
            )
            # Noise where text should be is shown as such; where a body should be it fails its checksum.
            connection.text_factory = lambda raw: raw.decode(errors="replace")
            # One snapshot for all that one question asks.
            connection.execute("BEGIN")
            self._expect_our_format(connection)
            yield connection
            if not written_to and wal.exists():
                raise NotReady(f"a daemon started writing {self._path} during the read", "try again")
        except (sqlite3.Error, *faults.NOISE) as error:
            cure = (
                "try again"
                if faults.passing(error)
                else ("if it is corrupt, the daemon puts it aside at its next start")
            )
            raise NotReady(f"{self._path} cannot be read: {error}", cure) from error
        finally:
            if connection is not None:
                connection.close()

    def _expect_our_format(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            raise NotReady(f"{self._path} is not a log", "start the daemon once, or check gateway.state_dir")
        if not schema.reads(version):
            raise NotReady(f"{self._path}: {schema.OtherFormat(version)}", "read it with that version")
        if version < schema.FORMAT:
            raise NotReady(
                f"{self._path}: an earlier version of tidegate wrote it, in format {version}",
                "the daemon upgrades it at its next start; nothing is lost",
            )


def _timeline(connection: sqlite3.Connection) -> Timeline:
    """This boot's clocks, as the daemon that wrote the file knew them."""
    clock = Clock()
    timeline = Timeline(clock)
    noted = connection.execute("SELECT value FROM meta WHERE name='clock'").fetchone()
    runs = connection.execute("SELECT run FROM runs WHERE boot=? AND boot<>'unknown'", (clock.boot,))
    timeline.begin(frozenset(run for (run,) in runs), noted[0] if noted else None)
    timeline.look(-1)
    return timeline


def _newest(connection: sqlite3.Connection, standings: Standings, stream: int, count: int) -> list[Entry]:
    entries: list[Entry] = []
    for row in connection.execute(
        f"SELECT {COLUMNS} FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC",  # noqa: S608 - our own names
        (key_of(stream, 0), key_of(stream, MAX_NUMBER)),
    ):
        entries += standings.found(row).entries()
        if len(entries) >= count:
            break
    return entries


def _first(body: bytes) -> Record | None:
    try:
        return blocks.decode(body, 1)[0]
    except (ValueError, TypeError, IndexError):
        return None
