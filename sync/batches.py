"""The Kafka record batch (magic 2) around a records section that is already encoded and compressed."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aiokafka.record.util import calc_crc32c

if TYPE_CHECKING:
    from sync.values import Batch

_ZSTD: Final = 4
_MAGIC: Final = 2
_NO_LEADER_EPOCH: Final = -1
# base offset, length of what follows, partition leader epoch, magic, CRC-32C of what follows
_OUTER: Final = struct.Struct(">qiibI")
# attributes, last offset delta, first and largest timestamp, producer id, epoch, base sequence, count
_INNER: Final = struct.Struct(">hiqqqhii")
_AFTER_LENGTH: Final = 4 + 1 + 4


def frame_batch(batch: Batch, now_ms: int) -> bytes:
    """The bytes of a produce request for one batch; `now_ms` (since the epoch) becomes each record's time (D5).

    The records' own timestamp deltas must be 0. A batch without a producer carries -1, -1, -1 (D13).
    """
    producer = batch.claim.producer
    last = batch.count - 1
    inner = _INNER.pack(
        _ZSTD, last, now_ms, now_ms, producer.id, producer.epoch, batch.claim.base_sequence, batch.count
    )
    covered = inner + batch.body
    return _OUTER.pack(0, _AFTER_LENGTH + len(covered), _NO_LEADER_EPOCH, _MAGIC, calc_crc32c(covered)) + covered
