"""Blocks: the records section of a Kafka batch (magic 2), zstd-compressed, encoded once when the log takes it.

Timestamp deltas are 0, so that the header written when a batch leaves says the time of sending for all its
records (D5). Each record carries its name, `ce_id` and `ce_source`, which stay for ever (D10). Joining and
splitting renumber the records in the section and touch nothing else of them.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import cramjam
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from sync.log.disk.numbering import DIGITS, MANY, SHORT, VARINTS, bounds, encoded, numbered, renumbered, varint
from sync.log.packs import pack as packs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sync.log.clock import Stamp
    from sync.values import Envelope

MAX_RECORDS: Final = 4_000
"""In a block as it is taken; a pack may hold `MOST_RECORDS`."""
MOST_RECORDS: Final = max(MAX_RECORDS, packs.MOST_RECORDS)
MAX_BYTES: Final = 512 * 1024
MIN_BYTES: Final = 16 * 1024
POSSIBLY_REPEATED: Final = ("possibly_repeated", b"1")

ZSTD: Final = b"\x28\xb5\x2f\xfd"
"""How a body begins that is no pack."""
_HEADER: Final = 61
_PLAIN_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_KEYED: Final = struct.Struct(">qi")
_COUNTED: Final = struct.Struct(">qiq")
_LOW: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Block:
    """Records of one lane and topic, compressed in `body`: their numbers are `first` to `last`.

    Only between the numbers of a pack there may be those of other streams.

    `raw_bytes` is the size of the section before compression, 0 where the block came from the disk; `taken` is
    what its row says of when, None where it has none yet.
    """

    first: int
    records: int
    body: bytes
    raw_bytes: int = 0
    taken: Stamp | None = None

    @property
    def last(self) -> int:
        """The last record's number."""
        return self.first + self.records - 1 + packs.gap_of(self.body)


Header = tuple[str, bytes | None]


@dataclass(frozen=True, slots=True)
class Record:
    """One decoded record."""

    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]

    def saying(self, header: tuple[str, bytes]) -> Record:
        """The same record with this header, in place of another of its name."""
        return replace(self, headers=(*(kept for kept in self.headers if kept[0] != header[0]), header))


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

    A single record may be larger than `max_bytes`. Written out here, a third of the cost of the library's builder:
    records share the bytes of their headers, but for the last value if that alone differs (the time of each), and of
    their names all but the last three digits.

    Raises:
        TypeError, ValueError, AttributeError: a record holds something else than bytes, or text in a header.
    """
    blocks: list[Block] = []
    parts: list[bytes] = []
    source = _header(*namer.source)
    keys: dict[bytes, bytes] = {}
    headers: object = None
    alike: object = None
    last, room, named_until, fixed = "", 0, 0, 0
    before = said = named = b""
    digits = DIGITS
    start, size = first, 0
    for number, (_, _, key, value, own) in enumerate(records, first):
        if own is not headers or number >= named_until:
            headers = own
            if own:
                name, said = own[-1]
            if number >= named_until or not own or own[:-1] != alike or name != last or len(said) != room:
                # Not only the last header is another one than that of the record before.
                before, named, digits, named_until = _around_last_header(own, namer.prefix, number)
                alike, last, room = (own[:-1], name, len(said)) if own else (None, "", 0)
                said = said if own else b""
                fixed = 2 + len(before) + room + len(named) + len(source)
        keyed = keys.get(key)
        if keyed is None:
            keyed = keys[key] = _sized(key)
        long = len(value)
        sized = VARINTS[long] if long < MANY else varint(long)
        delta = VARINTS[number - start]
        end = digits[number % 1_000]
        length = fixed + len(delta) + len(keyed) + len(sized) + long + len(end)
        whole = VARINTS[length] if length < MANY else varint(length)
        if parts and (size + len(whole) + length > max_bytes or number - start >= max_records):
            blocks.append(_block(start, number - start, parts, level))
            parts.clear()
            start, size = number, 0
            length += 1 - len(delta)
            delta = VARINTS[0]
            whole = encoded(length)
        size += len(whole) + length
        parts += (whole, b"\0\0", delta, keyed, sized, value, before, said, named, end, source)
    if parts:
        blocks.append(_block(start, number - start + 1, parts, level))
    return blocks


def _block(first: int, records: int, parts: list[bytes], level: int) -> Block:
    raw = b"".join(parts)
    return Block(first, records, compress(raw, level), len(raw))


def _around_last_header(
    headers: Sequence[tuple[str, bytes]], prefix: bytes, number: int
) -> tuple[bytes, bytes, tuple[bytes, ...], int]:
    """A record's headers up to the value of the last; its name up to the last digits, these, and where that ends."""
    if number >= 1_000:
        most, digits, until = b"%b%d" % (prefix, number // 1_000), DIGITS, number // 1_000 * 1_000 + 1_000
    else:
        most, digits, until = prefix, SHORT, 10 ** len(str(number))
    name_length = encoded(len(most) + len(digits[number % 1_000]))
    parts = [encoded(len(headers) + 2), *(_header(name, value) for name, value in headers[:-1])]
    if headers:
        name, value = headers[-1]
        parts += (_sized(name.encode()), encoded(len(value)))
    return b"".join(parts), b"".join((_sized(b"ce_id"), name_length, most)), digits, until


def _header(name: str, value: bytes) -> bytes:
    return _sized(name.encode()) + _sized(value)


def _sized(field: bytes) -> bytes:
    return encoded(len(field)) + field


def compress(raw: bytes | memoryview, level: int) -> bytes:
    """One zstd frame."""
    return bytes(cramjam.zstd.compress(raw, level=level))


def decompress(body: bytes) -> bytes:
    """The records section as it was encoded.

    Raises:
        ValueError, cramjam.DecompressionError: the body is damaged.
    """
    if packs.is_pack(body):
        return packs.unpack(body)
    return bytes(cramjam.zstd.decompress(body))


def checksum(key: int, records: int, before: int, body: bytes) -> int:
    """A row's checksum, of 64 bits: the upper half is over its counts, the lower half over its count and its body.

    So the counts of a row can be believed without its body being read.
    """
    counts = zlib.crc32(_COUNTED.pack(key, records, before))
    return (counts - (1 << 32) if counts >> 31 else counts) << 32 | _over_body(key, records, body)


def counted(key: int, records: Any, before: Any, found: Any) -> bool:
    """Whether a row's counts are as they were written: how many records it holds, and how many were ahead of it."""
    return (
        isinstance(records, int)
        and 0 < records < 1 << 31
        and isinstance(before, int)
        and isinstance(found, int)
        and zlib.crc32(_COUNTED.pack(key, records, before)) == found >> 32 & _LOW
    )


def intact(key: int, records: Any, body: Any, found: Any) -> bool:
    """Whether a row's count and body are as they were written (L6). A corrupt field need not even be of its type."""
    return (
        isinstance(records, int)
        and 0 < records < 1 << 31
        and isinstance(body, bytes)
        and isinstance(found, int)
        and _over_body(key, records, body) == found & _LOW
    )


def records_of(key: int, records: Any, body: Any, found: Any) -> int | None:
    """How many records a row holds; if its count is corrupt, what its body holds; None if that is too (L6)."""
    if intact(key, records, body, found):
        return int(records)
    try:
        held = _count(decompress(body))
    except Exception:  # noqa: BLE001 - what is corrupt fails in the decompressor's own ways
        return None
    return held if intact(key, held, body, found) else None


def _over_body(key: int, records: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_KEYED.pack(key, records)))


