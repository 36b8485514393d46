"""`farm.sqlite`: one writer on a thread of its own, so that a slow disk never holds the loop up."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from array import array
from concurrent.futures import ThreadPoolExecutor
from math import isnan, nan
from statistics import median
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeVar

from agent.records.tables import connect, error_of
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

Answer = TypeVar("Answer")

_HOUR: Final = 60
_MINUTES_KEPT_H: Final = 8 * 24
HOURS_KEPT: Final = 400 * 24
_OUTGOING_KEPT_MS: Final = 31 * 86_400_000
_BATCH: Final = 500


class Event(NamedTuple):
    """An event as it lies in the file; `seq` is its place in the order of recording."""

    seq: int
    id: str
    recorded_ms: int
    body: str


class Told(NamedTuple):
    """What has yet to go upstream. `table` and `id` name it; `schema` says what kind of record it is."""

    table: Literal["events", "outgoing"]
    id: str
    schema: str
    made_ms: int
    body: str


class Hour(NamedTuple):
    """One sensor's hour (counted since 1970): the median of its minute means, and how many minutes had one."""

    sensor_id: str
    hour: int
    median: float
    seen: int


class FarmFile:
    """The open file. Every method but `close` runs on the file's own thread.

    Each raises NotReady if the disk does not take it now, and Misconfigured if the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "tidegate-farm")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file, unless it is."""
        await self._call(lambda _: None)

    async def close(self) -> None:
        """Close the file; the next use opens it again."""

        def closing() -> None:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

        await asyncio.get_running_loop().run_in_executor(self._thread, closing)

    async def events(self) -> list[Event]:
        """All events, in the order of recording."""
        return await self._call(
            lambda db: [
                Event(*row) for row in db.execute("SELECT seq, id, recorded_ms, body FROM events ORDER BY seq")
            ]
        )

    async def add(
        self, events: Sequence[tuple[str, str]], recorded_ms: int, outgoing: Sequence[Told] = ()
    ) -> list[Event]:
        """Record events, by id and body, and what goes upstream about them: on disk when this is done, all or none.

        An id that is there already changes nothing; the answer holds the new ones only.
        """

        def adding(db: sqlite3.Connection) -> list[Event]:
            added = []
            for name, body in events:
                found = db.execute(
                    "INSERT OR IGNORE INTO events (id, recorded_ms, body) VALUES (?, ?, ?) RETURNING seq",
                    (name, recorded_ms, body),
                ).fetchone()
                if found is not None:
                    added.append(Event(found[0], name, recorded_ms, body))
            _put(db, outgoing)
            return added

        return await self._commit(adding)

    async def put(self, outgoing: Sequence[Told], meta: Mapping[str, int] | None = None) -> None:
        """Keep records that are to go upstream, and numbers under their names; an id that is there stays as it is."""

        def putting(db: sqlite3.Connection) -> None:
            _put(db, outgoing)
            for name, value in (meta or {}).items():
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

        await self._commit(putting)

    async def number(self, name: str) -> int | None:
        """A number kept under a name."""
        found = await self._call(lambda db: db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone())
        return None if found is None else int(found[0])

    async def untold(self) -> list[Told]:
        """The oldest of what has yet to go upstream."""

        def asking(db: sqlite3.Connection) -> list[Told]:
            events = db.execute(
                "SELECT id, recorded_ms, body FROM events WHERE told = 0 ORDER BY seq LIMIT ?", (_BATCH,)
            ).fetchall()
            others = db.execute(
                "SELECT id, schema, made_ms, body FROM outgoing WHERE told = 0 ORDER BY made_ms, id LIMIT ?",
                (_BATCH,),
            ).fetchall()
            return [
                *(Told("events", name, "", at, body) for name, at, body in events),
                *(Told("outgoing", *row) for row in others),
            ]

        return await self._call(asking)

    async def mark(self, told: Iterable[Told]) -> None:
        """Note that these are in the log."""

        def marking(db: sqlite3.Connection) -> None:
            for one in told:
                table = "events" if one.table == "events" else "outgoing"
                db.execute(f"UPDATE {table} SET told = 1 WHERE id = ?", (one.id,))  # noqa: S608 - one of two names

        await self._commit(marking)

    async def add_minutes(self, means: Mapping[str, Mapping[int, float]], now_minute: int) -> list[Hour]:
        """Keep minute means, by sensor and minute; a minute that has one keeps it. The hours as they are now.

        What is past its time is removed with it.
        """

        def adding(db: sqlite3.Connection) -> list[Hour]:
            changed = []
            for sensor_id, minutes in means.items():
                for hour in sorted({minute // _HOUR for minute in minutes}):
                    here = {minute % _HOUR: mean for minute, mean in minutes.items() if minute // _HOUR == hour}
                    changed.append(_add_to_hour(db, sensor_id, hour, here))
            now_hour = now_minute // _HOUR
            db.execute(
                "UPDATE hours SET minutes = NULL WHERE hour < ? AND hour >= ? AND minutes NOT NULL",
                (now_hour - _MINUTES_KEPT_H, now_hour - _MINUTES_KEPT_H - 48),
            )
            db.execute("DELETE FROM hours WHERE hour < ?", (now_hour - HOURS_KEPT,))
            db.execute(
                "DELETE FROM outgoing WHERE told = 1 AND made_ms < ?", (now_minute * 60_000 - _OUTGOING_KEPT_MS,)
            )
            return changed

        return await self._commit(adding)

    async def hours(self, since: int) -> list[Hour]:
        """All hours from one on."""
        return await self._call(
            lambda db: [
                Hour(*row)
                for row in db.execute("SELECT sensor, hour, median, seen FROM hours WHERE hour >= ?", (since,))
            ]
        )

    async def hours_of(self, sensor_id: str, since: int) -> list[Hour]:
        """The hours of one sensor from one on."""
        return await self._call(
            lambda db: [
                Hour(*row)
                for row in db.execute(
                    "SELECT sensor, hour, median, seen FROM hours WHERE hour >= ? AND sensor = ?", (since, sensor_id)
                )
            ]
        )

    async def _commit(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        def transaction(db: sqlite3.Connection) -> Answer:
            db.execute("BEGIN IMMEDIATE")
            try:
                answer = work(db)
                db.execute("COMMIT")
            except BaseException:  # raised on at once; a transaction must not stay open
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            return answer

        return await self._call(transaction)

    async def _call(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    def _run(self, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
        if self._connection is None:
            self._connection = connect(self._path)
        try:
            return work(self._connection)
        except sqlite3.Error as fault:
            # What the file holds after an error is read from the disk again.
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
            raise error_of(fault, self._path) from fault


def read_events(path: Path) -> list[Event]:
    """All events of a file, beside a daemon that may be running.

    Raises:
        NotReady: there is no such file, or it cannot be read.
    """
    if not path.exists():
        raise NotReady(f"there is no {path}", "has a daemon with a farm section run here?")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as db:
            return [Event(*row) for row in db.execute("SELECT seq, id, recorded_ms, body FROM events ORDER BY seq")]
    except sqlite3.Error as fault:
        raise NotReady(f"{path} cannot be read: {fault}", "is it a farm.sqlite?") from fault


def _put(db: sqlite3.Connection, outgoing: Iterable[Told]) -> None:
    db.executemany(
        "INSERT OR IGNORE INTO outgoing (id, schema, made_ms, body) VALUES (?, ?, ?, ?)",
        [(one.id, one.schema, one.made_ms, one.body) for one in outgoing],
    )


def _add_to_hour(db: sqlite3.Connection, sensor_id: str, hour: int, means: Mapping[int, float]) -> Hour:
    found = db.execute(
        "SELECT median, seen, minutes FROM hours WHERE hour = ? AND sensor = ?", (hour, sensor_id)
    ).fetchone()
    if found is not None and found[2] is None:
        return Hour(sensor_id, hour, found[0], found[1])  # too old to be changed
    minutes = array("d", [nan] * _HOUR) if found is None else array("d", found[2])
    for place, mean in means.items():
        if isnan(minutes[place]):
            minutes[place] = mean
    known = [mean for mean in minutes if not isnan(mean)]
    kept = Hour(sensor_id, hour, median(known), len(known))
    db.execute(
        "INSERT OR REPLACE INTO hours (hour, sensor, median, seen, minutes) VALUES (?, ?, ?, ?, ?)",
        (hour, sensor_id, kept.median, kept.seen, minutes.tobytes()),
    )
    return kept
