"""The log on disk, as the rest of the daemon sees it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sync.log.clock import Clock
from sync.log.commit.inbox import Inbox
from sync.log.commit.writer import Writer
from sync.log.outbox.front import Front
from sync.values import LogStalled, LogStats, NotReady

if TYPE_CHECKING:
    from sync.log.answers import Answer
    from sync.log.commit.engine import Figures
    from sync.log.commit.work import Append, Offer, Request, ThinRequest
    from sync.log.settings import LogSettings

log = logging.getLogger("tidegate.log")

_LOOK_EVERY_S: Final = 0.25
_STALLED_WAIT_S: Final = 1.0
"""While the log is stalled, records still wait so long for an attempt to succeed."""
_ASLEEP_S: Final = 1.5
"""No two looks are so far apart while this process gets to run."""
_SETTLE_WITHIN_S: Final = 1.0
"""A settle or a small request that no commit follows is written on its own."""


class SqliteLog(Front):
    """The seam `Log` on one SQLite file. What is appended before `run` has opened it waits, also for a run to come.

    `run` is the only unit of the log: its thread is the one that touches the disk.
    """

    def __init__(self, settings: LogSettings, clock: Clock | None = None) -> None:
        clock = clock or Clock(settings.clock_file)
        super().__init__(clock)
        self._settings = settings
        self._inbox = Inbox(settings)
        self._writer = Writer(settings, clock, self._inbox, self._from_thread)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stalled = False
        self._closed = False
        self._looked_s = time.monotonic()
        self._awake_s = 0.0
        self._waits = (0.0, 0.0)
        """Since when records wait (monotonic), and how long we had been awake when that was first seen."""

    async def run(self) -> None:
        """Open the file, commit what comes until cancelled, then commit all that waits and close.

        A damaged file is put aside, a disk that refuses is tried again for as long as it takes.

        Raises:
            Misconfigured: another daemon has the log.
        """
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._inbox.restart()
        refusals = 0
        while True:
            try:
                self._writer.file.lock()
                break
            except OSError as error:
                self._watch()
                refusals += 1
                if refusals == 1:
                    log.warning("cannot use the log's folder, retrying: %s", error)
                await asyncio.sleep(_STALLED_WAIT_S)
        if refusals:
            log.info("the log's folder is usable again, after %d attempts", refusals)
        ended: asyncio.Future[None] = self._loop.create_future()
        thread = threading.Thread(target=self._serve, args=(ended,), name="tidegate-log", daemon=True)
        thread.start()
        try:
            while not ended.done():
                self._watch()
                await asyncio.wait([ended], timeout=_LOOK_EVERY_S)
        except asyncio.CancelledError:
            self._closed = True
            raise
        finally:
            self._inbox.stop()
            # A disk that hangs can hold the thread for ever; whoever cancels twice goes without it.
            await asyncio.wait([ended])
            self._writer.file.unlock()
        ended.result()

    def hurry(self) -> None:
        """See `Log.hurry`."""
        self._inbox.hurry()

    def stats(self) -> LogStats:
        """See `Log.stats`."""
        stats = super().stats()
        lost = dict(stats.lost)
        if self._inbox.lost:
            lost["stalled"] = self._inbox.lost
        return replace(
            stats,
            lost=lost,
            wal_bytes=self._writer.file.wal_bytes,
            written_bytes=self._writer.file.written_bytes,
            written_per_day=self._writer.file.written_per_day,
            disk_free_bytes=self._writer.space.free_bytes,
            disk_short=self._writer.space.short,
            checkpoint_held=self._writer.file.held,
            stalled=self._stalled,
            quarantined=self._writer.quarantined,
            quarantined_why=self._writer.quarantined_why,
        )

    def _serve(self, ended: asyncio.Future[None]) -> None:
        """The writer's thread."""
        fault: BaseException | None = None
        try:
            self._writer.serve()
        except BaseException as error:  # noqa: BLE001 - whatever ended the thread is raised by `run`
            fault = error
        self._call(lambda: _end(ended, fault))

    def _watch(self) -> None:
        """Let go of records that no commit takes in time (L9), also where the thread hangs in the disk."""
        now_s = time.monotonic()
        # A process that was stopped, suspended or starved had no chance to commit: that is not the disk's doing.
        gap_s, self._looked_s = now_s - self._looked_s, now_s
        self._awake_s += gap_s if gap_s < _ASLEEP_S else _LOOK_EVERY_S
        waiting_since_s = self._inbox.oldest_s()
        if waiting_since_s is None:
            return
        if not self._stalled:
            since_s = max(waiting_since_s, self._last_commit_s)
            if since_s != self._waits[0]:
                self._waits = since_s, self._awake_s - min(now_s - since_s, _LOOK_EVERY_S)
            waited_s = self._awake_s - self._waits[1]
            if waited_s < self._settings.log_stall_s:
                return
            self._stalled = True
            self._writer.stall.began(self._figures.stats.log_id)
            log.error("no commit for %.1f s: readings still raise alarms, but are lost from now on", waited_s)
        for append in self._inbox.give_up(now_s - _STALLED_WAIT_S):
            if not append.done.done():
                append.done.set_exception(LogStalled("the log cannot write to its disk"))
                # Whoever no longer waits need not hear of it.
                append.done.exception()

    def _from_thread(self, answers: list[Answer], figures: Figures, *, committed: bool) -> None:
        self._call(lambda: self._arrived(answers, figures, committed=committed))

    def _arrived(self, answers: list[Answer], figures: Figures, *, committed: bool) -> None:
        if committed and self._stalled:
            self._stalled = False
            log.warning("the log stores readings again; %d were lost", self._inbox.lost)
        self._deliver(answers, figures, committed=committed)

    def _call(self, call: object) -> None:
        loop = self._loop
        if loop is not None and callable(call):
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(call)

    def _put_append(self, append: Append, *, urgent: bool) -> None:
        if self._closed:
            append.done.set_exception(NotReady("the log is closed"))
            return
        self._inbox.put(append, within_s=0.0 if urgent else self._settings.commit_interval_s)

    def _put_request(self, request: Request, *, urgent: bool) -> None:
        self._inbox.put(request, within_s=0.0 if urgent else _SETTLE_WITHIN_S)

    def _put_offer(self, offer: Offer) -> None:
        stream = offer.claim.stream
        waiting = any(
            (pending.lane, pending.topic) == (stream.lane, stream.topic) and pending.records
            for pending in self._figures.streams
        )
        self._inbox.put(offer, within_s=0.0 if waiting else _SETTLE_WITHIN_S)

    def _put_thin_request(self, wish: ThinRequest) -> None:
        self._inbox.put(wish, within_s=0.0)


def _end(ended: asyncio.Future[None], fault: BaseException | None) -> None:
    if ended.done():
        return
    if fault is None:
        ended.set_result(None)
    else:
        ended.set_exception(fault)
