"""The driver that ships for tests, demonstrations and replays: it emits what it was given."""

from __future__ import annotations

import asyncio
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
        self._waiting = list(batches)
        self._outstanding = outstanding
        self._interval_s = interval_s
        self.available = True
        self.accepted = 0

    async def run(self, emit: Emit) -> None:
        """Emit until all batches were accepted.

        Raises:
            NotReady: `available` is False.
        """
        room = asyncio.Semaphore(self._outstanding)
        batches = self._waiting[self.accepted :]
        done = [False] * len(batches)
        first = self.accepted

        async def hand_over(place: int) -> None:
            try:
                await emit(batches[place])
                done[place] = True
                # Accepted in order, as acknowledgements are.
                while self.accepted - first < len(done) and done[self.accepted - first]:
                    self.accepted += 1
            finally:
                room.release()

        async with asyncio.TaskGroup() as group:
            for place in range(len(batches)):
                await room.acquire()
                if not self.available:
                    break
                group.create_task(hand_over(place))
                await asyncio.sleep(self._interval_s)
        if not self.available:
            raise NotReady("the replay was made unavailable")
