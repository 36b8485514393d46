"""Batches as the log would lease them, built with aiokafka's own encoder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cramjam
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from sync.values import Batch, Claim, Lane, Producer, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER_BYTES = 61


def batch_of(
    values: Sequence[bytes],
    *,
    topic: str,
    producer: Producer,
    base_sequence: int,
    lane: Lane = Lane.LIVE,
    partition: int = 0,
    first: int = 1,
    key: bytes = b"site/tank/sensor",
    headers: Sequence[tuple[str, bytes]] = (),
) -> Batch:
    """A leased batch of one record for each value."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 64 * 1024 * 1024)
    for offset, value in enumerate(values):
        builder.append(offset, 0, key, value, [*headers, ("ce_id", str(first + offset).encode())])
    body = bytes(cramjam.zstd.compress(bytes(builder.build())[_HEADER_BYTES:], 1))
    claim = Claim(Stream(lane, topic, partition), producer, base_sequence)
    return Batch(
        claim, first, first + len(values) - 1, len(values), -1, body, time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    )
