"""Records as they lie in a log's file, each with how it stands: for people, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sync.log.book import rows, streams
from sync.log.disk import blocks, packed
from sync.log.disk.schema import MAX_NUMBER, NUMBER_BITS, key_of
from sync.log.packs import pack as packs

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from typing import Any

    from sync.log.disk.blocks import Record
    from sync.values import Lane

_NO_TIME_MS: Final = 1 << 47
"""Beyond what a calendar has: noise, for the checksum does not cover a block's time."""
COLUMNS: Final = "key, records, at_ms, checksum, body"


@dataclass(frozen=True, slots=True)
class Entry:
    """One record in the log; `record` is None where its block is damaged.

    `state` is pending, leased, settled, or thinned: aggregates went in its place, and it is removed by and by.
    """

    seq: int
    lane: Lane
    topic: str
    at_ms: int
    state: str
    record: Record | None


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block as it was found: `body` is None where it is damaged, and then nobody knows how many records it had."""

    first: int
    records: int
    lane: Lane
    topic: str
    at_ms: int
    state: str
    body: bytes | None

    def entries(self) -> Iterator[Entry]:
        """Its records; of a damaged block one without content."""
        if self.body is not None:
            try:
                runs, found = packed.runs_of(self.records, self.body), iter(blocks.decode(self.body, self.records))
            except (ValueError, TypeError):
                pass
            else:
                first = self.first
                for run in runs:
                    for number, record in zip(range(first, first + run.records), found, strict=False):
                        yield Entry(number, self.lane, self.topic, self.at_ms + run.later_ms, self.state, record)
                    first += run.records + run.gap
                return
        yield Entry(self.first, self.lane, self.topic, self.at_ms, self.state, None)

    @property
    def last(self) -> int:
        """Its last number."""
        return self.first + self.records - 1 + packs.gap_of(self.body or b"")


class Standings:
    """How a stream's blocks stand, in one snapshot of the file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.streams = streams.load(connection)
        self._discards = rows.discarded(connection)

    def chosen(self, lane: Lane | None, topic: str | None) -> list[int]:
        """The streams of a lane and a topic; `lane` is the one that records came in by."""
        return [
            state.id for state in self.streams.values() if lane in {None, state.lane} and topic in {None, state.topic}
        ]

    def found(self, row: tuple[Any, ...]) -> StoredBlock:
        """What a row of `COLUMNS` says, as far as its checksum bears it out."""
        key, records, at_ms, checksum, body = row
        origin, number = key >> NUMBER_BITS, key & MAX_NUMBER
        held = blocks.records_of(key, records, body, checksum)
        if held is None:
            held, body = 1, None
        state = self.streams[origin]
        taken_ms = at_ms if isinstance(at_ms, int) and 0 <= at_ms < _NO_TIME_MS else 0
        return StoredBlock(number, held, state.lane, state.topic, taken_ms, self._state(origin, number), body)

    def _state(self, origin: int, number: int) -> str:
        for other in self.streams.values():
            lease = other.lease
            if lease is not None and lease.origin == origin and lease.first <= number <= lease.last:
                return "leased"
        if any(first <= number <= last for first, last in streams.protected(self.streams, origin)):
            return "pending"
        key = key_of(origin, number)
        return "thinned" if any(first <= key <= last for first, last in self._discards) else "settled"
