"""The log in memory: the same contract, the same code from the book down, no file, no thread and no fsync."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from sync.log.clock import Clock
from sync.log.commit.engine import Engine
from sync.log.commit.opening import open_book
from sync.log.commit.work import Work
from sync.log.disk import schema
from sync.log.disk.names import Names
from sync.log.outbox.front import Front
from sync.log.settings import LogSettings

if TYPE_CHECKING:
    from sync.log.commit.work import Append, Offer, Request, ThinRequest


class MemoryLog(Front):
    """Forgets everything when the process ends. What is called in one turn of the loop is one commit."""

    def __init__(self, settings: LogSettings | None = None, clock: Clock | None = None) -> None:
        settings = settings or LogSettings(path=Path(":memory:"), gateway_id="memory")
        clock = clock or Clock(settings.clock_file)
        super().__init__(clock)
        self._book = open_book(schema.connect(Path(":memory:")), settings, clock, Names())
        self._engine = Engine(settings.max_bytes, settings.fold)
        self._engine.opened(self._book)
        self._figures = self._engine.figures
        self._work = Work()
        self._planned = False

    async def run(self) -> None:
        """Nothing needs to run; ends when cancelled."""
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    def hurry(self) -> None:
        """See `Log.hurry`: nothing waits here."""

    def _put_append(self, append: Append, *, urgent: bool) -> None:  # noqa: ARG002 - everything is at once here
        self._work.appends.append(append)
        self._plan()

    def _put_request(self, request: Request, *, urgent: bool) -> None:  # noqa: ARG002 - as above
        self._work.requests.append(request)
        self._plan()

    def _put_offer(self, offer: Offer) -> None:
        self._work.offers.append(offer)
        self._plan()

    def _put_thin_request(self, wish: ThinRequest) -> None:
        self._work.thin_requests.append(wish)
        self._plan()

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        self._planned = False
        work, self._work = self._work, Work()
        answers = self._engine.transact(self._book, work)
        self._deliver(answers, self._engine.figures, committed=True)
        self._engine.between(self._book)
        if self._figures.trim_more:
            self._plan()
