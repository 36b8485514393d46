"""The one way from the hub into the log: what is given is on disk when its future is done, or counted as lost."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sync.values import LogStalled, NotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.seams import Appender
    from sync.values import Envelope

log = logging.getLogger("tidegate.outbox")


class Outbox:
    """Appends, and turns a stalled log into a loss that is counted instead of an error that spreads."""

    def __init__(self, durable: Appender) -> None:
        self._log = durable
        self._pending: set[asyncio.Future[None]] = set()
        self._refused = 0

    def post(self, envelopes: Sequence[Envelope], receipts: Sequence[tuple[str, bytes]] = ()) -> asyncio.Future[None]:
        """Append without waiting. The future is done when they are on disk, or given up to a stalled log.

        The log counts what a stall loses; the future then ends well all the same, for nothing is gained
        by asking the sender again.

        Raises (from the future):
            sync.values.NotReady: the log was closed first; a broker is to send them again.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        appended = asyncio.ensure_future(self._log.append(envelopes, receipts))
        self._pending.add(appended)
        appended.add_done_callback(lambda future: self._settle(future, done))
        return done

    def hurry(self) -> None:
        """Have what was posted committed now, ahead of its interval (drivers.mqtt: a broker that waits for us)."""
        self._log.hurry()

    async def receipts(self, name: str) -> Sequence[bytes]:
        """What was kept of the receipts of a source (drivers.Receipts)."""
        return await self._log.receipts(name)

    async def written(self, timeout_s: float) -> None:
        """Wait until all that was posted so far is on disk or given up, at most so long."""
        if self._pending:
            await asyncio.wait(set(self._pending), timeout=timeout_s)

    def _settle(self, appended: asyncio.Future[None], done: asyncio.Future[None]) -> None:
        self._pending.discard(appended)
        if appended.cancelled():
            done.cancel()
            return
        fault = appended.exception()
        if done.cancelled():
            return
        if fault is None or isinstance(fault, LogStalled):
            if self._refused and fault is None:
                log.info("the log accepts records again; %d batches were refused", self._refused)
                self._refused = 0
            done.set_result(None)
            return
        # Not acknowledged: whoever waits gets the error, and a broker will send the messages again.
        if not isinstance(fault, NotReady):
            log.error("the log refused these records: %s", fault)
        else:
            self._refused += 1
            if self._refused == 1:
                log.error("the log does not accept records: %s", fault.reason)
        done.set_exception(fault)
        # Not everyone who posts waits.
        done.exception()
