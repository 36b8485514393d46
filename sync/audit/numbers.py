"""Sets of record numbers: a bit each, in pieces that cost next to nothing where they are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BITS: Final = 1 << 15
_WHOLE: Final = (1 << _BITS) - 1


class Numbers:
    """Numbers from 0 on. A billion of them, all there, take three megabytes; in the worst order 125."""

    def __init__(self) -> None:
        self._pieces: dict[int, int] = {}

    def add(self, first: int, last: int) -> None:
        """Take in all from `first` to `last`."""
        for piece, mask in _masks(first, last):
            merged = self._pieces.get(piece, 0) | mask
            # The one object for all whole pieces, so that they share its memory.
            self._pieces[piece] = _WHOLE if merged == _WHOLE else merged

    def count(self, first: int, last: int) -> int:
        """How many of the numbers from `first` to `last` are in it."""
        return sum((self._pieces.get(piece, 0) & mask).bit_count() for piece, mask in _masks(first, last))

    def __len__(self) -> int:
        return sum(bits.bit_count() for bits in self._pieces.values())

    def __contains__(self, number: int) -> bool:
        return bool(self._pieces.get(number // _BITS, 0) >> number % _BITS & 1)

    def __or__(self, other: Numbers) -> Numbers:
        union = Numbers()
        union._pieces = dict(self._pieces)
        for piece, bits in other._pieces.items():
            merged = union._pieces.get(piece, 0) | bits
            union._pieces[piece] = _WHOLE if merged == _WHOLE else merged
        return union

    @property
    def lowest(self) -> int | None:
        """The smallest number, None of an empty set."""
        pieces = [piece for piece, bits in self._pieces.items() if bits]
        if not pieces:
            return None
        piece = min(pieces)
        bits = self._pieces[piece]
        return piece * _BITS + (bits & -bits).bit_length() - 1

    @property
    def highest(self) -> int | None:
        """The largest number, None of an empty set."""
        pieces = [piece for piece, bits in self._pieces.items() if bits]
        if not pieces:
            return None
        piece = max(pieces)
        return piece * _BITS + self._pieces[piece].bit_length() - 1

    def runs(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of `first` to `last` is in it, as ranges that do not touch."""
        return joined(
            (piece * _BITS + low, piece * _BITS + high)
            for piece, mask in _masks(first, last)
            for low, high in _runs(self._pieces.get(piece, 0) & mask)
        )

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of `first` to `last` is not in it, as ranges that do not touch."""
        return joined(
            (piece * _BITS + low, piece * _BITS + high)
            for piece, mask in _masks(first, last)
            for low, high in _runs(~self._pieces.get(piece, 0) & mask)
        )


def _masks(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The pieces that a range touches, each with the bits of the range in it."""
    while first <= last:
        piece, low = divmod(first, _BITS)
        high = min(last - piece * _BITS, _BITS - 1)
        width = high - low + 1
        yield piece, _WHOLE if width == _BITS else (1 << width) - 1 << low
        first += width


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
