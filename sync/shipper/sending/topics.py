"""Which topics records go to, by their ids, and what they lost that they had acknowledged (D15)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sync.shipper.events import TopicLost
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.seams import Backlog, Sink
    from sync.shipper.decisions.moves import Recall
    from sync.shipper.events import ShipperEvent
    from sync.shipper.stats import Tally
    from sync.values import Recalled


class Topics:
    """Lets the log know of each topic's id, and of answers that name less than was acknowledged."""

    def __init__(self, log: Backlog, sink: Sink, tally: Tally, on_event: Callable[[ShipperEvent], None]) -> None:
        self._log = log
        self._sink = sink
        self._tally = tally
        self._on_event = on_event
        self._ids: dict[str, str] = {}
        self._to_refresh: set[str] = set()
        self._recalls: set[asyncio.Future[Recalled | None]] = set()

    def recall(self, action: Recall) -> None:
        """Let what a batch's topic lost go again. The log takes it at once, whatever becomes of the caller."""
        self._to_refresh.add(action.batch.claim.stream.topic)
        asking = self._log.recall(action.batch, action.offset, action.end, settles=action.settles)
        asked = asyncio.ensure_future(asking)
        self._recalls.add(asked)
        asked.add_done_callback(self._recalled)

    def _recalled(self, done: asyncio.Future[Recalled | None]) -> None:
        self._recalls.discard(done)
        if done.cancelled() or done.exception() is not None:
            return  # the log is closed, and the batch unsettled: it is looked up at the next start
        recalled = done.result()
        if recalled is not None:
            self._lost(recalled, created_again=False)

    async def look(self, topic: str) -> None:
        """Note which topic this is; what it lost, if it is another one than before, goes again.

        If nobody answers that now, it is asked before the next batch.
        """
        with contextlib.suppress(NotReady):
            found = await self._sink.topic_id(topic, refresh=topic in self._to_refresh)
            self._to_refresh.discard(topic)
            if found and found != self._ids.get(topic):
                self._ids[topic] = found
                recalled = await self._log.stands_in(topic, found)
                if recalled is not None:
                    self._lost(recalled, created_again=True)

    def forget(self) -> None:
        """Another cluster has topics of its own."""
        self._ids.clear()

    def _lost(self, recalled: Recalled, *, created_again: bool) -> None:
        for stream, records in recalled.again.items():
            self._tally.repeated[stream.lane] += records
        lost = self._tally.lost_upstream
        lost[recalled.topic] = lost.get(recalled.topic, 0) + recalled.records
        self._on_event(TopicLost(recalled, created_again))
