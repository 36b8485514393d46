"""Receipts: what sources want to know again of what they handed over, kept beside the block that holds it.

A source may be given again what it has handed over already, where its acknowledgement was lost with the power. Its
receipt, opaque here, is on disk exactly where its records are: in the row of the commit's first block, for a table of
its own would cost a page a commit.
"""

from __future__ import annotations

import struct
import zlib
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from sync.log.disk.schema import MAX_NUMBER, key_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_NAME_BYTES: Final = 8
_ENTRY: Final = struct.Struct("<8sI")
_CHECK: Final = struct.Struct("<I")
_MOST_BLOCKS: Final = 1_000
_MOST_BYTES: Final = 1024 * 1024


def pack(given: Iterable[tuple[str, bytes]]) -> bytes:
    """One commit's receipts, with a checksum in front; those of one name together."""
    by_name: dict[str, list[bytes]] = {}
    for name, receipt in given:
        by_name.setdefault(name, []).append(receipt)
    parts = []
    for name, kept in by_name.items():
        whole = b"".join(kept)
        parts += [_ENTRY.pack(_digest(name), len(whole)), whole]
    packed = b"".join(parts)
    return _CHECK.pack(zlib.crc32(packed)) + packed


def newest(connection: sqlite3.Connection, streams: Iterable[int], name: str) -> list[bytes]:
    """Receipts of a name in the newest blocks of the streams, oldest first; from a damaged one on, none older."""
    rows: list[tuple[int, bytes]] = []
    for stream in streams:
        size = 0
        for key, packed in connection.execute(
            "SELECT key, receipts FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?",
            (key_of(stream, 0), key_of(stream, MAX_NUMBER), _MOST_BLOCKS),
        ):
            if packed is not None:
                rows.append((key & MAX_NUMBER, packed))
                size += len(packed)
            if size > _MOST_BYTES:
                break
    found: list[bytes] = []
    for _, packed in sorted(rows, reverse=True):
        receipt = _unpack(packed, _digest(name))
        if receipt is None:
            break
        if receipt:
            found.append(receipt)
    return found[::-1]


def oldest_number(connection: sqlite3.Connection, stream: int) -> int:
    """From which number on a stream's blocks are among the newest, whose receipts are looked at."""
    row = connection.execute(
        "SELECT key FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT 1 OFFSET ?",
        (key_of(stream, 0), key_of(stream, MAX_NUMBER), _MOST_BLOCKS - 1),
    ).fetchone()
    return row[0] & MAX_NUMBER if row else 0


def _unpack(packed: bytes, wanted: bytes) -> bytes | None:
    """The receipt of a name among those of a commit, empty where there is none; None where they are damaged."""
    if len(packed) < _CHECK.size or _CHECK.unpack_from(packed)[0] != zlib.crc32(packed[_CHECK.size :]):
        return None
    at = _CHECK.size
    while at < len(packed):
        name, size = _ENTRY.unpack_from(packed, at)
        at += _ENTRY.size
        if name == wanted:
            return packed[at : at + size]
        at += size
    return b""


def _digest(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=_NAME_BYTES).digest()
