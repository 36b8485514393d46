"""Messages held back for a moment, for only together do they show that the broker sends again without saying so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.mqtt.packets import Received

HELD_S: Final = 0.25


class Undecided:
    """In front of a driver: what comes goes to `take`, at once unless it may turn out to be known.

    Held is only what has topic, payload and packet id of a message that was handed over and is not acknowledged, so
    no alarm waits for it. It is not acknowledged either: if the connection ends, it comes again.
    """

    def __init__(self, undecided: Callable[[Received], bool], take: Callable[[Received], None]) -> None:
        self._undecided = undecided
        self._take = take
        self._held: Received | None = None
        self._timer: asyncio.TimerHandle | None = None

    def come(self, received: Received) -> None:
        """One read of the socket."""
        if self._held is not None:
            received.put_in_front(self._held)
        self.drop()
        if self._undecided(received):
            self._held = received
            self._timer = asyncio.get_running_loop().call_later(HELD_S, self._release)
        else:
            self._take(received)

    def drop(self) -> None:
        """The connection is over."""
        self._held = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release(self) -> None:
        held = self._held
        self.drop()
        if held is not None:
            self._take(held)
