"""MQTT packets out of a stream of bytes: PUBLISH is taken apart here, every other packet goes to the session's owner.

paho reads a packet in four small reads; here one read of the socket may bring a thousand of them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from paho.mqtt import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Callable

Message = tuple[bytes, bytes, int, str | None]
"""Topic, payload, the packet's first byte (see the masks below) and a traceparent."""

RETAINED = 0x01
QOS = 0x06
DUPLICATE = 0x08
TOO_LARGE = 0x100
"""Not a bit of the protocol: the payload was longer than MOST_BYTES, and only its beginning is here."""

MOST_BYTES = 256 * 1024
SAMPLE_BYTES = 200
_LONGEST_TRACEPARENT = 128
"""That of today has 55 characters; it becomes a header of every record, so a stranger's novel is left out."""

_PUBLISH = 0x30
_PUBREL = 0x62
_PUBLISH_QOS_1 = 0x32


class Malformed(Exception):  # noqa: N818 - a state of the stream, not an error of ours
    """What came is no MQTT; nothing after it can be read."""


class Received:
    """What one read of the socket brought.

    `acknowledgements` are the packets that answer the messages, in their order: they may leave once all of
    `messages` are on disk. `by_qos` counts the messages, `redelivered` those that the broker marked as sent
    before, `retained` those with RETAIN; `size` is how many bytes came, `earlier` what is not among the messages
    because an earlier run of the daemon has handed it over. `end` says why the connection is over, if it is; `more`
    asks for another read at once.
    """

    __slots__ = (
        "acknowledgements",
        "by_qos",
        "earlier",
        "end",
        "messages",
        "more",
        "redelivered",
        "retained",
        "size",
    )

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.acknowledgements = bytearray()
        self.by_qos = [0, 0, 0]
        self.redelivered = 0
        self.retained = 0
        self.earlier: list[Message] = []
        self.end: str | None = None
        self.more = False
        self.size = 0

    def put_in_front(self, before: Received) -> None:
        """Take what an earlier read of the same connection brought as if it had come in this one."""
        self.messages[:0] = before.messages
        self.acknowledgements[:0] = before.acknowledgements
        self.by_qos = [one + other for one, other in zip(before.by_qos, self.by_qos, strict=True)]
        self.redelivered += before.redelivered
        self.retained += before.retained
        self.size += before.size


