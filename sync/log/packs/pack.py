"""A pack's bytes: made of a records section, and made a section of again, byte by byte the same."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import cramjam

from sync.log.packs import decoding, encoding, sections
from sync.log.packs.columns import Cursor, compressed, number

MOST_RECORDS: Final = 8_000
"""In one pack: it is leased whole, and making a batch of so many holds up the writer no longer than joining does."""
_MAGIC: Final = b"TGP1"
_HEADER: Final = struct.Struct(">4sIIQ")
HEADER_BYTES: Final = _HEADER.size
"""So much of a body is enough for `is_pack` and `gap_of`."""

Runs = list[tuple[int, int]]
"""How many records with consecutive numbers, and how many numbers of others follow before the next of them."""


def is_pack(body: bytes) -> bool:
    """Whether a block's body is a pack."""
    return body.startswith(_MAGIC)


def gap_of(body: bytes) -> int:
    """How many numbers of other streams lie between a pack's first and last; 0 for any other body."""
    if not is_pack(body) or len(body) < HEADER_BYTES:
        return 0
    return int(_HEADER.unpack_from(body)[3])


def runs_of(body: bytes) -> Runs:
    """Which of a pack's numbers are its own.

    Raises:
        ValueError: the body is no pack.
    """
    cursor = Cursor(body, HEADER_BYTES)
    told = Cursor(cursor.compressed())
    return [(told.number(), told.number()) for _ in range(told.number())]


def pack(section: bytes, runs: Runs, before_number: bytes) -> bytes | None:
    """A section as a pack; None if it would not come back the same, or gains nothing.

    Raises:
        ValueError, IndexError: it is no section of so many records.
    """
    records = sum(count for count, _ in runs)
    found = sections.parse(section, records, before_number)
    if found is None:
        return None
    gap = sum(gap for _, gap in runs)
    told = b"".join((number(len(runs)), *(number(count) + number(gap) for count, gap in runs)))
    body = b"".join(
        (
            _HEADER.pack(_MAGIC, zlib.crc32(section), len(section), gap),
            compressed(told),
            encoding.columns(found, records),
        )
    )
    # Not only of as many bytes: the very same.
    return body if unpack(body) == section else None


def unpack(body: bytes) -> bytes:
    """The section that a pack was made of.

    Raises:
        ValueError: it does not come back the same; or the body is no pack.
    """
    if not is_pack(body) or len(body) < HEADER_BYTES:
        raise ValueError("no pack of this format")
    _, digest, length, _ = _HEADER.unpack_from(body)
    cursor = Cursor(body, HEADER_BYTES)
    cursor.compressed()
    try:
        section = decoding.section(cursor)
    except (IndexError, OverflowError, MemoryError, StopIteration, cramjam.DecompressionError) as error:
        raise ValueError(f"a pack does not read: {error}") from error
    if len(section) != length or zlib.crc32(section) != digest:
        raise ValueError("a pack does not come back as it was made")
    return section
