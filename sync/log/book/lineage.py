"""Which log id names which numbers, and from where on nothing can have been sent (D10, D11).

A log that was restored from a backup, or copied, takes a new id. Numbers go on; the new id begins with the first
number that was given since this file was last known to be no copy: of those none has left.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from sync.log.disk.names import Names

_META: Final = "lineage"


@dataclass(frozen=True, slots=True)
class Renaming:
    """What one fork did to names: numbers of `old_id` from `border` on are of `log_id`."""

    old_id: str
    border: int
    log_id: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """The ids that this log had before, each with the number at which the next one begins.

    `unsent_from`: nothing from this number on has been sent; None once the log was compared with upstream.
    `behind`: the file beside the log knows of a later run, so the log is older than it.
    """

    earlier: tuple[tuple[str, int], ...] = ()
    unsent_from: int | None = None
    behind: bool = False

    @property
    def begins_at(self) -> int:
        """The first number of the present id."""
        return self.earlier[-1][1] if self.earlier else 1

    def together(self, number: int, other: int) -> bool:
        """Whether a fork that may yet come leaves both numbers under one id."""
        return self.unsent_from is None or (number < self.unsent_from) is (other < self.unsent_from)

    def log_id_of(self, number: int | None, present: str) -> str:
        """The id that a number was given under; `present` is the log's own now."""
        if number is not None:
            for log_id, until in self.earlier:
                if number < until:
                    return log_id
        return present

    def renaming(self, number: int, present: str) -> Renaming | None:
        """What a fork did to the name of a record that came in before it; None where all forks lie behind the number.

        Of several forks it is the one that gave the number the id that it has now: what forks after it changed begins
        further on. `present` is the log's own id now.
        """
        log_id = present
        for old_id, border in reversed(self.earlier):
            if number >= border:
                return Renaming(old_id, border, log_id)
            log_id = old_id
        return None


def opened(meta: Mapping[str, Any], names: Names, first: int, *, compared: bool) -> Lineage:
    """The lineage of a run that begins with `first`; `names` is what stands beside the file."""
    known = _read(meta.get(_META))
    behind = names.log_id == meta.get("log_id") and names.run > int(meta.get("run", 0))
    unsent_from = first if known.unsent_from is None else known.unsent_from
    return Lineage(known.earlier, None if compared else unsent_from, known.behind or behind)


def load(connection: sqlite3.Connection) -> tuple[str, Lineage]:
    """The log's id as it is on the disk, "" where the file is new, and its lineage."""
    rows = connection.execute("SELECT name, value FROM meta WHERE name IN ('log_id', ?)", (_META,)).fetchall()
    meta = dict(rows)
    return str(meta.get("log_id") or ""), _read(meta.get(_META))


def save(connection: sqlite3.Connection, lineage: Lineage) -> None:
    """Write it, in the transaction under way."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES(?,?)", (_META, json.dumps(asdict(lineage))))


def _read(text: Any) -> Lineage:
    if text is None:
        return Lineage()
    found = json.loads(text)
    earlier = tuple((str(log_id), int(until)) for log_id, until in found["earlier"])
    unsent = found["unsent_from"]
    return Lineage(earlier, None if unsent is None else int(unsent), bool(found["behind"]))
