"""mosquitto made to send again as other brokers do: a tap for `Proxy` that rewrites packets of MQTT 3.1.1.

What each kind does was seen at the broker that gives it its name here.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass

_CONNECT, _PUBLISH, _PUBACK = 1, 3, 4
_DUP, _QOS_1 = 0x08, 0x02


@dataclass(frozen=True, slots=True)
class Kind:
    """How a broker sends again. `ids`: `kept`, `new` ones that go on, or from 1 `again` with each connection."""

    name: str
    marks: bool = True
    marks_all: bool = False
    reverses: bool = False
    ids: str = "kept"


MOSQUITTO = Kind("mosquitto")
MOQUETTE = Kind("Moquette", reverses=True)
MOCHI = Kind("mochi", marks_all=True, reverses=True)
AEDES = Kind("aedes", marks=False, reverses=True)
ARTEMIS = Kind("Artemis", marks=False, ids="new")
RUMQTTD = Kind("rumqttd", marks=False, ids="again")


class Unlike:
    """The tap. One session at a time, and a probe's sender; what comes in one read is what may be reversed."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._buffers: dict[bool, bytearray] = defaultdict(bytearray)
        self._broker_s: dict[int, int] = {}
        self._next = 1
        self._lock = threading.Lock()

    def __call__(self, upward: bool, data: bytes) -> bytes:  # noqa: FBT001 - the proxy's direction
        with self._lock:
            if upward and data[:1] == bytes([_CONNECT << 4]) and b"-send-" not in data:
                self._buffers.clear()
                self._broker_s.clear()
                if self._kind.ids == "again":
                    self._next = 1
            buffer = self._buffers[upward]
            buffer += data
            packets: list[bytes] = []
            while (packet := cut(buffer)) is not None:
                packets.append(self._up(packet) if upward else self._down(packet))
            if self._kind.reverses and not upward:
                at = [n for n, packet in enumerate(packets) if packet[0] >> 4 == _PUBLISH]
                for number, packet in zip(at, [packets[n] for n in reversed(at)], strict=True):
                    packets[number] = packet
            return b"".join(packets)

    def _down(self, packet: bytes) -> bytes:
        head = packet[0]
        if head >> 4 != _PUBLISH or not head & _QOS_1:
            return packet
        changed = bytearray(packet)
        if not self._kind.marks:
            changed[0] &= ~_DUP
        elif self._kind.marks_all:
            changed[0] |= _DUP
        if self._kind.ids != "kept":
            body = next(at for at in range(1, 5) if packet[at] < 0x80) + 1
            at = body + 2 + int.from_bytes(packet[body : body + 2])
            self._broker_s[self._next] = int.from_bytes(packet[at : at + 2])
            changed[at : at + 2] = self._next.to_bytes(2)
            self._next = self._next % 65_535 + 1
        return bytes(changed)

    def _up(self, packet: bytes) -> bytes:
        if packet[0] >> 4 != _PUBACK or self._kind.ids == "kept":
            return packet
        return packet[:2] + self._broker_s.pop(int.from_bytes(packet[2:4])).to_bytes(2)


def cut(buffer: bytearray) -> bytes | None:
    """Take one whole packet from the front."""
    length = shift = 0
    for at in range(1, min(5, len(buffer))):
        length |= (buffer[at] & 0x7F) << shift
        shift += 7
        if buffer[at] < 0x80:
            end = at + 1 + length
            if len(buffer) < end:
                return None
            packet = bytes(buffer[:end])
            del buffer[:end]
            return packet
    return None
