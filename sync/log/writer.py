"""The one thread that writes: it gathers what waits, commits it together, and survives what the disk does (L9)."""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from typing import TYPE_CHECKING, Final, Protocol

from sync.log import retention
from sync.log.engine import Engine
from sync.log.file import NOISE, LogFile, damaged, full, unreadable
from sync.log.salvage import Salvage
from sync.log.work import Answer, Work
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sync.log.book import Book
    from sync.log.clock import Clock
    from sync.log.engine import Figures
    from sync.log.inbox import Inbox
    from sync.log.settings import LogSettings

log = logging.getLogger("tidegate.log")

_IDLE_S: Final = 60.0
_MORE_S: Final = 0.01
_REPORT_S: Final = 5.0
_RETRY_MOST_S: Final = 1.0
_ATTEMPTS_AT_STOP: Final = 3
_ROOM_AGAIN_S: Final = 60.0
_ROOM_BYTES: Final = 1024**2
_MAKING_ROOM_S: Final = 0.5


class Deliver(Protocol):
    """Hands answers and figures to the loop; `committed` says that a commit brought them."""

    def __call__(self, answers: list[Answer], figures: Figures, *, committed: bool) -> None:
        """Does not wait."""


class Writer:
    """The thread's work. `deliver` gets answers and figures."""

    def __init__(
        self,
        settings: LogSettings,
        clock: Clock,
        inbox: Inbox,
        deliver: Deliver,
    ) -> None:
        self.file = LogFile(settings, clock)
        self.quarantined = 0
        self._settings = settings
        self._inbox = inbox
        self._deliver = deliver
        self._engine = Engine(settings.max_bytes)
        self._salvage: Salvage | None = None
        self._failures = 0
        self._failing_since_s = 0.0
        self._failed_at_s = math.inf
        self._uncertain_from: int | None = None

    def serve(self) -> None:
        """Open, commit what comes, until stopped; then commit the rest and close.

        Raises:
            Misconfigured: the file is of a later version.
        """
        work = Work()
        idle_s = 0.0
        try:
            while True:
                stopping = self._inbox.take(work, idle_s)
                try:
                    answers = self._attempt(work)
                except (sqlite3.Error, OSError) as error:
                    self._trouble(error)
                    self._inbox.drop_given_up(work)
                    if stopping and self._failures >= _ATTEMPTS_AT_STOP:
                        break
                    self._inbox.pause(min(0.05 * 2**self._failures, _RETRY_MOST_S))
                    idle_s = 0.0
                    continue
                self._recovered()
                work = Work()
                self._deliver(answers, self._engine.figures, committed=True)
                self._tend()
                if stopping:
                    break
                idle_s = self._idle_s()
        finally:
            self._end(work)

    def _idle_s(self) -> float:
        """How long nothing needs to be done if nothing comes."""
        if self._salvage is not None or self._engine.figures.trim_more:
            return _MORE_S
        return _REPORT_S if self.file.book is None or self.file.book.losses else _IDLE_S

    def _attempt(self, work: Work) -> list[Answer]:
        """One commit, on a file that is opened first where it is not open."""
        if self.file.displaced():
            self._put_aside(OSError("another file, or none, stands in its place"), self.file.rescue)
        book = self.file.book or self._open(work)
        if self._failures:
            # Encoding what waits is dear; first see whether the disk takes anything at all.
            book.probe()
        try:
            return self._engine.transact(book, work, self._salvage)
        except sqlite3.Error as error:
            if not damaged(error):
                raise
            self._put_aside(error)
            return self._engine.transact(self._opened(), work)

    def _open(self, work: Work) -> Book:
        uncertain_from, self._uncertain_from = self._uncertain_from, None
        try:
            book = self.file.open()
        except (sqlite3.Error, *NOISE) as error:
            if not unreadable(error):
                raise
            self._put_aside(error)
            return self._opened()
        if uncertain_from is not None and book.newest >= uncertain_from:
            # The commit that seemed to fail is on disk after all: its records must not come in twice.
            self._deliver([Answer(append.done) for append in work.attempted()], self._engine.figures, committed=False)
            work.appends = work.appends[len(work.attempted()) :]
        self._salvage = self._salvage or Salvage.resume(book)
        self._engine.opened(book)
        self._deliver([], self._engine.figures, committed=False)
        return book

    def _opened(self) -> Book:
        if self.file.book is None:
            raise sqlite3.OperationalError("the log is not open")
        return self.file.book

    def _put_aside(self, error: BaseException, move: Callable[[], Path] | None = None) -> None:
        """Start clean, and bring over from the damaged file what it still holds; its leases at once."""
        names = self.file.names()
        aside = move() if move is not None else self.file.put_aside()
        self.quarantined += 1
        log.error("the log is damaged (%s): it was put aside as %s, and a new log begun", error, aside)
        book = self.file.open()
        if self._salvage is not None:
            self._salvage.close()
        self._salvage = Salvage.of(aside, names)
        self._engine.opened(book)
        self._engine.transact(book, Work(), self._salvage)

    def _tend(self) -> None:
        """What can be done between commits, and must not make one fail: the WAL, the names, a salvage that ended."""
        try:
            self.file.committed()
        except sqlite3.Error as error:
            self._put_aside(error)
        self.file.write_names()
        if self._salvage is not None and self._salvage.finished:
            log.warning("%d undelivered records were brought over from %s", self._salvage.saved, self._salvage.path)
            self._salvage.close()
            self._salvage = None
        if time.monotonic() - self._failed_at_s > _ROOM_AGAIN_S and self.file.keep_room():
            self._failed_at_s = math.inf
            self._engine.max_bytes = self._settings.max_bytes
            self.file.bound_pages(bound=False)

    def _trouble(self, error: Exception) -> None:
        """The disk did not take a commit: say so once, make room if that is what is missing, and try again."""
        now_s = time.monotonic()
        if not self._failures:
            self._failing_since_s = now_s
            log.error("the log's disk refuses a commit: %s; readings are held back, and it is tried again", error)
        self._failures += 1
        self._failed_at_s = now_s
        if full(error):
            self.file.use_room()
        book = self.file.book
        if book is None:
            return
        self._uncertain_from = book.uncertain_from
        if full(error):
            self._make_room(book)
        elif now_s - self._failing_since_s > self._settings.log_stall_s:
            # A file system that went away and came back needs files that are opened anew.
            self.file.close(clean=False)

    def _make_room(self, book: Book) -> None:
        """Live within the file as it is: old records make room for new ones until the disk has room again."""
        try:
            self.file.checkpoint()
            self.file.bound_pages(bound=True)
            file_bytes = retention.bytes_used(book) + retention.bytes_free(book)
            self._engine.max_bytes = min(self._settings.max_bytes, max(file_bytes - _ROOM_BYTES, 0))
            until_s = time.monotonic() + _MAKING_ROOM_S
            while retention.bytes_free(book) < _ROOM_BYTES and time.monotonic() < until_s:
                if not self._engine.squeeze(book):
                    break
        except sqlite3.Error as error:
            log.debug("no room could be made: %s", error)

    def _recovered(self) -> None:
        self._inbox.finished()
        self._uncertain_from = None
        if self._failures:
            log.warning("the log's disk takes commits again, after %.1f s", time.monotonic() - self._failing_since_s)
            self._failures = 0

    def _end(self, work: Work) -> None:
        """Close. What could not be written is told to whoever waits for it, and counted."""
        left = self._inbox.drop_all(work)
        # No stall: whoever can have them sent again is to do so.
        gone = NotReady("the log was closed before its disk took these records")
        self._deliver([Answer(append.done, error=gone) for append in left], self._engine.figures, committed=False)
        self.file.close(clean=not left)
        if self._salvage is not None:
            self._salvage.close()
            self._salvage = None
