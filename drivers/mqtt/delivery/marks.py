"""Messages whose payload says its own time or counter: the same topic and payload again is the same message.

That holds whatever packet id it comes under, in another session too, and after a broker that was killed has gone back
to an older state of its queues; so it covers what `handled` cannot. Other payloads say nothing of the kind: a sensor
that reports the same value twice has measured twice.

A device may break that rule: its clock is stuck, or its counter begins again. So a message that is not marked DUP is
left out once on a connection, for no broker sends one again more often. If nothing waited at the broker it is still
held against its limits.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from xxhash import xxh3_64_digest

from drivers.mqtt.codecs import Unread
from drivers.mqtt.delivery.receipts import MARK_BYTES, MOST_IN_PART, pack, parts
from drivers.mqtt.packets import DUPLICATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from drivers.mqtt.packets import Message, Received
    from drivers.mqtt.topics.routes import Routes
    from drivers.mqtt.topics.sources import Resolved

MOST: Final = 32_768
"""Marks remembered: 160 s at 200 readings/s."""


class Marks:
    """The newest messages of such topics."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()
        self._order: deque[bytes] = deque()
        self._earlier: set[bytes] = set()
        self._again: set[bytes] = set()

    def begin(self) -> None:
        """A connection stands: the broker may send again on it."""
        self._again.clear()

    def recall(self, receipts: Iterable[bytes]) -> None:
        """Learn from receipts, oldest first, what an earlier run handed over."""
        for receipt in receipts:
            for _, first, digests in parts(receipt):
                if not first:
                    for at in range(0, len(digests), MARK_BYTES):
                        self._add_all((digests[at : at + MARK_BYTES],))
        self._earlier = set(self._known)

    def forget(self) -> None:
        """What was handed over may not be on disk."""
        self._known.clear()
        self._order.clear()
        self._earlier.clear()
        self._again.clear()

    def take(self, received: Received, routes: Routes, *, queued: bool = False) -> tuple[int, bytes]:
        """Take out of `received` what was handed over before; how many, and the receipt for the rest.

        What an earlier run handed over goes to `received.earlier`, the first time that it comes; and so does what
        comes again though it is neither `queued` at the broker nor marked DUP, for it may be new.
        """
        get, resolve = routes.get, routes.resolve
        marks = [
            xxh3_64_digest(b"%b\0%b" % (topic, payload))
            for topic, payload, _, _ in received.messages
            if (get(topic) or resolve(topic)).marked
        ]
        if self._known.isdisjoint(marks) and len(set(marks)) == len(marks):
            self._add_all(marks)  # all of it is new, as nearly always
            return 0, _receipt(marks)
        return self._sift(received, routes, iter(marks), queued=queued)

    def _sift(self, received: Received, routes: Routes, marks: Iterator[bytes], *, queued: bool) -> tuple[int, bytes]:
        kept: list[Message] = []
        fresh: list[bytes] = []
        for message in received.messages:
            topic, payload, head, _ = message
            resolved = routes.get(topic) or routes.resolve(topic)
            if resolved.marked:
                mark = next(marks)
                marked = head & DUPLICATE
                if mark in self._known and (marked or mark not in self._again) and _readable(resolved, payload):
                    if not marked:
                        self._again.add(mark)
                    if mark in self._earlier or not (marked or queued):
                        self._earlier.discard(mark)
                        received.earlier.append(message)
                    continue
                self._add_all((mark,))
                fresh.append(mark)
            kept.append(message)
        known = len(received.messages) - len(kept)
        received.messages = kept
        return known, _receipt(fresh)

    def _add_all(self, marks: Sequence[bytes]) -> None:
        self._known.update(marks)
        self._order.extend(marks)
        for _ in range(len(self._order) - MOST):
            oldest = self._order.popleft()
            self._known.discard(oldest)
            self._again.discard(oldest)


def _receipt(marks: Sequence[bytes]) -> bytes:
    return b"".join(pack(0, 0, b"".join(marks[at : at + MOST_IN_PART])) for at in range(0, len(marks), MOST_IN_PART))


def _readable(resolved: Resolved, payload: bytes) -> bool:
    """Whether it says its own time or counter indeed. Else each of them counts, for the next may be equal and new."""
    sources = resolved.sources or resolved.named(payload)[0]
    try:
        for source in sources:
            source.read(payload)
    except Unread:
        return False
    return any(source.says_when is not None and source.says_when(payload) for source in sources)
