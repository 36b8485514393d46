"""How a stream's blocks stand, number by number: what may become one pack, and what must stay apart."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from sync.log.disk.schema import MAX_NUMBER, NUMBER_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.log.book.content import Book


class Kind(Enum):
    """How blocks stand; those that are `KEPT` are leased, or wait to be removed."""

    PENDING = auto()
    SETTLED = auto()
    KEPT = auto()


@dataclass(frozen=True, slots=True)
class Parts:
    """At each of `borders`, in order, another part begins, and `kinds` says what it is."""

    borders: list[int]
    kinds: list[Kind]

    def at(self, number: int) -> tuple[int, Kind]:
        """Which part a block is in that begins with a number, and what that is."""
        place = bisect_right(self.borders, number) - 1
        return place, self.kinds[place]


def parts_of(book: Book, origin: int) -> Parts:
    """The parts of a stream's own blocks. What went as one run of batches is a part for itself (D7)."""
    pieces = [*_held(book, origin), (book.streams[origin].head, MAX_NUMBER, Kind.PENDING)]
    borders = {0, *(first for first, _, _ in pieces), *(last + 1 for _, last, _ in pieces)}
    for state in book.streams.values():
        for run in (state.run, *state.earlier):
            if run is not None and run.origin == origin:
                borders.update((run.first, run.last + 1))
    ordered = sorted(borders)
    kinds = []
    for border in ordered:
        found = {kind for first, last, kind in pieces if first <= border <= last}
        kinds.append(Kind.KEPT if Kind.KEPT in found else Kind.PENDING if found else Kind.SETTLED)
    return Parts(ordered, kinds)


def _held(book: Book, origin: int) -> Iterator[tuple[int, int, Kind]]:
    for state in book.streams.values():
        yield from ((part.first, part.last, Kind.PENDING) for part in state.ranges if part.origin == origin)
        if state.lease is not None and state.lease.origin == origin:
            yield state.lease.first, state.lease.last, Kind.KEPT
    for first_key, last_key in book.discards:
        if first_key >> NUMBER_BITS == origin:
            yield first_key & MAX_NUMBER, last_key & MAX_NUMBER, Kind.KEPT
