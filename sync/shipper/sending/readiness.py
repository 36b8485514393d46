"""Connections made before they are needed, and used before they are closed as idle: no alarm waits for one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from sync.values import Lane, NotReady, Stream, Unreachable

if TYPE_CHECKING:
    from sync.seams import Backlog, Sink
    from sync.shipper.link.circuit import Circuit
    from sync.shipper.stats import Tally


class Readiness:
    """Keeps the connections of `alert` ready, and makes those of `alert` and `live` as soon as their stream is known.

    `every_s`: how often the connections of `alert` are used (s); 0: never.
    """

    def __init__(self, log: Backlog, sink: Sink, circuit: Circuit, tally: Tally, every_s: float) -> None:
        self._log = log
        self._sink = sink
        self._circuit = circuit
        self._tally = tally
        self._every_s = every_s
        self._made: set[Stream] = set()
        self._link_back = asyncio.Event()

    def forget(self) -> None:
        """All connections were closed."""
        self._made.clear()

    def link_back(self) -> None:
        """The link is up again: look at once."""
        self._link_back.set()

    def make(self, group: asyncio.TaskGroup, stream: Stream) -> None:
        """Make a stream's connection while its courier asks for an id."""
        if stream.lane in {Lane.ALERT, Lane.LIVE} and stream not in self._made:
            self._made.add(stream)
            group.create_task(self._connect(stream))

    async def _connect(self, stream: Stream) -> None:
        with contextlib.suppress(NotReady):  # what fails is the courier's to meet
            await self._sink.keep_ready(stream)

    async def run(self) -> None:
        """Keep the connections of `alert` ready until cancelled: over a bad link making one takes seconds."""
        while self._every_s > 0:
            await self._circuit.wait_closed()
            for pending in self._log.streams():
                if pending.lane is Lane.ALERT and pending.partition is not None:
                    try:
                        await self._sink.keep_ready(Stream(pending.lane, pending.topic, pending.partition))
                    except Unreachable as error:
                        self._circuit.doubt(error.reason)
                    except NotReady as error:
                        self._tally.last_error = error.reason
            self._link_back.clear()
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which until Python 3.12 may swallow a cancellation.
                async with asyncio.timeout(self._every_s):
                    await self._link_back.wait()
