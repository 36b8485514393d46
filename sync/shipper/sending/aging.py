"""What has grown old in `live` while the link was down goes to `backfill`, so that what is fresh goes at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from sync.shipper.link.circuit import CircuitState
from sync.values import Lane

if TYPE_CHECKING:
    from sync.seams import Backlog
    from sync.shipper.link.circuit import Circuit


class Aging:
    """Hands over what is older than `after_s` (s), once the link is up."""

    def __init__(self, log: Backlog, circuit: Circuit, after_s: float) -> None:
        self._log = log
        self._circuit = circuit
        self._after_s = after_s
        self._link_back = asyncio.Event()

    def link_back(self) -> None:
        """The link is up again: look at once."""
        self._link_back.set()

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        period_s = min(max(self._after_s / 10, 0.5), 5.0)
        while True:
            if self._circuit.state is CircuitState.CLOSED and self._live_is_old():
                await self._log.hand_to_backfill(self._after_s)
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which until Python 3.12 may swallow a cancellation.
                async with asyncio.timeout(period_s):
                    await self._link_back.wait()
            self._link_back.clear()

    def _live_is_old(self) -> bool:
        limit_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(self._after_s * 1e9)
        return any(p.lane is Lane.LIVE and p.records and p.oldest_at_ns < limit_ns for p in self._log.streams())
