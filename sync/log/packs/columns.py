"""Columns of integers as bytes: each byte of the numbers lies with its like, and zstd makes them small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import cramjam
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

LEVEL: Final = 12
"""Of zstd. What is small at all is small at this level already."""

MOST: Final = 1 << 20
"""Of numbers in a column."""


class Cursor:
    """Reads a pack's parts one after the other.

    Everything here raises ValueError where the bytes end before a part does.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self.at = at

    def number(self) -> int:
        """A number from 0 on, seven bits a byte."""
        value = shift = 0
        while True:
            if self.at >= len(self._data) or shift > 63:
                raise ValueError("a pack ends too early")
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def part(self) -> bytes:
        """A part with its length in front."""
        length = self.number()
        found = self._data[self.at : self.at + length]
        if len(found) != length:
            raise ValueError("a pack ends too early")
        self.at += length
        return found

    def compressed(self) -> bytes:
        """A compressed part."""
        whole = self.part()
        try:
            return bytes(cramjam.zstd.decompress(whole)) if whole else b""
        except cramjam.DecompressionError as error:
            raise ValueError(f"a part of a pack does not read: {error}") from error

    def integers(self, count: int) -> Integers:
        """A column of so many integers."""
        width = self.number()
        if width > 8 or count > MOST:
            raise ValueError("a column of too many bytes")
        found = np.zeros(count, np.uint64)
        for place in range(width):
            plane = self.compressed()
            if len(plane) != count:
                raise ValueError(f"a column has {len(plane)} bytes, not {count}")
            found |= np.frombuffer(plane, np.uint8).astype(np.uint64) << np.uint64(8 * place)
        return ((found >> np.uint64(1)) ^ (np.uint64(0) - (found & np.uint64(1)))).view(np.int64)


def number(value: int) -> bytes:
    """See `Cursor.number`."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def sized(part: bytes) -> bytes:
    """See `Cursor.part`."""
    return number(len(part)) + part


def compressed(part: bytes, level: int = LEVEL) -> bytes:
    """See `Cursor.compressed`."""
    return sized(bytes(cramjam.zstd.compress(part, level=level)) if part else b"")


def integers(values: Integers) -> bytes:
    """See `Cursor.integers`. Numbers near 0 of either sign are short."""
    zigzag = ((values << np.int64(1)) ^ (values >> np.int64(63))).view(np.uint64)
    most = int(zigzag.max()) if len(zigzag) else 0
    width = (most.bit_length() + 7) // 8
    planes = [compressed((zigzag >> np.uint64(8 * place)).astype(np.uint8).tobytes()) for place in range(width)]
    return b"".join((number(width), *planes))


def difference(values: Integers, before: int) -> Integers:
    """Each number's difference to the one before it, the first one's to `before`."""
    found: Integers = np.diff(values, prepend=before)
    return found


def cost(values: Integers) -> float:
    """About how many bits a column takes: by how often each of its numbers comes."""
    counts: Any = np.unique(values, return_counts=True)[1]
    return float((counts * np.log2(len(values) / counts)).sum()) if len(values) else 0.0
