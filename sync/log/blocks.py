"""Blocks: the records section of a Kafka batch (magic 2), zstd-compressed, encoded once when the log takes it.

Timestamp deltas are 0, so that the header written when a batch leaves says the time of sending for all its
records (D5). Each record carries its name, `ce_id` and `ce_source`, which stay for ever (D10). Joining and
splitting renumber the records in the section and touch nothing else of them.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import cramjam
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sync.values import Envelope

MAX_RECORDS: Final = 4_000
MAX_BYTES: Final = 512 * 1024
MIN_BYTES: Final = 16 * 1024
POSSIBLY_REPEATED: Final = ("possibly_repeated", b"1")

_HEADER: Final = 61
_PLAIN_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_KEYED: Final = struct.Struct(">qi")


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive records of one lane and topic: `first` to `first + records - 1`, compressed in `body`.

    `raw_bytes` is the size of the section before compression, 0 where the block came from the disk.
    """

    first: int
    records: int
    body: bytes
    raw_bytes: int = 0

    @property
    def last(self) -> int:
        """The last record's number."""
        return self.first + self.records - 1


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded record."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Namer:
    """Gives records their names: `ce_id` is the log id and the number, `ce_source` gateway and log id."""

    gateway_id: str
    log_id: str

    @property
    def source(self) -> tuple[str, bytes]:
        """The header that all records of this log share."""
        return ("ce_source", f"/gateways/{self.gateway_id}/logs/{self.log_id}".encode())

    @property
    def prefix(self) -> bytes:
        """What stands before the number in `ce_id`."""
        return f"{self.log_id}-".encode()


def encode(
    records: Sequence[Envelope],
    first: int,
    namer: Namer,
    level: int,
    *,
    max_bytes: int = MAX_BYTES,
    max_records: int = MAX_RECORDS,
) -> list[Block]:
    """Cut records, numbered from `first`, into blocks of at most so many records and bytes before compression.

    A single record may be larger than `max_bytes`.

    Raises:
        TypeError, ValueError, AttributeError: a record holds something else than bytes, or text in a header.
    """
    blocks: list[Block] = []
    source, prefix = namer.source, namer.prefix
    waiting = iter(records)
    number = first
    left_over: Envelope | None = None
    while True:
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, max_bytes + _HEADER)
        append = builder.append
        start = number
        if left_over is not None:
            head = left_over
            append(0, 0, head.key, head.value, [*head.headers, ("ce_id", b"%b%d" % (prefix, number)), source])
            number += 1
            left_over = None
        for record in islice(waiting, max_records - (number - start)):
            # A list per record, for the builder reads it in C; the typing stub does not know that a full
            # builder answers None.
            if (
                append(
                    number - start,
                    0,
                    record.key,
                    record.value,
                    [*record.headers, ("ce_id", b"%b%d" % (prefix, number)), source],
                )
                is None
            ):
                left_over = record
                break
            number += 1
        if number == start:
            return blocks
        raw = memoryview(builder.build())[_HEADER:]
        blocks.append(Block(start, number - start, compress(raw, level), len(raw)))


def compress(raw: bytes | memoryview, level: int) -> bytes:
    """One zstd frame."""
    return bytes(cramjam.zstd.compress(raw, level=level))


def decompress(body: bytes) -> bytes:
    """The records section as it was encoded."""
    return bytes(cramjam.zstd.decompress(body))


def checksum(key: int, records: int, body: bytes) -> int:
    """What a row's body must still match before it is sent; row and body are covered together."""
    return zlib.crc32(body, zlib.crc32(_KEYED.pack(key, records)))


def join(parts: Iterable[tuple[int, bytes]], level: int) -> bytes:
    """One body of several, each given with its count of records."""
    out: list[bytes] = []
    base = 0
    for records, body in parts:
        out.extend(_renumbered(decompress(body), records, base))
        base += records
    return compress(b"".join(out), level)


def split(block: Block, sizes: Sequence[int], level: int) -> list[Block]:
    """Blocks of so many records each, in order; `sizes` add up to the block's records."""
    raw = decompress(block.body)
    pieces: list[Block] = []
    taken = 0
    bounds = [*_bounds(raw, block.records), (len(raw), len(raw))]
    for size in sizes:
        section = bytearray()
        for index in range(taken, taken + size):
            rest, stop = bounds[index]
            section += _numbered(index - taken, raw[rest:stop])
        pieces.append(Block(block.first + taken, size, compress(bytes(section), level), len(section)))
        taken += size
    return pieces


def halve(block: Block, level: int) -> list[Block]:
    """Two blocks of about as many records (D4); a block of one record stays as it is."""
    if block.records == 1:
        return [block]
    half = block.records // 2
    return split(block, (half, block.records - half), level)


def decode(body: bytes, records: int) -> list[Record]:
    """The records of a body.

    Raises:
        ValueError: the body is no section of so many records.
    """
    try:
        raw = decompress(body)
        header = _PLAIN_HEADER.pack(0, len(raw) + _HEADER - 12, -1, 2, 0, 0, records - 1, 0, 0, -1, -1, -1, records)
        return [Record(found.key, found.value, tuple(found.headers)) for found in DefaultRecordBatch(header + raw)]
    except Exception as error:  # the decoders' own errors are of many unrelated kinds
        raise ValueError(f"no records can be read from this block: {error}") from error


def mark_repeated(block: Block, level: int) -> Block:
    """The same records, names unchanged, each saying that it may have been sent before."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    for index, record in enumerate(decode(block.body, block.records)):
        headers = [header for header in record.headers if header[0] != POSSIBLY_REPEATED[0]]
        builder.append(index, 0, record.key, record.value, [*headers, POSSIBLY_REPEATED])
    raw = memoryview(builder.build())[_HEADER:]
    return Block(block.first, block.records, compress(raw, level), len(raw))


def _varint(value: int) -> bytes:
    """A number from 0 on as Kafka writes it: zigzag, seven bits a byte."""
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_VARINTS: Final = tuple(_varint(value) for value in range(1 << 13))


def _encoded(value: int) -> bytes:
    return _VARINTS[value] if value < len(_VARINTS) else _varint(value)


def _numbered(index: int, rest: bytes) -> bytes:
    """One record: length, attributes, timestamp delta 0, offset delta, and the rest as it was."""
    delta = _encoded(index)
    return _encoded(2 + len(delta) + len(rest)) + b"\0\0" + delta + rest


def _renumbered(raw: bytes, records: int, base: int) -> Iterator[bytes]:
    for index, (rest, stop) in enumerate(_bounds(raw, records), base):
        delta = _VARINTS[index] if index < 1 << 13 else _varint(index)
        length = 2 + len(delta) + stop - rest
        yield _VARINTS[length] if length < 1 << 13 else _varint(length)
        yield b"\0\0"
        yield delta
        yield raw[rest:stop]


def _bounds(raw: bytes, records: int) -> Iterator[tuple[int, int]]:
    """Where each record's key begins and where the record ends."""
    position = 0
    for index in range(records):
        value = raw[position]
        position += 1
        if value > 0x7F:
            value &= 0x7F
            shift = 7
            while True:
                more = raw[position]
                position += 1
                value |= (more & 0x7F) << shift
                if more < 0x80:
                    break
                shift += 7
        stop = position + (value >> 1)
        # attributes and timestamp delta, a byte each, then the offset delta
        yield position + 2 + (1 if index < 64 else 2 if index < 8_192 else 3), stop
        position = stop
