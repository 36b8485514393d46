"""What was handed over of a session, by packet id: enough to know a message that the broker sends again.

What a broker has no acknowledgement for it sends again when the session is resumed. Most do it first of all, in the
order of the first time, marked DUP, under the same packet ids. What was not acknowledged, or perhaps not, is known in
any order (`unacked`). Of all that was acknowledged, taken for the same message is only what

- comes marked DUP in a session that the broker has kept, before anything that is new on that connection,
- was handed over on the connection before that, or by an earlier run: older ones would have come again by then,
- has the packet id and the digest of topic and payload of a message handed over in that very session, and
- comes later in the order than the one before it.

For its acknowledgement may be lost; or it arrived, and the id is free for another message, and a sensor may well
report the same value again. So the broker must count its ids up, as mosquitto does, through all 65,535: then an id
that it uses again lies behind ids that we have not seen yet, and with the first of these nothing is recognised any
more. A broker that goes back in its ids is not believed until it has counted for a while; nor is one that marks DUP
what we have never had, for some (mochi) mark all that was queued, and begin their ids again with each connection.
"""

from __future__ import annotations

import secrets
import sys
from array import array
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from drivers.mqtt.delivery.receipts import pack, parts
from drivers.mqtt.delivery.unacked import NEWEST, Unacknowledged
from drivers.mqtt.packets import DUPLICATE, QOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from drivers.mqtt.packets import Message, Received

MOST: Final = 65_535
"""Messages remembered: there are no more ids."""
_AHEAD: Final = 1_024
"""A broker may use ids up for what it then does not send. Further ahead is behind."""
_BELIEVED_AFTER: Final = 4_096
_QOS_1: Final = 0x02
_PUBACK: Final = 0x4002
_IDS: Final = array("H", range(1, MOST + 1))


