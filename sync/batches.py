"""The Kafka record batch (magic 2) around a records section that is already encoded and compressed."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Final

from aiokafka.codec import gzip_encode, lz4_encode, zstd_decode
from aiokafka.record.util import calc_crc32c

from sync.values import EARLIEST_MS

if TYPE_CHECKING:
    from sync.values import Batch

CODECS: Final = {"none": 0, "gzip": 1, "lz4": 3, "zstd": 4}
"""The numbers that a batch's attributes have for what its records are compressed with."""
_GZIP_LEVEL: Final = 6
_MAGIC: Final = 2
_NO_LEADER_EPOCH: Final = -1
# base offset, length of what follows, partition leader epoch, magic, CRC-32C of what follows
_OUTER: Final = struct.Struct(">qiibI")
# attributes, last offset delta, first and largest timestamp, producer id, epoch, base sequence, count
_INNER: Final = struct.Struct(">hiqqqhii")
_AFTER_LENGTH: Final = 4 + 1 + 4


def sending_ms(*, trusted: bool = True) -> int:
    """The time of sending, in ms since the epoch; -1, which is none, if the clock is not trusted (D5).

    Retention goes by this time. Records from 1970 are deleted within minutes; one of next year keeps its segment, and
    with it all that stands before, until then. A record without a time counts by when its file was last written.
    """
    now_ms = time.time_ns() // 1_000_000
    return now_ms if trusted and now_ms >= EARLIEST_MS else -1


def recompressed(body: bytes, compression: str) -> bytes:
    """A body of the log, which is zstd, as it leaves in one of `CODECS`. Costs tens of ms a MiB of records.

    lz4 is one frame of independent blocks: Kafka's own reader takes no others.
    """
    if compression == "zstd":
        return body
    raw: bytes = zstd_decode(body)
    if compression == "none":
        return raw
    return bytes(gzip_encode(raw, _GZIP_LEVEL) if compression == "gzip" else lz4_encode(raw))


def frame_batch(batch: Batch, now_ms: int, compression: str = "zstd", body: bytes | None = None) -> bytes:
    """The bytes of a produce request for one batch; `now_ms` (since the epoch) becomes each record's time (D5).

    `body` is the batch's own, in `compression`, if that is not zstd. The records' own timestamp deltas must be 0. A
    batch without a producer carries -1, -1, -1 (D13). Brokers know a batch again by producer and sequences alone, so
    it may go again in another codec (F1).
    """
    producer, codec = batch.claim.producer, CODECS[compression]
    last = batch.count - 1
    inner = _INNER.pack(
        codec, last, now_ms, now_ms, producer.id, producer.epoch, batch.claim.base_sequence, batch.count
    )
    covered = inner + (batch.body if body is None else body)
    return _OUTER.pack(0, _AFTER_LENGTH + len(covered), _NO_LEADER_EPOCH, _MAGIC, calc_crc32c(covered)) + covered
