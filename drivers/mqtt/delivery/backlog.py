"""What a broker has queued while we were away: until when it comes, and what RETAIN means on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from drivers.mqtt.packets import QOS, RETAINED

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.mqtt.packets import Received

_LOOK_S: Final = 0.25
_MOST_S: Final = 60.0


class Backlog:
    """Of one connection after another."""

    def __init__(self) -> None:
        self._marked = False

    def take_retain_off(self, received: Received) -> None:
        """For a kept session of which no subscription was asked for on this connection: nothing queued is retained.

        Some brokers (amqtt) set RETAIN on all that they have queued. At QoS 0, which is not queued, RETAIN stays:
        amqtt sends what it retains at each connection.
        """
        self._marked = self._marked or received.by_qos[0] < len(received.messages)
        received.messages = [
            (topic, payload, head & ~RETAINED if head & QOS else head, traceparent)
            for topic, payload, head, traceparent in received.messages
        ]

    async def until_over(self, look: Callable[[], tuple[int, int]], *, while_: Callable[[], bool]) -> None:
        """Wait until what was queued has come, as far as can be seen, or for a minute.

        `look` gives how many messages have come so far, and how many of them are not acknowledged. It is over where
        nothing comes though all is acknowledged, or where twice in a row less than half as much comes as before; but
        not while queued messages come that have RETAIN set.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _MOST_S
        total, most, few = look()[0], 0, 0
        while while_():
            self._marked = False
            await asyncio.sleep(_LOOK_S)
            before, (total, waiting) = total, look()
            came = total - before
            few = few + 1 if 2 * came < most else 0
            most = max(most, came)
            if not self._marked and (few > 1 or (came == 0 and waiting == 0) or loop.time() > until_s):
                return
