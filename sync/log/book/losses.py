"""The loss ledger and the dead letters as they lie on the disk: entries read, and those that are noise told apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sync.log.disk.schema import MAX_NUMBER
from sync.values import Lane

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

LATEST_MS: Final = 253_402_300_799_999
"""The last moment that has a timestamp: the end of the year 9999."""
NOISE: Final = "corrupt entry in the loss ledger"
COLUMNS: Final = (
    "lane, topic, first, last, records, reason, at_ms, until_ms, log_id, into_first, into_last, into_records"
)
_LANES: Final = {"", *(lane.value for lane in Lane)}


@dataclass(frozen=True, slots=True)
class Loss:
    """Undelivered records of a lane and topic that are gone: how many, which, why and when.

    `first` and `last` are of the log `log_id`, and None where a damaged file no longer says them. `lane` is None
    where no record ever had the numbers. `into_…`: the numbers of the aggregates that stand for them. Of one that is
    `uncounted`, `topic` says what happened, and `records` nothing.
    """

    lane: Lane | None
    topic: str
    first: int | None
    last: int | None
    records: int
    reason: str
    at_ms: int
    until_ms: int
    log_id: str = ""
    into_first: int | None = None
    into_last: int | None = None
    into_records: int | None = None

    @property
    def uncounted(self) -> bool:
        """Whether nobody knows how many records are gone, or which."""
        return self.lane is None and self.first is None


_UNREADABLE: Final = Loss(None, NOISE, None, None, 0, "corrupt", 0, 0)


def load(connection: sqlite3.Connection) -> tuple[dict[int, Loss], list[int]]:
    """What was not yet told, by its number in the ledger; and the numbers of such entries that are noise."""
    rows = connection.execute(f"SELECT id, {COLUMNS} FROM ledger WHERE reported=0").fetchall()  # noqa: S608 - our own names
    found = {row[0]: read(row[1:]) for row in rows}
    known = {number: loss for number, loss in found.items() if loss is not None}
    return known, [number for number, loss in found.items() if loss is None]


def unreported(connection: sqlite3.Connection) -> tuple[list[Loss], int]:
    """What a file has not told yet, as far as it can be read, and how many entries are corrupt.

    Raises:
        sqlite3.Error: the file is damaged there, or of an older format.
    """
    rows = connection.execute(f"SELECT {COLUMNS} FROM ledger WHERE reported=0")  # noqa: S608 - our own names
    return _readable(rows.fetchall())


def newest(connection: sqlite3.Connection, count: int) -> list[Loss]:
    """The newest entries, oldest of them first. A corrupt one is an uncounted loss; once told it has its own."""
    query = f"SELECT reported, {COLUMNS} FROM ledger ORDER BY id DESC LIMIT ?"  # noqa: S608 - as above
    rows = connection.execute(query, (count,)).fetchall()
    found = [(reported, read(row)) for reported, *row in reversed(rows)]
    return [loss or _UNREADABLE for reported, loss in found if loss is not None or reported == 0]


def read(row: Sequence[Any]) -> Loss | None:
    """An entry as it is on the disk; None where noise stands in it."""
    lane, topic, first, last, records, reason, at_ms, until_ms, log_id, *into = row
    texts = (lane, topic, reason, "" if log_id is None else log_id)
    numbers_in = (records, *(number for number in (first, last, *into) if number is not None))
    if not (
        all(isinstance(text, str) for text in texts)
        and lane in _LANES
        and all(isinstance(number, int) and 0 <= number <= MAX_NUMBER for number in numbers_in)
        and all(isinstance(moment, int) and 0 <= moment <= LATEST_MS for moment in (at_ms, until_ms))
        and (first is None or last is None or first <= last)
    ):
        return None
    return Loss(Lane(lane) if lane else None, *row[1:])


def _readable(rows: Sequence[Sequence[Any]]) -> tuple[list[Loss], int]:
    found = [loss for row in rows if (loss := read(row)) is not None]
    return found, len(rows) - len(found)


def count_dead_letters(connection: sqlite3.Connection) -> int:
    """How many there are: they are numbered one by one, and only the oldest are ever removed."""
    row = connection.execute("SELECT (SELECT max(id) FROM dead_letters) - (SELECT min(id) FROM dead_letters)")
    span = row.fetchone()[0]
    return 0 if span is None else int(span) + 1
