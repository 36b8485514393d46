"""What went under which producer id and sequence, so that what a broker lost of it can go again (D7).

Nothing is kept a batch: sequences count records, and a stream's blocks stand in the order in which they went. So a
run of batches is two ends, and only where it breaks off (another stream's blocks, a gap, a cut) another begins.
Runs of an id are kept until the first batch under the next one is leased: nothing is asked about an id after that.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sync.log.book.streams import Range, Run
from sync.log.disk import blocks, packed
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.ledger import entries
from sync.log.ledger.entries import Missing
from sync.log.packs import pack as packs
from sync.values import WRAP, Standing

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.book.streams import Lease, StreamState
    from sync.values import Producer

_GONE: Final = 0
"""The origin of a run whose blocks are all trimmed: no stream has it."""


@dataclass(frozen=True, slots=True)
class Above:
    """What went above a sequence: `parts` are still here, `missing` records from `first` to `last` are not."""

    parts: list[Range]
    missing: int
    first: int | None
    last: int | None


def extend(book: Book, state: StreamState, lease: Lease) -> None:
    """Note that the broker has a leased batch, as the stream's row is written with the settle."""
    if lease.producer.id < 0:
        return
    run = state.run
    after = (lease.base_sequence + lease.records) % WRAP
    if run is not None and _follows(book, run, lease):
        state.run = replace(run, next_sequence=after, last=lease.last)
        return
    if run is not None and run.producer == lease.producer:
        state.earlier = _without_gone(book, [*state.earlier, run])
        state.earlier_changed = True
    state.run = Run(lease.producer, lease.base_sequence, after, lease.origin, lease.first, lease.last)


def begin(state: StreamState, producer: Producer) -> None:
    """A batch is leased under an id: what went under another is never asked for again."""
    if state.run is not None and state.run.producer != producer:
        state.run = None
        state.earlier_changed = state.earlier_changed or bool(state.earlier)
        state.earlier = []


def above(book: Book, state: StreamState, lease: Lease, last_sequence: int) -> Above:
    """What went under the lease's id after `last_sequence`, newest run first, and how much of it is here no more."""
    wanted = (lease.base_sequence - 1 - last_sequence) % WRAP
    if wanted >= WRAP // 2:
        wanted = 0
    parts: list[Range] = []
    missing = 0
    gone: list[int] = []
    runs = [] if state.run is None else [state.run, *reversed(state.earlier)]
    for run in runs:
        if wanted <= 0 or run.producer != lease.producer:
            break
        records = min(wanted, run.records)
        found, first = _newest(book, run, records)
        if found:
            parts.append(Range(run.origin, first, run.last, found, Standing.MARKED))
        if found < records:
            missing += records - found
            gone += [run.first, first - 1 if found else run.last]
        wanted -= records
    # What no run tells of went before a file was damaged.
    return Above(parts, missing + wanted, min(gone, default=None), max(gone, default=None))


def lose(book: Book, state: StreamState, lost: Above) -> None:
    """Write down what the broker lost and the local history no longer holds."""
    if lost.missing:
        entries.lose(book, state, Missing(lost.first, lost.last, lost.missing, "upstream"))


def _follows(book: Book, run: Run, lease: Lease) -> bool:
    """Whether a batch goes on where a run ended, with none of its origin's blocks between."""
    return (
        (run.producer, run.next_sequence, run.origin) == (lease.producer, lease.base_sequence, lease.origin)
        and run.last < lease.first
        # Numbers between may be of other streams, or of this one in another lane.
        and (run.last + 1 == lease.first or book.next_row(run.origin, run.last + 1, lease.first - 1) is None)
    )


def _newest(book: Book, run: Run, records: int) -> tuple[int, int]:
    """How many of a run's last `records` are still here, and the number of the block that they begin with."""
    found, first = 0, run.last + 1
    newest = book.connection.execute(
        "SELECT key, records, before, checksum FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC",
        (key_of(run.origin, run.first), key_of(run.origin, run.last)),
    )
    for key, count, before, checksum in newest:
        if found >= records:
            break
        number = key & MAX_NUMBER
        held = count if blocks.counted(key, count, before, checksum) else book.records_in(run.origin, number, number)
        found, first = found + held, number
    newest.close()
    if found > records:
        row = book.next_row(run.origin, first, first)
        if row is not None and row[2] and packs.is_pack(row[0].body):
            # A pack may hold several batches: of the first of them only the end is wanted.
            border = found - records
            with contextlib.suppress(ValueError):
                pieces = packed.unpacked(row[0], blocks.MAX_RECORDS, book.settings.compression_level, border=border)
                book.replace(run.origin, row[0], pieces)
                while border > 0:
                    border -= pieces.pop(0).records
                found, first = records, pieces[0].first
    return found, first


def _without_gone(book: Book, runs: list[Run]) -> list[Run]:
    """The same runs, with the oldest made one where the history no longer holds their blocks."""
    while len(runs) > 1 and all(_is_gone(book, run) for run in runs[:2]):
        runs = [replace(runs[1], base_sequence=runs[0].base_sequence, origin=_GONE, first=runs[0].first), *runs[2:]]
    return runs


def _is_gone(book: Book, run: Run) -> bool:
    return run.origin == _GONE or book.next_row(run.origin, run.first, run.last) is None
