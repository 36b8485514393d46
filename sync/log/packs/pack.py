"""A pack's bytes: made of a records section, and made a section of again, byte by byte the same."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from sync.log.packs import decoding, encoding, sections
from sync.log.packs.columns import Cursor, compressed, number

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_RECORDS: Final = 8_000
"""In one pack: it is leased whole, and making a batch of so many holds up the writer no longer than joining does."""
_MAGIC: Final = b"TGP1"
_HEADER: Final = struct.Struct(">4sIIQI")
_LONGEST_MS: Final = (1 << 32) - 1
HEADER_BYTES: Final = _HEADER.size
"""So much of a body is enough for `is_pack`, `gap_of`, `span_ms` and `unpacked_bytes`."""


class Run(NamedTuple):
    """Records with consecutive numbers that were taken together.

    `gap` numbers of other streams lie between them and the next run. They were taken `later_ms` after the first run.
    """

    records: int
    gap: int = 0
    later_ms: int = 0


def is_pack(body: bytes) -> bool:
    """Whether a block's body is a pack."""
    return body.startswith(_MAGIC)


def gap_of(body: bytes) -> int:
    """How many numbers of other streams lie between a pack's first and last; 0 for any other body."""
    if not is_pack(body) or len(body) < HEADER_BYTES:
        return 0
    return int(_HEADER.unpack_from(body)[3])


def span_ms(body: bytes) -> int:
    """How long after a pack's first records its last ones were taken; 0 for any other body."""
    return int(_HEADER.unpack_from(body)[4]) if is_pack(body) and len(body) >= HEADER_BYTES else 0


def unpacked_bytes(body: bytes) -> int:
    """How many bytes a body's section has; about, if it is no pack."""
    return int(_HEADER.unpack_from(body)[2]) if is_pack(body) and len(body) >= HEADER_BYTES else 16 * len(body)


def runs_of(body: bytes) -> list[Run]:
    """Which of a pack's numbers are its own.

    Raises:
        ValueError: the body is no pack.
    """
    cursor = Cursor(body, HEADER_BYTES)
    told = Cursor(cursor.compressed())
    return [Run(told.number(), told.number(), _signed(told.number())) for _ in range(told.number())]


def pack(section: bytes, runs: Sequence[Run], before_number: bytes) -> bytes | None:
    """A section as a pack; None if it would not come back the same, or gains nothing.

    Raises:
        ValueError, IndexError: it is no section of so many records.
    """
    records = sum(run.records for run in runs)
    found = sections.parse(section, records, before_number)
    if found is None:
        return None
    told = [number(len(runs))]
    for run in runs:
        told += (number(run.records), number(run.gap), number(_unsigned(run.later_ms)))
    gap, most_ms = sum(run.gap for run in runs), min(max(run.later_ms for run in runs), _LONGEST_MS)
    header = _HEADER.pack(_MAGIC, zlib.crc32(section), len(section), gap, max(most_ms, 0))
    body = b"".join((header, compressed(b"".join(told)), encoding.columns(found, records)))
    # Not only of as many bytes: the very same.
    return body if unpack(body) == section else None


def unpack(body: bytes) -> bytes:
    """The section that a pack was made of.

    Raises:
        ValueError: it does not come back the same; or the body is no pack.
    """
    if not is_pack(body) or len(body) < HEADER_BYTES:
        raise ValueError("no pack of this format")
    _, digest, length, _, _ = _HEADER.unpack_from(body)
    cursor = Cursor(body, HEADER_BYTES)
    cursor.compressed()
    try:
        section = decoding.section(cursor)
    except (IndexError, OverflowError, MemoryError, StopIteration) as error:
        raise ValueError(f"a pack does not read: {error}") from error
    if len(section) != length or zlib.crc32(section) != digest:
        raise ValueError("a pack does not come back as it was made")
    return section


def _unsigned(value: int) -> int:
    return value << 1 if value >= 0 else -(value << 1) - 1


def _signed(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
