"""What a broker really sends again: a session of our own loses its connection with messages unacknowledged.

Like `probe` it touches no other session and leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from drivers.mqtt.connection.client import SessionClient
from drivers.mqtt.connection.session import Session
from drivers.mqtt.packets import DUPLICATE, RETAINED
from drivers.mqtt.probes.probe import TOPIC
from drivers.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from drivers.mqtt.packets import Received
    from drivers.mqtt.settings import MqttSettings

_SETTLED: Final = 4
_FIRST: Final = 8
"""Fewer than any broker was seen to let wait (10)."""
_QUEUED: Final = 8
_EXPIRY_S: Final = 300
_QUIET_S: Final = 6.0
"""Longer than the 5 s after which Moquette sends again what it did not send at once."""
_BOUND_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Again:
    """Of `taken` messages that stood unacknowledged when the connection was lost, `again` came on the next one.

    `marked` of these with DUP, `same_ids` under their packet ids, all of them `in_order` or not. `kept` is whether
    the broker had the session at all. Of `queued` messages that were published meanwhile and came for the first time,
    `retained` had RETAIN set and `marked_new` had DUP.
    """

    taken: int
    kept: bool
    again: int = 0
    marked: int = 0
    same_ids: int = 0
    in_order: bool = True
    queued: int = 0
    retained: int = 0
    marked_new: int = 0


@dataclass(frozen=True, slots=True)
class _Came:
    payload: bytes
    identifier: int
    head: int


class _Listener:
    """One connection of the session: keeps what comes, and acknowledges when it is told to."""

    def __init__(self, settings: MqttSettings, *, clean: bool = False) -> None:
        self.came: list[_Came] = []
        self._acknowledgements = bytearray()
        self._changed = asyncio.Event()
        self.session = Session(settings, SessionClient(settings, set(), clean=clean), self._take)

    def _take(self, received: Received) -> None:
        packets = bytes(received.acknowledgements)
        ids = [int.from_bytes(packets[at + 2 : at + 4]) for at in range(0, len(packets), 4)]
        # Some brokers send what they retain at QoS 0: it has no id.
        messages = [message for message in received.messages if message[2] >> 1 & 3]
        self.came += [
            _Came(payload, identifier, head) for (_, payload, head, _), identifier in zip(messages, ids, strict=False)
        ]
        self._acknowledgements += packets
        self._changed.set()

    async def until(self, count: int) -> None:
        """Wait until so many have come, or none for a while."""
        with contextlib.suppress(TimeoutError):
            while len(self.came) < count:
                self._changed.clear()
                await asyncio.wait_for(self._changed.wait(), _QUIET_S)
        if self.session.ended.done():
            self.session.ended.result()

    def acknowledge(self) -> None:
        packets, self._acknowledgements = bytes(self._acknowledgements), bytearray()
        self.session.acknowledge(packets)


async def redelivery(settings: MqttSettings) -> Again:
    """Lose a connection with messages unacknowledged, and see what comes on the next.

    Raises:
        NotReady: the broker is not there, takes too long, or does not let us use `TOPIC`.
        Misconfigured: it refuses us for good.
    """
    mark = secrets.token_hex(4)
    topic = TOPIC + mark
    ours = replace(settings, client_id=f"tidegate-again-{mark}", session_expiry_s=_EXPIRY_S, subscriptions_file=None)
    sender = replace(ours, client_id=f"tidegate-send-{mark}", session_expiry_s=0)
    try:
        async with asyncio.timeout(_BOUND_S):
            before = await _lose(ours, sender, topic)
            return await _resume(ours, before)
    except TimeoutError:
        raise NotReady(f"the broker did not finish within {_BOUND_S:.0f} s") from None
    finally:
        with contextlib.suppress(NotReady, Misconfigured, TimeoutError):
            async with asyncio.timeout(_BOUND_S):
                last = _Listener(replace(ours, session_expiry_s=0), clean=True)
                await last.session.open()
                await last.session.leave()


async def _lose(ours: MqttSettings, sender: MqttSettings, topic: str) -> list[_Came]:
    """Take some messages, acknowledge none, and drop the connection; others are published while nobody listens."""
    listener = _Listener(ours)
    try:
        await listener.session.open()
        if await listener.session.subscribe({topic: 1}):
            raise NotReady(f"this user may not subscribe to {topic}", f"allow it to read and write {TOPIC}#")
        # A broker that begins its ids again at each connection would show the same ids if none were acknowledged.
        await _publish(sender, topic, 0, _SETTLED)
        await listener.until(_SETTLED)
        listener.acknowledge()
        await _publish(sender, topic, _SETTLED, _SETTLED + _FIRST)
        await listener.until(_SETTLED + _FIRST)
    finally:
        listener.session.close()  # as a broken link does: without a word
    await _publish(sender, topic, _SETTLED + _FIRST, _SETTLED + _FIRST + _QUEUED)
    return listener.came[_SETTLED:]


async def _resume(ours: MqttSettings, before: list[_Came]) -> Again:
    listener = _Listener(ours)
    try:
        if not await listener.session.open():
            return Again(len(before), kept=False)
        await listener.until(len(before) + _QUEUED)
        listener.acknowledge()
        await listener.until(len(before) + _QUEUED)  # a small window lets the rest come only now
        listener.acknowledge()
        await listener.session.leave()
    finally:
        listener.session.close()
    return _compared(before, listener.came)


def _compared(before: list[_Came], after: list[_Came]) -> Again:
    places = {came.payload: place for place, came in enumerate(before)}
    again = [came for came in after if came.payload in places]
    new = [came for came in after if came.payload not in places]
    order = [places[came.payload] for came in again]
    return Again(
        taken=len(before),
        kept=True,
        again=len({came.payload for came in again}),
        marked=sum(bool(came.head & DUPLICATE) for came in again),
        same_ids=sum(came.identifier == before[places[came.payload]].identifier for came in again),
        in_order=order == sorted(order),
        queued=len(new),
        retained=sum(bool(came.head & RETAINED) for came in new),
        marked_new=sum(bool(came.head & DUPLICATE) for came in new),
    )


async def _publish(settings: MqttSettings, topic: str, start: int, stop: int) -> None:
    sender = Session(settings, SessionClient(settings, set(), clean=True), lambda _: None)
    try:
        await sender.open()
        for number in range(start, stop):
            await sender.publish(topic, f"{number}".encode(), qos=1, retain=False)
        await sender.leave()
    except NotReady as fault:
        raise NotReady(fault.reason, fault.hint or f"check that this user may write {TOPIC}#") from fault
    finally:
        sender.close()
