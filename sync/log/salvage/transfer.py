"""What a file that was put aside still holds undelivered is brought over, in slices between commits.

Bodies go over as they are, so each record keeps its name. A lease goes over with its batch, so that it is sent
again under its own id and sequence. What was `live` becomes `backfill`. Where the file no longer says what was
delivered, everything readable goes, marked `possibly_repeated`.

How far it came is in the log's `meta`, in the commit that brought it so far, the end included: only then is the
file named as one that holds nothing any more. A log that is itself put aside meanwhile hands that on.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

from sync.log.book import numbers
from sync.log.book.streams import Range
from sync.log.disk import aside, blocks, packed, schema
from sync.log.disk.schema import MAX_NUMBER
from sync.log.leasing import fork, restamp
from sync.log.ledger import entries
from sync.log.ledger.entries import Missing
from sync.log.salvage.wreck import MISREAD, Wreck
from sync.values import Lane

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from sync.log.book.content import Book
    from sync.log.book.streams import Lease, StreamState
    from sync.log.clock import Stamp
    from sync.log.disk.blocks import Block
    from sync.log.salvage.wreck import Part

log = logging.getLogger("tidegate.log")

SLICE_S: Final = 0.01
_META: Final = "salvage:"
"""Of each file, by its name, how far it is emptied."""
_DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a salvage is: the part, the next number in it, records saved of the part and in all.

    `marked`: all of it goes marked, for some may have been brought over before. `told`: what the old file had not
    told yet of its own losses has been taken over. `uncounted`: nobody knows how much of it was lost.
    """

    part: int = 0
    at: int = 0
    of_part: int = 0
    saved: int = 0
    marked: bool = False
    told: bool = False
    uncounted: bool = False