class Taken(NamedTuple):
    """What of one read had been handed over before, and what is to be kept and acknowledged of the rest.

    `known` messages were taken out, under the ids `again`; `receipt` is for the rest, which came in `runs` of ids.
    """

    known: int = 0
    receipt: bytes = b""
    runs: int = 0
    again: tuple[int, ...] = ()


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
        self._unacked = Unacknowledged()
        self._old = 0
        self._recalled = False

    @property
    def suspected(self) -> int:
        """Messages that were taken as new and are probably stored twice: the broker marks no repetition."""
        return self._unacked.suspected

    def recall(self, session: int, receipts: Iterable[bytes]) -> None:
        """Learn from receipts, oldest first, what an earlier run handed over of a session."""
        self.session = session
        for receipt in receipts:
            for number, first, digests in parts(receipt):
                if first and number == session != 0:
                    self._add(first, array("I", digests), earlier=True)
        self._recalled = True

    def begin(self, *, kept: bool) -> None:
        """A connection stands. Where the broker has not kept the session, another begins."""
        if not kept:
            self.forget()
            self._unacked.clear(session=True)
            self._doubted = 0
        if not kept or not self.session:
            self.session = secrets.randbits(32) or 1
        if not self._recalled:
            for _ in range(self._old):
                self._count -= len(self._runs.popleft()[1])
        self._old = len(self._runs)
        self._unacked.begin(islice(self._newest(), NEWEST), counts=not self._doubted)
        self._places = None
        self._place = -1
        self._repeating = True

    def forget(self) -> None:
        """What was handed over may not be on disk: whatever comes again is new."""
        self._forget_order()
        self._unacked.clear()

    def acknowledged(self, taken: Taken) -> None:
        """The acknowledgements of what `take` took were written to the connection that it came on."""
        self._unacked.acknowledged(taken.runs, taken.again)

    def undecided(self, received: Received) -> bool:
        """Whether all of it may be sent again without DUP, and more of it would have to come to tell."""
        if not self._unacked.expected or received.redelivered or received.by_qos[1] != len(received.messages):
            return False
        digests = (crc32(payload, crc32(topic)) for topic, payload, _, _ in received.messages)
        return self._unacked.undecided(zip(_ids(received), digests, strict=True))

    def take(self, received: Received) -> Taken:
        """Take out of `received` what was handed over before.

        Acknowledgements stay: what was handed over is to be acknowledged again once it is on disk. What an earlier
        run handed over goes to `received.earlier`.
        """
        self._recalled = False
        if received.redelivered or self._unacked.expected:
            return self._sift(received)
        messages = received.messages
        if received.by_qos[1] != len(messages):
            messages = [message for message in messages if message[2] & QOS == _QOS_1]
        if not messages:
            return Taken()
        self._repeating = False
        self._unacked.seen(len(messages))
        digests = array("I", [crc32(payload, crc32(topic)) for topic, payload, _, _ in messages])
        return Taken(0, *self._note(_ids(received), digests))

    def _sift(self, received: Received) -> Taken:
        known: list[int] = []
        kept: list[Message] = []
        ids, digests = array("H"), array("I")
        identifiers = iter(_ids(received))
        named = [
            (next(identifiers), crc32(payload, crc32(topic)), head & DUPLICATE)
            for topic, payload, head, _ in received.messages
            if head & QOS == _QOS_1
        ]
        if self._unacked.expected:
            self._unacked.weigh((identifier, digest) for identifier, digest, marked in named if not marked)
        sought = iter(named)
        for message in received.messages:
            if message[2] & QOS == _QOS_1:
                identifier, digest, marked = next(sought)
                again = self._again(identifier, digest) if marked else self._again_unmarked(identifier, digest)
                if again is not None:
                    known.append(identifier)
                    if again:
                        received.earlier.append(message)
                    continue
                if marked:
                    self._doubted = _BELIEVED_AFTER
                self._repeating = False
                ids.append(identifier)
                digests.append(digest)
            kept.append(message)
        received.messages = kept
        self._unacked.seen(len(named))
        return Taken(len(known), *self._note(ids, digests), tuple(known))

    def _again(self, identifier: int, digest: int) -> bool | None:
        """Whether an earlier run handed a message marked DUP over; None where it is not one of those known."""
        owed = self._unacked.again(identifier, digest)
        in_order = self._again_in_order(identifier, digest)
        if in_order is None:
            return None if owed is None else owed.earlier
        if owed is None:
            self._unacked.came_in_order(identifier, digest, earlier=in_order)
        return in_order

    def _again_unmarked(self, identifier: int, digest: int) -> bool | None:
        if not self._unacked.expected:
            return None
        owed = self._unacked.again_unmarked(identifier, digest)
        return None if owed is None else owed.earlier

    def _again_in_order(self, identifier: int, digest: int) -> bool | None:
        """The same of all that was handed over, by the order of the first time."""
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

    def _note(self, ids: array[int], digests: array[int]) -> tuple[bytes, int]:
        """Remember messages, in runs of ids that follow each other; their receipt, and how many runs they are."""
        receipt = b""
        runs = 0
        start = 0
        while start < len(ids):
            first = ids[start]
            stop = len(ids)
            if ids[start:] != _IDS[first - 1 : first - 1 + stop - start]:
                stop = next((at for at in range(start + 1, stop) if ids[at] != ids[at - 1] + 1), stop)
            run = digests[start:stop] if start or stop < len(ids) else digests
            receipt += pack(self.session, first, run.tobytes())
            self._add(first, run)
            self._unacked.note(first, run)
            runs += 1
            start = stop
        return receipt, runs

    def _add(self, first: int, digests: array[int], *, earlier: bool = False) -> None:
        if self._runs and (first - self._next) % MOST > _AHEAD:
            self._forget_order()
            self._unacked.distrust()
            self._doubted = _BELIEVED_AFTER
        self._runs.append((first, digests, earlier))
        self._count += len(digests)
        self._next = first + len(digests)
        self._doubted = max(0, self._doubted - len(digests))
        while self._count > MOST:
            self._count -= len(self._runs.popleft()[1])
            self._old = max(0, self._old - 1)

    def _forget_order(self) -> None:
        self._runs.clear()
        self._count = self._old = 0
        self._places = None
        self._repeating = False

    def _newest(self) -> Iterator[tuple[int, int, bool]]:
        """What was handed over, newest first: packet id, digest, and whether by an earlier run."""
        for first, digests, earlier in reversed(self._runs):
            for at in range(len(digests) - 1, -1, -1):
                yield first + at, digests[at], earlier


def _ids(received: Received) -> array[int]:
    """The packet ids of the QoS 1 messages, in their order, out of the acknowledgements ready for them."""
    packets = array("H", bytes(received.acknowledgements))
    if sys.byteorder == "little":
        packets.byteswap()
    if received.by_qos[1] * 2 == len(packets):
        return packets[1::2]
    return array("H", [packets[at + 1] for at in range(0, len(packets), 2) if packets[at] == _PUBACK])
