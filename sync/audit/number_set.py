"""Sets of record numbers: a bit each, in pieces; of whole pieces in a row, however many, only the ends are kept."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BITS: Final = 1 << 15
_WHOLE: Final = (1 << _BITS) - 1


class NumberSet:
    """Numbers from 0 on. A billion in the worst order take 125 megabytes; a range takes what its ends take."""

    def __init__(self) -> None:
        # Neither empty nor whole.
        self._pieces: dict[int, int] = {}
        # Rows of whole pieces, in order, that do not touch: the first and the last piece of each.
        self._begins: list[int] = []
        self._ends: list[int] = []

    def add(self, first: int, last: int) -> None:
        """Take in all from `first` to `last`."""
        if first > last:
            return
        self._fill(-(-first // _BITS), (last + 1) // _BITS - 1)
        for piece in {first // _BITS, last // _BITS}:
            self._merge(piece, _mask(piece, first, last))

    def count(self, first: int, last: int) -> int:
        """How many of the numbers from `first` to `last` are in it."""
        whole = sum(ended - begun + 1 for begun, ended in self._rows(first, last))
        return whole + sum(bits.bit_count() for _, bits in self._singles(first, last))

    def __len__(self) -> int:
        whole = sum(ended - begun + 1 for begun, ended in zip(self._begins, self._ends, strict=True))
        return whole * _BITS + sum(bits.bit_count() for bits in self._pieces.values())

    def __contains__(self, number: int) -> bool:
        return bool(self.count(number, number))

    def __or__(self, other: NumberSet) -> NumberSet:
        union = NumberSet()
        union._pieces = dict(self._pieces)
        union._begins, union._ends = list(self._begins), list(self._ends)
        for begun, ended in zip(other._begins, other._ends, strict=True):
            union._fill(begun, ended)
        for piece, bits in other._pieces.items():
            union._merge(piece, bits)
        return union

    @property
    def lowest(self) -> int | None:
        """The smallest number, None of an empty set."""
        lows = [self._begins[0] * _BITS] if self._begins else []
        if self._pieces:
            piece = min(self._pieces)
            bits = self._pieces[piece]
            lows.append(piece * _BITS + (bits & -bits).bit_length() - 1)
        return min(lows, default=None)

    @property
    def highest(self) -> int | None:
        """The largest number, None of an empty set."""
        highs = [self._ends[-1] * _BITS + _BITS - 1] if self._ends else []
        if self._pieces:
            piece = max(self._pieces)
            highs.append(piece * _BITS + self._pieces[piece].bit_length() - 1)
        return max(highs, default=None)

    def runs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of `first` to `last` is in it, as ranges that do not touch."""
        singles = (
            (piece * _BITS + low, piece * _BITS + high)
            for piece, bits in self._singles(first, last)
            for low, high in _runs(bits)
        )
        return joined(heapq.merge(self._rows(first, last), singles))

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of `first` to `last` is not in it, as ranges that do not touch."""
        at = first
        for begun, ended in self.runs(first, last):
            if at < begun:
                yield at, begun - 1
            at = ended + 1
        if at <= last:
            yield at, last

    def _merge(self, piece: int, bits: int) -> None:
        at = bisect_left(self._ends, piece)
        if at < len(self._begins) and self._begins[at] <= piece:
            return
        merged = self._pieces.get(piece, 0) | bits
        if merged == _WHOLE:
            self._fill(piece, piece)
        else:
            self._pieces[piece] = merged

    def _fill(self, low: int, high: int) -> None:
        """Make the pieces from `low` to `high` whole."""
        if low > high:
            return
        for piece in self._kept(low, high):
            del self._pieces[piece]
        # Rows that touch it become one with it.
        at, until = bisect_left(self._ends, low - 1), bisect_right(self._begins, high + 1)
        if at < until:
            low, high = min(low, self._begins[at]), max(high, self._ends[until - 1])
        self._begins[at:until], self._ends[at:until] = [low], [high]

    def _kept(self, low: int, high: int) -> list[int]:
        """Those of the pieces from `low` to `high` that are neither empty nor whole, in order."""
        if high - low < len(self._pieces):
            return [piece for piece in range(low, high + 1) if piece in self._pieces]
        return sorted(piece for piece in self._pieces if low <= piece <= high)

    def _singles(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """The bits of `first` to `last` in pieces that are not whole."""
        for piece in self._kept(first // _BITS, last // _BITS):
            yield piece, self._pieces[piece] & _mask(piece, first, last)

    def _rows(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of `first` to `last` is in whole pieces."""
        for at in range(bisect_left(self._ends, first // _BITS), len(self._begins)):
            begun, ended = self._begins[at] * _BITS, self._ends[at] * _BITS + _BITS - 1
            if begun > last:
                return
            yield max(first, begun), min(last, ended)


def _mask(piece: int, first: int, last: int) -> int:
    """The bits of a range in one piece that it touches."""
    low, high = max(first - piece * _BITS, 0), min(last - piece * _BITS, _BITS - 1)
    return (1 << high + 1) - (1 << low) if low <= high else 0


def _runs(bits: int) -> Iterator[tuple[int, int]]:
    """Where ones stand in a row."""
    at = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        at += zeros
        ones = (~bits & bits + 1).bit_length() - 1
        yield at, at + ones - 1
        bits >>= ones
        at += ones


def joined(runs: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges in their order, with those that touch made one."""
    held: tuple[int, int] | None = None
    for first, last in runs:
        if held is not None and held[1] + 1 == first:
            held = held[0], last
            continue
        if held is not None:
            yield held
        held = first, last
    if held is not None:
        yield held