class Salvage:
    """Empties a file part by part. How far it came is on disk with what it brought over."""

    def __init__(self, wreck: Wreck, progress: Progress) -> None:
        self._wreck = wreck
        parts = wreck.parts
        self._parts = [replace(part, mark=True, lease=None) for part in parts] if progress.marked else parts
        if replace(progress, marked=False, told=False, uncounted=False) == Progress() and parts:
            progress = replace(progress, at=parts[0].blocks.first)
        self._kept = self._now = progress
        self._ended = False

    @staticmethod
    def next(book: Book, *, patient: bool) -> Salvage | None:
        """Begin or go on with a file that was put aside: the newest first, for it knows how far older ones are.

        Raises:
            sqlite3.Error, OSError: the disk does not let us look; later it may. Who is not `patient` takes what
                cannot be read for lost.
        """
        path = book.settings.path
        notes = _notes(book.connection)
        newest = max(aside.files(path), default=None, key=lambda file: file.name.rpartition("-")[2])
        for file in reversed(aside.waiting(path)):
            note = notes.get(file.name)
            if note == _DONE:
                aside.emptied(path, file)
                continue
            # Of an older one of which nothing is known any more, a part may have been brought over already.
            progress = _progress(note) if note is not None else Progress(marked=file != newest)
            try:
                return Salvage(Wreck.open(file, patient=patient), progress)
            except schema.OtherFormat as other:
                log.error("%s is kept: %s", file, other)  # noqa: TRY400 - its sentence says it
                aside.set_apart(path, file, other.number)
        return None

    @property
    def path(self) -> Path:
        """The old file."""
        return self._wreck.path

    @property
    def saved(self) -> int:
        """Records brought over so far, on disk."""
        return self._kept.saved

    @property
    def finished(self) -> bool:
        """Whether nothing is left to bring over, and that is on disk."""
        return self._ended

    def step(self, book: Book) -> None:
        """Bring over what a slice of time allows, in the book's transaction; `keep` or `rewind` follows."""
        if self._ended:
            return  # it was said already that nothing is left
        until = time.monotonic() + SLICE_S
        if not self._now.told:
            losses, noisy = self._wreck.unreported()
            for loss in losses:
                entries.keep(book, loss)
            self._now = replace(self._now, told=True, uncounted=self._now.uncounted or noisy)
        while self._now.part < len(self._parts) and time.monotonic() < until:
            part = self._parts[self._now.part]
            if part.lease is not None:
                self._bring_lease(book, part, part.lease)
                self._next_part()
            elif not self._bring_block(book, part):
                self._finish(book, part)
                self._next_part()
        book.more = True
        notes = [(_META + self._wreck.path.name, json.dumps(asdict(self._now)))]
        if self._now.part >= len(self._parts):
            if self._wreck.uncounted is not None or self._now.uncounted:
                log_id = self._wreck.uncounted or self._wreck.log_id
                entries.lose_uncounted(
                    book, "corrupt", log_id, f"{self._wreck.path.name} could not be read completely"
                )
            handed_on = _notes(self._wreck.connection) if self._wreck.connection is not None else {}
            notes = [(_META + name, note) for name, note in {**handed_on, self._wreck.path.name: _DONE}.items()]
        book.connection.executemany("INSERT OR REPLACE INTO meta VALUES(?,?)", notes)

    def keep(self) -> None:
        """The transaction is on disk."""
        self._kept = self._now
        self._ended = self._kept.part >= len(self._parts)

    def rewind(self) -> None:
        """The transaction was undone."""
        self._now = self._kept

    def give_up(self) -> None:
        """Bring over no more of a file that cannot be gone on with; that is told as a loss nobody can count."""
        self._kept = self._now = replace(self._kept, part=len(self._parts), told=True, uncounted=True)
        self._ended = False

    def close(self) -> None:
        """Let go of the old file."""
        self._wreck.close()

    def _bring_block(self, book: Book, part: Part) -> bool:
        found = self._wreck.read(part.blocks.origin, self._now.at, part.blocks.last)
        if found is None:
            return False
        number, block, taken = found
        known, log_id, renamed = self._wreck.lineage, self._wreck.log_id, part.blocks.standing.renamed
        lane = Lane.BACKFILL if part.lane is Lane.LIVE else part.lane
        for piece in _pieces(book, block, changes=renamed or part.mark):
            kept = fork.as_it_leaves(book.settings, part.topic, piece, known, log_id, renamed=renamed, mark=part.mark)
            self._add(book, book.stream(lane, part.topic), kept, taken)
        self._now = replace(
            self._now,
            at=number + block.last - block.first + 1,
            of_part=self._now.of_part + block.records,
            saved=self._now.saved + block.records,
        )
        return True

    def _bring_lease(self, book: Book, part: Part, lease: Lease) -> None:
        """Bring a leased batch over as a whole, under its lease; or what is left of it, marked."""
        found: list[tuple[Block, Stamp]] = []
        at = lease.first
        while (row := self._wreck.read(lease.origin, at, lease.last)) is not None:
            found.append((row[1], row[2]))
            at = row[0] + row[1].last - row[1].first + 1
        left = sum(block.records for block, _ in found)
        state = book.stream(part.lane, part.topic)
        if part.lane is Lane.LIVE and state.depth:
            state = book.stream(Lane.BACKFILL, part.topic)
        whole = left == lease.records and not state.depth
        first = book.next_number
        for block, taken in found:
            for piece in _pieces(book, block, changes=not whole):
                kept = piece if whole else blocks.mark_repeated(piece, book.settings.compression_level)
                self._add(book, state, kept, taken)
        if whole:
            state.take(Range(state.id, state.head, MAX_NUMBER, left), book.next_number - 1, left)
            state.lease = replace(lease, origin=state.id, first=first, last=book.next_number - 1)
        self._now = replace(self._now, saved=self._now.saved + left)
        if left < lease.records:
            self._lose(book, state, Missing(lease.first, lease.last, lease.records - left, "corrupt"))

    def _finish(self, book: Book, part: Part) -> None:
        if part.records is not None and part.records > self._now.of_part:
            last = min(part.blocks.last, self._wreck.given) if self._wreck.given else None
            lost = part.records - self._now.of_part
            missing = Missing(part.blocks.first, last, lost, "corrupt")
            self._lose(book, book.stream(part.lane, part.topic), missing)

    def _add(self, book: Book, state: StreamState, block: Block, taken: Stamp) -> None:
        """Add a block as it is; its numbers here are no records' names (L10)."""
        moved = replace(block, first=book.next_number)
        book.add(state, moved, taken)
        numbers.brought(book, moved)
        entries.skip(book, moved.first, moved.last, "salvaged")

    def _lose(self, book: Book, state: StreamState, missing: Missing) -> None:
        """Tell a loss by the old file's own numbers, where it still says them."""
        if missing.last is None or not self._wreck.log_id:
            missing = replace(missing, first=None, last=None)
        log_id = self._wreck.lineage.log_id_of(missing.first, self._wreck.log_id)
        entries.note(book, state.lane, state.topic, missing, log_id=log_id)
        book.lost[missing.reason] += missing.records

    def _next_part(self) -> None:
        number = self._now.part + 1
        at = self._parts[number].blocks.first if number < len(self._parts) else 0
        self._now = replace(self._now, part=number, at=at, of_part=0)


def _pieces(book: Book, block: Block, *, changes: bool) -> list[Block]:
    """A pack goes over as it is, unless its records change."""
    return packed.unpacked(block, restamp.MOST_RECORDS, book.settings.compression_level) if changes else [block]


def _progress(note: str) -> Progress:
    """What a note says; where it is noise, all may have been brought over already."""
    try:
        found = Progress(**json.loads(note))
    except (ValueError, TypeError):
        return Progress(marked=True)
    fits = all(isinstance(number, int) and number >= 0 for number in asdict(found).values())
    return found if fits else Progress(marked=True)


def _notes(connection: sqlite3.Connection) -> dict[str, str]:
    """How far which file is emptied, as a log has it; nothing where it cannot be read."""
    try:
        found = connection.execute("SELECT name, value FROM meta WHERE name LIKE ?", (_META + "%",)).fetchall()
        return {str(name).removeprefix(_META): str(note) for name, note in found}
    except MISREAD:
        return {}
