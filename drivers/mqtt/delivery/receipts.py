"""The driver's receipts: which messages a batch held. What they are for is in `handled` and `marks`.

A receipt is a row of parts: a session's number, a first packet id, a count, and so many digests. No packet id is 0: a
part under it holds marks, whose digests are longer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = struct.Struct("<IHH")
_DIGEST_BYTES: Final = 4
MARK_BYTES: Final = 8
MOST_IN_PART: Final = 0xFFFF


def pack(session: int, first: int, digests: bytes) -> bytes:
    """One part."""
    return _HEAD.pack(session, first, len(digests) // (_DIGEST_BYTES if first else MARK_BYTES)) + digests


def parts(receipt: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Session, first id (0 for marks) and digests of each part.

    Raises:
        ValueError: it is cut off.
    """
    at = 0
    while at < len(receipt):
        if len(receipt) - at < _HEAD.size:
            raise ValueError("a receipt is cut off")
        session, first, count = _HEAD.unpack_from(receipt, at)
        at += _HEAD.size
        size = count * (_DIGEST_BYTES if first else MARK_BYTES)
        if size > len(receipt) - at:
            raise ValueError("a receipt is cut off")
        yield session, first, receipt[at : at + size]
        at += size
