"""What a log's file says of numbers that are not in Kafka yet: for an audit with the gateway's own file at hand."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from sync.log.book import lineage, streams
from sync.log.book.streams import Range
from sync.log.disk import blocks, packed
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.ledger import notices

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from sync.log.book.lineage import Renaming
    from sync.log.disk.blocks import Record


@dataclass(frozen=True, slots=True)
class Undelivered:
    """Records of one block that are not settled, by the names that they leave under; `records` as they are."""

    log_id: str
    first: int
    last: int
    topic: str
    records: tuple[Record, ...]


def last_number(connection: sqlite3.Connection) -> tuple[str, int]:
    """The log's id, and the highest number in its file."""
    log_id, _ = lineage.load(connection)
    return log_id, int(connection.execute("SELECT max(given) FROM streams").fetchone()[0] or 0)


def first_number(connection: sqlite3.Connection) -> int:
    """The first number that the log gave under the id that it has now: above 1 if it forked (D11)."""
    _, known = lineage.load(connection)
    return known.begins_at


def undelivered(connection: sqlite3.Connection) -> Iterator[Undelivered]:
    """Every block that is pending, leased, or waits for a decision."""
    log_id, known = lineage.load(connection)
    for state in streams.load(connection).values():
        parts = state.parts
        if state.lease is not None:
            parts.append(Range(state.lease.origin, state.lease.first, state.lease.last, state.lease.records))
        for part in parts:
            for key, records, body, checksum in connection.execute(
                "SELECT key, records, body, checksum FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key",
                (key_of(part.origin, part.first), key_of(part.origin, part.last)),
            ):
                held = blocks.records_of(key, records, body, checksum)
                if held is None:
                    continue
                renaming = known.renaming(key & MAX_NUMBER, log_id) if part.standing.renamed else None
                for found in _named(body, held, state.topic):
                    yield found if renaming is None else _renamed(found, renaming)


def _renamed(found: Undelivered, renaming: Renaming) -> Undelivered:
    """What waits to be renamed, its events as they will tell of the numbers of the new id (D11)."""
    if found.log_id == renaming.old_id:
        found = replace(found, log_id=renaming.log_id)
    if found.topic != notices.EVENTS:
        return found
    numbers = asdict(renaming)
    told = (replace(record, value=notices.told_as(record.value, **numbers)) for record in found.records)
    return replace(found, records=tuple(told))


def _named(body: bytes, records: int, topic: str) -> Iterator[Undelivered]:
    """A block under its records' own names, which a salvage does not change; nothing if it does not read.

    A pack as several, if numbers of other streams lie between its own.
    """
    try:
        found = blocks.decode(body, records)
        runs = packed.runs_of(records, body)
        ce_id = dict(found[0].headers).get("ce_id") or b""
        log_id, _, number = ce_id.decode().rpartition("-")
        first = int(number)
    except (ValueError, TypeError, IndexError):
        return
    taken = 0
    for run in runs:
        last = first + run.records - 1
        yield Undelivered(log_id, first, last, topic, tuple(found[taken : taken + run.records]))
        taken, first = taken + run.records, last + 1 + run.gap