def _count(raw: bytes) -> int:
    """How many records a section holds."""
    for index, (_, stop) in enumerate(bounds(raw, len(raw)), 1):
        if stop >= len(raw):
            return index
    return 0


def join(parts: Iterable[tuple[int, bytes]], level: int) -> bytes:
    """One body of several, each given with its count of records."""
    return compress(joined(parts), level)


def joined(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """One section of several bodies, each given with its count of records."""
    out: list[bytes] = []
    base = 0
    for records, body in parts:
        out.extend(renumbered(decompress(body), records, base))
        base += records
    return b"".join(out)


def split(block: Block, sizes: Sequence[int], level: int) -> list[Block]:
    """Blocks of so many records each, in order; `sizes` add up to the block's records."""
    raw = decompress(block.body)
    pieces: list[Block] = []
    taken = 0
    stretches = [*bounds(raw, block.records), (len(raw), len(raw))]
    for size in sizes:
        section = bytearray()
        for index in range(taken, taken + size):
            rest, stop = stretches[index]
            section += numbered(index - taken, raw[rest:stop])
        pieces.append(Block(block.first + taken, size, compress(bytes(section), level), len(section), block.taken))
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
        return _records(decompress(body), records)
    except Exception as error:  # the decoders' own errors are of many unrelated kinds
        raise ValueError(f"no records can be read from this block: {error}") from error


def first_of(body: bytes) -> Record:
    """The first record of a body.

    Raises:
        ValueError: the body is no section.
    """
    try:
        raw = decompress(body)
        ((_, stop),) = bounds(raw, 1)
        return _records(raw[:stop], 1)[0]
    except Exception as error:  # as above
        raise ValueError(f"no record can be read from this block: {error}") from error


def _records(raw: bytes, records: int) -> list[Record]:
    header = _PLAIN_HEADER.pack(0, len(raw) + _HEADER - 12, -1, 2, 0, 0, records - 1, 0, 0, -1, -1, -1, records)
    return [Record(found.key, found.value, tuple(found.headers)) for found in DefaultRecordBatch(header + raw)]


def mark_repeated(block: Block, level: int) -> Block:
    """The same records, names unchanged, each saying that it may have been sent before."""
    return rewritten(block, marked, level)


def marked(record: Record) -> Record:
    """The record as it leaves where it may have been sent before."""
    return record.saying(POSSIBLY_REPEATED)


def renamed(record: Record, old: Namer, new: Namer) -> Record:
    """The record under the same number of another log id, where it has its name from `old`."""
    if old.source not in record.headers:
        return record
    return replace(record, headers=tuple(_renamed(header, old, new) for header in record.headers))


def _renamed(header: Header, old: Namer, new: Namer) -> Header:
    if header == old.source:
        return new.source
    name, value = header
    if name == "ce_id" and value is not None and value.startswith(old.prefix):
        return name, new.prefix + value.removeprefix(old.prefix)
    return header


def rewritten(block: Block, change: Callable[[Record], Record], level: int) -> Block:
    """The same block with each record changed; only a new log id may change their names (D10, D11)."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 30)
    for index, found in enumerate(decode(block.body, block.records)):
        record = change(found)
        builder.append(index, 0, record.key, record.value, list(record.headers))
    raw = memoryview(builder.build())[_HEADER:]
    return Block(block.first, block.records, compress(raw, level), len(raw), block.taken)
