"""What a broker really keeps for a subscriber that is away: a session of our own is filled, looked at and drained.

It touches no other session: client ids and topic are new each time. Of what it makes nothing stays at the broker,
also where it fails half way, as long as the broker still answers; else a session of MQTT 5 ends after five minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from drivers.mqtt.connection.client import SessionClient
from drivers.mqtt.connection.session import Session
from drivers.mqtt.delivery.window import STOP_S
from drivers.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from drivers.mqtt.packets import Received
    from drivers.mqtt.settings import MqttSettings

TOPIC: Final = "tidegate/check/"
"""What the probe's user must be allowed to write and read below."""

_PAYLOAD: Final = b'{"value": 0.0, "at": "1970-01-01T00:00:00Z"}'.ljust(110)
_AT_ONCE: Final = 500
_EXPIRY_S: Final = 300
_QUIET_S: Final = 1.0
_BOUND_S: Final = 60.0
_ROUNDS: Final = 5
_PER_S: Final = 1_000
"""As slow as a broker may be."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Of `offered` QoS 1 messages that a broker acknowledged, it kept `kept` for the subscriber that was away.

    `window` of them it let stand unacknowledged; where that is all of `kept`, its window may be larger. Where it is
    less, `ceiling_per_s` messages a second came through the window, each time acknowledged as soon as it was full.
    """

    offered: int
    kept: int
    window: int
    ceiling_per_s: float | None = field(default=None, compare=False)


class _Subscriber:
    """A session of ours, on one connection after another; it acknowledges when it is told to."""

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._acknowledgements = bytearray()
        self._came = asyncio.Event()
        self._acknowledging = False
        self.received = 0
        self.session = self._anew()

    def _anew(self, *, clean: bool = False) -> Session:
        settings = replace(self._settings, session_expiry_s=0) if clean else self._settings
        return Session(settings, SessionClient(settings, set(), clean=clean), self._take)

    def _take(self, received: Received) -> None:
        self.received += len(received.messages)
        self._acknowledgements += received.acknowledgements
        if received.messages:
            self._came.set()
        if self._acknowledging:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Acknowledge what came, and from now on all that comes."""
        self._acknowledging = True
        packets, self._acknowledgements = bytes(self._acknowledgements), bytearray()
        if packets:
            self.session.acknowledge(packets)

    def acknowledge_once(self) -> None:
        """Acknowledge what came so far."""
        packets, self._acknowledgements = bytes(self._acknowledgements), bytearray()
        self.session.acknowledge(packets)

    async def rounds(self, window: int, pause_s: float) -> float | None:
        """Messages a second through a window that is acknowledged `pause_s` after it is full; None if none came."""
        loop = asyncio.get_running_loop()
        began_s, before = loop.time(), self.received
        for _ in range(_ROUNDS):
            full = self.received + window
            self.acknowledge_once()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_QUIET_S):
                    while self.received < full:
                        self._came.clear()
                        await self._came.wait()
            if self.received < full:
                break  # too few were left
            ended_s, came = loop.time() + pause_s, self.received - before
            await asyncio.sleep(pause_s)
        else:
            return came / (ended_s - began_s)
        return None

    async def open(self) -> bool:
        """Connect anew; whether the broker had kept the session."""
        self.session = self._anew()
        return await self.session.open()

    async def until_quiet(self) -> None:
        """Wait until nothing has come for a while."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._came.clear()
                await asyncio.wait_for(self._came.wait(), _QUIET_S)
        if self.session.ended.done():
            self.session.ended.result()

    async def forget(self) -> None:
        """Have the broker drop the session."""
        self.session.close()
        self.session = self._anew(clean=True)
        await self.session.open()
        await self.session.leave()


async def probe(settings: MqttSettings, count: int) -> Kept:
    """Offer `count` messages to a session of our own that is away, and see what comes of them.

    Raises:
        NotReady: the broker is not there, takes too long, or does not let us use `TOPIC`.
        Misconfigured: it refuses us for good.
    """
    bound_s = _BOUND_S + count / _PER_S
    mark = secrets.token_hex(4)
    topic = TOPIC + mark
    ours = replace(settings, client_id=f"tidegate-check-{mark}", session_expiry_s=_EXPIRY_S, subscriptions_file=None)
    subscriber = _Subscriber(ours)
    try:
        async with asyncio.timeout(bound_s):
            await subscriber.open()
            refused = await subscriber.session.subscribe({topic: 1})
            if refused:
                reason = f"this user may not subscribe to {topic}: {refused[topic]}"
                raise NotReady(reason, f"allow it to read and write {TOPIC}#")
            await subscriber.session.leave()
            await _fill(replace(ours, client_id=f"tidegate-fill-{mark}", session_expiry_s=0), topic, count)
            if not await subscriber.open():
                return Kept(count, 0, 0)
            await subscriber.until_quiet()
            window = subscriber.received
            ceiling = await subscriber.rounds(window, settings.gather_s + STOP_S) if 0 < window < count else None
            subscriber.acknowledge()
            await subscriber.until_quiet()
            return Kept(count, subscriber.received, window, ceiling)
    except TimeoutError:
        raise NotReady(f"the broker did not finish within {bound_s:.0f} s", "offer it fewer messages") from None
    finally:
        with contextlib.suppress(NotReady, Misconfigured, TimeoutError):
            async with asyncio.timeout(_BOUND_S):
                await subscriber.forget()


async def _fill(settings: MqttSettings, topic: str, count: int) -> None:
    publisher = Session(settings, SessionClient(settings, set(), clean=True), lambda _: None)
    try:
        await publisher.open()
        for start in range(0, count, _AT_ONCE):
            sizes = range(start, min(start + _AT_ONCE, count))
            await asyncio.gather(*(publisher.publish(topic, _PAYLOAD, qos=1, retain=False) for _ in sizes))
        await publisher.leave()
    except NotReady as fault:
        hint = f"the broker's log says why; its user must be allowed to write {TOPIC}#"
        raise NotReady(fault.reason, fault.hint or hint) from fault
    finally:
        publisher.close()
