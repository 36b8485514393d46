"""The driver that ships for tests, demonstrations and replays: it emits what it was given."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from drivers.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from drivers.values import Emit, Observation


class ReplayDriver:
    """Emits the given batches in order (drivers.Driver), then is done.

    Up to `outstanding` batches wait for their awaitables at once, as with a real driver that goes on
    receiving. `interval_s` passes between two batches. A run that is cancelled or fails is taken up by the
    next one at the first batch that was not accepted: like a broker, it gives again what was not
    acknowledged. `available = False` is an outside that is not there.
    """

    def __init__(
        self, batches: Iterable[Sequence[Observation]], *, outstanding: int = 1, interval_s: float = 0.0
    ) -> None:
        self._batches = list(batches)
        self._outstanding = outstanding
        self._interval_s = interval_s
        self.available = True
        self.accepted = 0

    async def run(self, emit: Emit) -> None:
        """Emit until all batches were accepted. What `emit` raises ends the run.

        Raises:
            NotReady: `available` is False.
        """
        waiting: deque[asyncio.Future[None]] = deque()
        try:
            for batch in self._batches[self.accepted :]:
                if not self.available:
                    raise NotReady("the replay was made unavailable")
                waiting.append(asyncio.ensure_future(emit(batch)))
                await asyncio.sleep(self._interval_s)
                while len(waiting) >= self._outstanding:
                    await self._accept(waiting)
            while waiting:
                await self._accept(waiting)
        finally:
            for future in waiting:
                future.cancel()

    async def _accept(self, waiting: deque[asyncio.Future[None]]) -> None:
        """Wait for the oldest: batches are accepted in order, as acknowledgements are."""
        await waiting[0]
        waiting.popleft()
        self.accepted += 1
