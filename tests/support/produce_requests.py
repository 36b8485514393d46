"""Reads produce requests out of what passes on a line, to see whether a batch was sent twice."""

from __future__ import annotations

import struct
from collections import Counter, defaultdict

_PRODUCE = 0
# partition leader epoch -1 and magic 2, as every batch of a producer has them
_BATCH = b"\xff\xff\xff\xff\x02"
_BATCH_AT = 12
_PRODUCER_AT = 43
_PRODUCER = struct.Struct(">qhi")


class ProduceRequests:
    """`sent` counts each batch by topic and partition's place in the request, producer id, epoch and sequence."""

    def __init__(self) -> None:
        self.sent: Counter[tuple[bytes, int, int, int]] = Counter()
        self._buffers: dict[int, bytes] = defaultdict(bytes)

    def tap(self, upward: bool, connection: int, data: bytes) -> None:  # noqa: FBT001 - a direction
        if not upward:
            return
        buffer = self._buffers[connection] + data
        while len(buffer) >= 4 and len(buffer) >= (end := 4 + int.from_bytes(buffer[:4])):
            self._read(buffer[4:end])
            buffer = buffer[end:]
        self._buffers[connection] = buffer

    def _read(self, request: bytes) -> None:
        if int.from_bytes(request[:2]) != _PRODUCE:
            return
        start = request.index(_BATCH) - _BATCH_AT
        # From the acks to the batch: topic, partition and size, the same for the same batch.
        self.sent[(request[start - 40 : start], *_PRODUCER.unpack_from(request, start + _PRODUCER_AT))] += 1

    @property
    def repeated(self) -> int:
        return sum(count - 1 for count in self.sent.values())
