"""What a broker handed to an MQTT 5 client and what the client acknowledged, heard on the wire between them."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field

_PUBLISH, _PUBACK, _CONNECT = 3, 4, 1


@dataclass(slots=True)
class MqttTap:
    """A tap for `Proxy`: one MQTT 5 session at a time, whose payloads are numbers.

    `handed_over` are the numbers that left the broker, `acknowledged` those that the client acknowledged.
    """

    handed_over: set[int] = field(default_factory=set)
    acknowledged: set[int] = field(default_factory=set)
    _buffers: dict[bool, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    _under_way: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, upward: bool, data: bytes) -> None:  # noqa: FBT001 - the proxy's direction
        with self._lock:
            if upward and data[:1] == bytes([_CONNECT << 4]):
                # A new connection: what was half heard of the old one will not be completed.
                self._buffers.clear()
                self._under_way.clear()
            buffer = self._buffers[upward]
            buffer += data
            while (packet := _cut(buffer)) is not None:
                self._hear(*packet)

    def _hear(self, kind: int, flags: int, body: bytes) -> None:
        if kind == _PUBLISH and flags >> 1 & 3 == 1:
            start = 2 + int.from_bytes(body[:2], "big")
            packet_id = int.from_bytes(body[start : start + 2], "big")
            # The length of the properties, in one byte: a broker adds few.
            payload = body[start + 3 + body[start + 2] :]
            if payload.isdigit():
                self._under_way[packet_id] = int(payload)
                self.handed_over.add(int(payload))
        elif kind == _PUBACK:
            number = self._under_way.pop(int.from_bytes(body[:2], "big"), None)
            if number is not None:
                self.acknowledged.add(number)


def _cut(buffer: bytearray) -> tuple[int, int, bytes] | None:
    """Take one whole packet from the front: kind, flags, what follows the fixed header."""
    length = shift = 0
    for index, byte in enumerate(buffer[1:5], 1):
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            end = index + 1 + length
            if len(buffer) < end:
                return None
            kind, flags, body = buffer[0] >> 4, buffer[0] & 0xF, bytes(buffer[index + 1 : end])
            del buffer[:end]
            return kind, flags, body
    return None
