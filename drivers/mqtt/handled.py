"""What was handed over of a session, by packet id: enough to know a message that the broker sends again.

What a broker has no acknowledgement for it sends again when the session is resumed: first of all, in the order of the
first time, marked DUP, under the same packet ids. Taken for the same message is only what

- comes marked DUP in a session that the broker has kept, before anything that is new on that connection,
- has the packet id and the digest of topic and payload of a message handed over in that very session, and
- comes later in the order than the one before it.

An id alone says little: it is free for another message once its acknowledgement has arrived, and a sensor may well
report the same value again. So the broker must count its ids up, as mosquitto does, through all 65,535: then an id
that it uses again lies behind ids that we have not seen yet, and with the first of these nothing is recognised any
more. A broker that goes back in its ids is not believed until it has counted for a while.
"""

from __future__ import annotations

import secrets
import sys
from array import array
from collections import deque
from typing import TYPE_CHECKING, Final
from zlib import crc32

from drivers.mqtt.packets import DUPLICATE, QOS
from drivers.mqtt.receipts import pack, parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from drivers.mqtt.packets import Message, Received

MOST: Final = 65_535
"""Messages remembered: there are no more ids."""
_AHEAD: Final = 1_024
"""A broker may use ids up for what it then does not send. Further ahead is behind."""
_BELIEVED_AFTER: Final = 4_096
_QOS_1: Final = 0x02
_PUBACK: Final = 0x4002
_IDS: Final = array("H", range(1, MOST + 1))


class Handled:
    """The newest messages of one session. `session` is a number drawn for it when it was new; 0 is none known."""

    def __init__(self) -> None:
        self.session = 0
        self._runs: deque[tuple[int, array[int], bool]] = deque()
        self._count = 0
        self._next = 0
        self._doubted = 0
        self._places: dict[int, tuple[int, int, bool]] | None = None
        self._place = -1
        self._repeating = False

    def recall(self, session: int, receipts: Iterable[bytes]) -> None:
        """Learn from receipts, oldest first, what an earlier run handed over of a session."""
        self.session = session
        for receipt in receipts:
            for number, first, digests in parts(receipt):
                if first and number == session != 0:
                    self._add(first, array("I", digests), earlier=True)

    def begin(self, *, kept: bool) -> None:
        """A connection stands. Where the broker has not kept the session, another begins."""
        if not kept:
            self.forget()
            self._doubted = 0
        if not kept or not self.session:
            self.session = secrets.randbits(32) or 1
        self._places = None
        self._place = -1
        self._repeating = True

    def forget(self) -> None:
        """What was handed over may not be on disk: whatever comes again is new."""
        self._runs.clear()
        self._count = 0
        self._places = None
        self._repeating = False

    def take(self, received: Received) -> tuple[int, bytes]:
        """Take out of `received` what was handed over before; how many, and the receipt for the rest.

        Acknowledgements stay: what was handed over is to be acknowledged again once it is on disk. What an earlier
        run handed over goes to `received.earlier`.
        """
        if received.redelivered:
            return self._sift(received)
        messages = received.messages
        if received.by_qos[1] != len(messages):
            messages = [message for message in messages if message[2] & QOS == _QOS_1]
        if not messages:
            return 0, b""
        self._repeating = False
        digests = array("I", [crc32(payload, crc32(topic)) for topic, payload, _, _ in messages])
        return 0, self._note(_ids(received), digests)

    def _sift(self, received: Received) -> tuple[int, bytes]:
        known = 0
        kept: list[Message] = []
        ids, digests = array("H"), array("I")
        identifiers = iter(_ids(received))
        for message in received.messages:
            topic, payload, head, _ = message
            if head & QOS == _QOS_1:
                identifier, digest = next(identifiers), crc32(payload, crc32(topic))
                again = self._again(identifier, digest) if head & DUPLICATE else None
                if again is not None:
                    known += 1
                    if again:
                        received.earlier.append(message)
                    continue
                self._repeating = False
                ids.append(identifier)
                digests.append(digest)
            kept.append(message)
        received.messages = kept
        return known, self._note(ids, digests)

    def _again(self, identifier: int, digest: int) -> bool | None:
        """Whether an earlier run handed a message marked DUP over; None where it is not the next of those known."""
        if not self._repeating or self._doubted:
            return None
        if self._places is None:
            everything = ((first + at, d, earlier) for first, run, earlier in self._runs for at, d in enumerate(run))
            self._places = {name: (place, d, earlier) for place, (name, d, earlier) in enumerate(everything)}
        place, found, earlier = self._places.get(identifier, (-1, 0, False))
        if place <= self._place or found != digest:
            return None
        self._place = place
        return earlier

    def _note(self, ids: array[int], digests: array[int]) -> bytes:
        """Remember messages, in runs of ids that follow each other; their receipt."""
        receipt = b""
        start = 0
        while start < len(ids):
            first = ids[start]
            stop = len(ids)
            if ids[start:] != _IDS[first - 1 : first - 1 + stop - start]:
                stop = next((at for at in range(start + 1, stop) if ids[at] != ids[at - 1] + 1), stop)
            run = digests[start:stop] if start or stop < len(ids) else digests
            receipt += pack(self.session, first, run.tobytes())
            self._add(first, run)
            start = stop
        return receipt

    def _add(self, first: int, digests: array[int], *, earlier: bool = False) -> None:
        if self._runs and (first - self._next) % MOST > _AHEAD:
            self.forget()
            self._doubted = _BELIEVED_AFTER
        self._runs.append((first, digests, earlier))
        self._count += len(digests)
        self._next = first + len(digests)
        self._doubted = max(0, self._doubted - len(digests))
        while self._count > MOST:
            self._count -= len(self._runs.popleft()[1])


def _ids(received: Received) -> array[int]:
    """The packet ids of the QoS 1 messages, in their order, out of the acknowledgements ready for them."""
    packets = array("H", bytes(received.acknowledgements))
    if sys.byteorder == "little":
        packets.byteswap()
    if received.by_qos[1] * 2 == len(packets):
        return packets[1::2]
    return array("H", [packets[at + 1] for at in range(0, len(packets), 2) if packets[at] == _PUBACK])
