"""What a lane has of its own, whichever topics it sends to: a producer id and a batch size."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sync.shipper.link.batch_size import MOST_BYTES, BatchSize
from sync.values import Lane

if TYPE_CHECKING:
    from sync.seams import Backlog, Sink
    from sync.shipper.link.budget import Budget
    from sync.values import Producer


class Lanes:
    """The lanes of one shipper."""

    def __init__(self, log: Backlog, sink: Sink, budget: Budget) -> None:
        self._log = log
        self._sink = sink
        self._batch_sizes = {lane: BatchSize(budget.of(lane).bytes_per_s) for lane in Lane}
        self._told_log = dict.fromkeys(Lane, MOST_BYTES)
        self._asking = {lane: asyncio.Lock() for lane in Lane}
        self.producers: dict[Lane, Producer] = {}
        """The ids of this run (D9)."""

    async def producer(self, lane: Lane) -> Producer:
        """The lane's id of this run (D9); raises NotReady."""
        async with self._asking[lane]:
            if lane not in self.producers:
                self.producers[lane] = await self._sink.new_producer()
            return self.producers[lane]

    def batch_size(self, lane: Lane) -> BatchSize:
        """How large the lane's batches may be."""
        return self._batch_sizes[lane]

    def limit_blocks(self, lane: Lane) -> None:
        """Tell the log of a lane's new batch size, if it has at least doubled or halved."""
        limit, told = self._batch_sizes[lane].limit_bytes, self._told_log[lane]
        if limit >= 2 * told or 2 * limit <= told:
            self._told_log[lane] = limit
            self._log.limit_blocks(lane, limit)

    def limits_bytes(self) -> dict[Lane, int]:
        """All batch sizes."""
        return {lane: size.limit_bytes for lane, size in self._batch_sizes.items()}