class Splitter:
    """Cuts the stream of one connection, fed in pieces of any size, into packets."""

    def __init__(self, *, version_5: bool, other: Callable[[bytes], None], held: set[int]) -> None:
        """Give every packet that is no PUBLISH and no PUBREL to `other`.

        `held` are the ids of QoS 2 messages taken and not yet released by the broker; it outlives a connection.
        """
        self._version_5 = version_5
        self._other = other
        self._held = held
        self._rest = bytearray()
        self._need = 0
        self._skip = 0

    def feed(self, data: bytes, into: Received) -> None:
        """Take what came next from the socket.

        Raises:
            Malformed: the stream is no MQTT.
        """
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest.clear()
        position = self._cut(data, into)
        if position < len(data):
            self._rest += data[position:]

    def _cut(self, data: bytes, into: Received) -> int:  # noqa: C901, PLR0912 - a call for each packet would cost too much
        """Take all whole packets; return where the first unfinished one begins."""
        size = len(data)
        messages = into.messages
        acknowledgements = into.acknowledgements
        version_5 = self._version_5
        of_qos_1 = 0
        position = 0
        try:
            while position + 2 <= size:
                head = data[position]
                length = data[position + 1]
                start = position + 2
                if length & 0x80 and start < size and data[start] < 0x80:
                    length = length & 0x7F | data[start] << 7  # up to 16 KiB, as nearly all are
                    start += 1
                elif length & 0x80:
                    length, start = _length(data, position + 1)
                    if start == 0:
                        self._need = size - position + 1
                        break
                    if length > MOST_BYTES:
                        head = 0  # whatever it is, it is not of the usual kind
                end = start + length
                if head != _PUBLISH_QOS_1 or end > size:
                    taken = self._take(data, position, start, end, into)
                    if taken == 0:
                        break
                    position = taken
                    continue
                # The packet that nearly all are: QoS 1, not retained, not a duplicate, and complete.
                topic_end = start + 2 + (data[start] << 8 | data[start + 1])
                body = topic_end + 2
                traceparent = None
                if version_5:
                    if data[body] == 0:
                        body += 1
                    else:
                        body, traceparent = _properties(data, body, end)
                if body > end:
                    raise Malformed("a PUBLISH is shorter than its own topic")
                acknowledgements += b"\x40\x02" + data[topic_end : topic_end + 2]
                messages.append((data[start + 2 : topic_end], data[body:end], head, traceparent))
                of_qos_1 += 1
                position = end
            else:
                self._need = 2
        except IndexError:
            raise Malformed("a packet is shorter than it says") from None
        finally:
            into.by_qos[1] += of_qos_1
        return position

    def _take(self, data: bytes, position: int, start: int, end: int, into: Received) -> int:
        """Any other packet, or one that is not complete. Return where it ends, or 0 to wait for the rest."""
        head = data[position]
        if end > len(data):
            if head & 0xF0 == _PUBLISH and end - start > MOST_BYTES:
                return self._take_beginning(data, position, start, end, into)
            self._need = end - position
            return 0
        if head & 0xF0 == _PUBLISH:
            self._publish(data, start, end, head, into)
        elif head == _PUBREL:
            if end - start < 2:
                raise Malformed("a PUBREL without an id")
            identifier = data[start : start + 2]
            self._held.discard(int.from_bytes(identifier))
            into.acknowledgements += b"\x70\x02" + identifier
        else:
            self._other(data[position:end])
        return end

    def _take_beginning(self, data: bytes, position: int, start: int, end: int, into: Received) -> int:
        """A message too long to keep: its topic and a sample once they are there, the rest is passed over."""
        size = len(data)
        head_bytes = 2 + (data[start] << 8 | data[start + 1]) if size >= start + 2 else 65_537
        # Properties may be long as well; with all that may come before the payload, a sample of it is here.
        wanted = start + head_bytes + 2 + 4 + SAMPLE_BYTES
        if size < wanted:
            self._need = min(wanted, end) - position
            return 0
        self._publish(data, start, size, data[position] | TOO_LARGE, into)
        self._skip = end - size
        return size

    def _publish(self, data: bytes, start: int, end: int, head: int, into: Received) -> None:
        topic_end = start + 2 + (data[start] << 8 | data[start + 1])
        qos = (head & QOS) >> 1
        body = topic_end
        identifier = b""
        if qos:
            identifier = data[topic_end : topic_end + 2]
            body += 2
        traceparent = None
        if self._version_5:
            if head & TOO_LARGE:
                length, body = _length(data, body)
                body = min(body + length, end)
            else:
                body, traceparent = _properties(data, body, end)
        if body > end or qos > 2:
            raise Malformed("a PUBLISH is shorter than its own topic, or of no known QoS")
        payload = data[body:end]
        if end - start > MOST_BYTES:
            head |= TOO_LARGE
        if head & TOO_LARGE:
            payload = payload[:SAMPLE_BYTES]
        into.by_qos[qos] += 1
        into.redelivered += bool(head & DUPLICATE)
        into.retained += head & RETAINED
        if qos == 1:
            into.acknowledgements += b"\x40\x02" + identifier
        elif qos == 2:
            # Answered once it is on disk, like the rest; taken a second time it is only answered again.
            into.acknowledgements += b"\x50\x02" + identifier
            number = int.from_bytes(identifier)
            if number in self._held:
                return
            self._held.add(number)
        into.messages.append((data[start + 2 : topic_end], payload, head, traceparent))


def _length(data: bytes, position: int) -> tuple[int, int]:
    """A number of one to four bytes, and where what follows it begins: 0 where it is not complete yet."""
    value = 0
    for place in range(4):
        if position + place >= len(data):
            return 0, 0
        byte = data[position + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, position + place + 1
    raise Malformed("a length is longer than four bytes")


def _properties(data: bytes, position: int, end: int) -> tuple[int, str | None]:
    """Where the properties of an MQTT 5 PUBLISH end, and the traceparent among them.

    Where they end is known without reading them. So properties that paho refuses cost no more than the traceparent:
    brokers pass on what it takes for malformed (U+FEFF, say), and a connection ended for it would get the very same
    message again at each reconnect, for ever.
    """
    length, start = _length(data, position)
    stop = start + length
    if start == 0 or stop > end:
        raise Malformed("properties are longer than their packet")
    if b"traceparent" not in data[start:stop]:
        return stop, None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    try:
        properties.unpack(data[position:stop])  # type: ignore[no-untyped-call]  # the same
    except (MQTTException, ValueError, IndexError, KeyError, struct.error):
        return stop, None
    for name, value in getattr(properties, "UserProperty", ()):
        if name == "traceparent":
            fits = len(value) <= _LONGEST_TRACEPARENT and value.isascii() and value.isprintable()
            return stop, value if fits else None
    return stop, None
