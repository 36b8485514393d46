"""A log file that was put aside, as far as it reads: what it holds undelivered, and what it says of itself.

Where it no longer says what was delivered, everything readable counts as undelivered.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sync.log.book import lineage, losses, streams
from sync.log.book.streams import Range
from sync.log.clock import Stamp
from sync.log.disk import blocks, faults, schema
from sync.log.disk.blocks import Block
from sync.log.disk.names import SUFFIX, Names
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.packs import pack as packs
from sync.values import Lane, Standing

if TYPE_CHECKING:
    from pathlib import Path

    from sync.log.book.losses import Loss
    from sync.log.book.streams import Lease, StreamState

MISREAD: Final = (sqlite3.Error, *faults.NOISE)
"""What reading it can raise."""


@dataclass(frozen=True, slots=True)
class Part:
    """Undelivered blocks of a stream of the old file. `records` is None where it cannot say how many."""

    lane: Lane
    topic: str
    blocks: Range
    records: int | None
    mark: bool = False
    lease: Lease | None = None


class Wreck:
    """The old file, open; without a connection where nothing of it reads.

    `log_id`, `lineage` and its highest number `given` are as far as it says them. `uncounted` is the log id of one
    that cannot say how many records it held.
    """

    def __init__(
        self, path: Path, parts: list[Part], connection: sqlite3.Connection | None, uncounted: str | None
    ) -> None:
        self.path = path
        self.parts = parts
        self.connection = connection
        self.uncounted = uncounted
        self.log_id, self.lineage, self.given = _named(connection)

    @staticmethod
    def open(path: Path, *, patient: bool) -> Wreck:
        """Open a file, of an earlier format too if that can be brought to ours.

        Raises:
            OtherFormat: this version does not read the file; nothing in it was changed.
            sqlite3.Error: the disk does not let us look; later it may. Who is not `patient` takes what cannot be
                read for lost.
        """
        connection = None
        names = Names.read(path.with_name(path.name + SUFFIX))
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, check_same_thread=False)
            connection.execute("PRAGMA cell_size_check=1")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > 0 and version != schema.FORMAT:
                schema.connect(path).close()
            try:
                states = streams.load(connection)
            except MISREAD as error:
                if patient and faults.passing(error):
                    raise
                states = {}
            parts = _parts(states) if states else _parts_of(names)
            uncounted = names.log_id if parts and not states else None
            return Wreck(path, parts, connection, uncounted)
        except (*MISREAD, schema.OtherFormat) as error:
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()
            if isinstance(error, schema.OtherFormat) or (patient and faults.passing(error)):
                raise
            return Wreck(path, [], None, names.log_id)

    def read(self, origin: int, at: int, last: int) -> tuple[int, Block, Stamp] | None:
        """The next block that can be read; damage is stepped over in growing steps.

        Of when it was taken only the wall clock and its trust go over: its run is none of the new file's.
        """
        if self.connection is None:
            return None
        stride = 1
        while at <= last:
            try:
                row = self.connection.execute(
                    "SELECT key, records, body, at_ms, synced, checksum FROM blocks WHERE key BETWEEN ? AND ?"
                    " ORDER BY key LIMIT 1",
                    (key_of(origin, at), key_of(origin, last)),
                ).fetchone()
                if row is None:
                    return None
                key, records, body, at_ms, synced, checksum = row
                number = int(key) & MAX_NUMBER
                held = blocks.records_of(key, records, body, checksum)
                if number >= at and held is not None:
                    if packs.is_pack(body):
                        packs.unpack(body)
                    return number, Block(number, held, body), Stamp(int(at_ms), 0, 0, int(synced))
                at = max(at, number) + 1
            except (*MISREAD, BufferError):
                at += stride
                stride *= 2
        return None

    def unreported(self) -> tuple[list[Loss], bool]:
        """What the old file knew of losses, and had not told; and whether some of it is noise."""
        if self.connection is None:
            return [], False
        try:
            found, noisy = losses.unreported(self.connection)
        except MISREAD:
            return [], True
        return found, noisy > 0

    def close(self) -> None:
        """Let go of it."""
        if self.connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None


def _named(connection: sqlite3.Connection | None) -> tuple[str, lineage.Lineage, int]:
    """The old file's log id, those that it had before, and its highest number, as far as it says them."""
    log_id, known, given = "", lineage.Lineage(), 0
    if connection is None:
        return log_id, known, given
    with contextlib.suppress(*MISREAD):
        log_id, known = lineage.load(connection)
        given = int(connection.execute("SELECT max(given) FROM streams").fetchone()[0] or 0)
    return log_id, known, given


def _parts_of(names: Names) -> list[Part]:
    """All that is in the blocks of the streams that there were; which of it a fork was to rename, its names say."""
    return [
        Part(Lane(lane), topic, Range(number, 1, MAX_NUMBER, 0, Standing.RENAMED_MARKED), None, mark=True)
        for number, (lane, topic) in names.streams.items()
    ]


def _parts(states: dict[int, StreamState]) -> list[Part]:
    """What the file holds undelivered: leases first, then by lane."""
    ordered = sorted(states.values(), key=lambda state: (streams.ORDER[state.lane], state.id))
    parts = [
        Part(
            state.lane,
            state.topic,
            Range(state.lease.origin, state.lease.first, state.lease.last, 0),
            None,
            lease=state.lease,
        )
        for state in ordered
        if state.lease is not None
    ]
    for state in ordered:
        parts += [
            # What waits for a decision cannot wait in the new file; it goes marked, as if it had been adopted (D11).
            Part(
                state.lane,
                state.topic,
                part,
                None if part.standing is Standing.RECALLED else part.records,
                mark=part.standing.marked or part.standing.waits,
            )
            for part in state.ranges
        ]
        if state.open_records:
            own = Range(state.id, state.head, MAX_NUMBER, state.open_records)
            parts.append(Part(state.lane, state.topic, own, state.open_records))
    return parts
