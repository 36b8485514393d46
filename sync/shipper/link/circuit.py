"""The circuit breaker: while nobody can be reached, one attempt at a time asks whether that has changed."""

from __future__ import annotations

import asyncio
import time
from enum import StrEnum
from typing import TYPE_CHECKING

from sync.backoff import Backoff
from sync.shipper.events import LinkBack, LinkLost
from sync.values import ClusterChanged, NotReady

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.shipper.events import ShipperEvent


class CircuitState(StrEnum):
    """CLOSED: batches flow. PROBING: an attempt is under way. OPEN: waiting for the next attempt."""

    CLOSED = "closed"
    PROBING = "probing"
    OPEN = "open"


class Circuit:
    """Closed until doubted; then `reach` is tried at once, and every `retry_s` (a range) until it succeeds."""

    def __init__(
        self,
        reach: Callable[[], Awaitable[None]],
        retry_s: tuple[float, float],
        on_event: Callable[[ShipperEvent], None],
    ) -> None:
        self._reach = reach
        self._backoff = Backoff.between(*retry_s)
        self._on_event = on_event
        self._closed = asyncio.Event()
        self._closed.set()
        self._doubted = asyncio.Event()
        self.state = CircuitState.CLOSED
        self.reason = ""

    def doubt(self, reason: str) -> None:
        """Open the circuit: an attempt to connect has failed."""
        if self.state is CircuitState.CLOSED:
            self.state = CircuitState.OPEN
            self.reason = reason
            self._closed.clear()
            self._doubted.set()

    async def wait_closed(self) -> None:
        """Wait until batches may flow."""
        await self._closed.wait()

    async def run(self) -> None:
        """Probe whenever the circuit is open, until cancelled."""
        while True:
            await self._doubted.wait()
            since = time.monotonic()
            reported = False
            while not await self._try_once():
                if not reported:
                    reported = True
                    self._on_event(LinkLost(self.reason))
                await asyncio.sleep(self._backoff.failed())
            self._backoff.over()
            self._doubted.clear()
            self.state, self.reason = CircuitState.CLOSED, ""
            self._closed.set()
            if reported:
                self._on_event(LinkBack(time.monotonic() - since))

    async def _try_once(self) -> bool:
        self.state = CircuitState.PROBING
        try:
            await self._reach()
        except NotReady as error:
            self.reason = error.reason
            return False
        except ClusterChanged:
            return True  # somebody answers; who sends there next meets it
        else:
            return True
        finally:
            self.state = CircuitState.OPEN
