"""Batches handed over and not yet acknowledged, in the order in which their messages came."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.mqtt.connection.session import Session
    from drivers.mqtt.delivery.handled import Taken

MOST_OUTSTANDING: Final = 131_072
"""Messages handed over and not yet on disk, past which the driver stops reading. QoS 1 cannot reach it, for the
broker's window is 65,535 at most; a flood of QoS 0 is left to the broker instead of to this process's memory."""


@dataclass(slots=True)
class Batch:
    """One batch, and what to answer to the connection that it came on."""

    done: asyncio.Future[None]
    session: Session
    acknowledgements: bytearray
    count: int
    taken: Taken
    repeats: bool
    """Some of it was handed over before, with a batch that is outstanding or on disk."""
    under_way: int
    """Messages of it that the broker counts against its window until we acknowledge them."""


class Outstanding:
    """`messages` are those handed over and not yet on disk."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self.messages = 0

    def add(self, batch: Batch) -> None:
        """Behind all others."""
        self._batches.append(batch)
        self.messages += batch.count

    def settled(self) -> Iterator[Batch]:
        """Take those that are done off the front, up to the first that is not."""
        while self._batches and self._batches[0].done.done():
            batch = self._batches.popleft()
            self.messages -= batch.count
            yield batch

    def forget(self) -> None:
        """Answer no repetition: what it repeats may not be on disk."""
        for batch in self._batches:
            if batch.repeats:
                batch.acknowledgements.clear()

    async def drain(self, timeout_s: float) -> None:
        """Wait so long at most for all of them, then give the rest up."""
        waiting = [batch.done for batch in self._batches]
        if waiting:
            await asyncio.wait(waiting, timeout=timeout_s)
            await asyncio.sleep(0)  # their callbacks, which acknowledge, were scheduled before this
        for batch in self._batches:
            if isinstance(batch.done, asyncio.Task):
                batch.done.cancel()  # a coroutine of the hub's that we made a task of: it ends with the run
