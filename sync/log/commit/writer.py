"""The one thread that writes: it gathers what waits, commits it together, and survives what the disk does (L9)."""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from typing import TYPE_CHECKING, Final, Protocol

from sync.log.answers import Answer
from sync.log.commit.engine import Engine
from sync.log.commit.file import LogFile
from sync.log.commit.space import Space
from sync.log.commit.work import Request, Work
from sync.log.disk import aside, faults, foreign
from sync.log.disk.faults import NOISE
from sync.log.disk.schema import OtherFormat
from sync.log.disk.stall import Stall
from sync.log.ledger import entries
from sync.log.retention import trimming
from sync.log.retention.packing import Packing
from sync.log.salvage.transfer import Salvage
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sync.log.book.content import Book
    from sync.log.clock import Clock
    from sync.log.commit.engine import Figures
    from sync.log.commit.inbox import Inbox
    from sync.log.settings import LogSettings

log = logging.getLogger("tidegate.log")

_IDLE_S: Final = 60.0
_MORE_S: Final = 0.01
_REPORT_S: Final = 5.0
_PACKING_S: Final = 1.0
_RETRY_MOST_S: Final = 1.0
_MOST_DOUBLINGS: Final = 10
"""Past the longest pause: 1,024 of them, after a quarter of an hour, are more than a float holds."""
_ATTEMPTS_AT_STOP: Final = 3
_ROOM_AGAIN_S: Final = 60.0
_ROOM_BYTES: Final = 1024**2
_MAKING_ROOM_S: Final = 0.5
_SUSPECT_S: Final = 60.0
_WAL_MOST_BYTES: Final = 48 * 1024**2
"""Where somebody holds it: with the largest commit on top it stays below 64 MiB."""
_LOOK_ASIDE_S: Final = 3.0
_LOOKS_ASIDE: Final = 3
_MISTAKES: Final = (*NOISE, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""How a request fails that SQLite or Python can make nothing of."""


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
        self.stall = Stall(settings.runtime_dir)
        self.quarantined = 0
        self.quarantined_why = ""
        self._settings = settings
        self._inbox = inbox
        self._deliver = deliver
        self._engine = Engine(settings.max_bytes, settings.fold, Packing(settings.numbers, settings.pack_after_s))
        self.space = Space(settings)
        self._full_bytes: int | None = None
        self._salvage: Salvage | None = None
        self._failures = 0
        self._failing_since_s = 0.0
        self._failed_at_s = math.inf
        self._uncertain_from: int | None = None
        self._suspected_at_s = -math.inf
        self._begun_anew_at_s = -math.inf
        self._look_aside_at_s = math.inf
        self._looks_aside = 0

    def serve(self) -> None:
        """Open, commit what comes, until stopped; then commit the rest and close."""
        work = Work()
        idle_s = 0.0
        try:
            while True:
                stopping = self._inbox.take(work, idle_s)
                try:
                    answers = self._attempt(work)
                    self._recovered()
                    work = Work()
                    self._deliver(answers, self._engine.figures, committed=True)
                    self._tend()
                except (sqlite3.Error, OSError, *NOISE) as error:
                    self._trouble(error, work)
                    self._inbox.drop_given_up(work)
                    if stopping and self._failures >= _ATTEMPTS_AT_STOP:
                        break
                    doublings = min(self._failures, _MOST_DOUBLINGS)
                    self._inbox.pause(min(0.05 * 2**doublings, _RETRY_MOST_S))
                    idle_s = 0.0
                    continue
                if stopping:
                    break
                idle_s = self._idle_s()
        finally:
            self._end(work)

    def _idle_s(self) -> float:
        """How long nothing needs to be done if nothing comes."""
        if self._salvage is not None or self._engine.figures.trim_more:
            return _MORE_S
        if self._look_aside_at_s < math.inf:
            return _LOOK_ASIDE_S
        if self._engine.packing.under_way:
            return _PACKING_S
        book = self.file.book
        return _REPORT_S if book is None or book.losses or book.unreadable_losses else _IDLE_S

    def _attempt(self, work: Work) -> list[Answer]:
        """One commit, on a file that is opened first where it is not open."""
        if self.file.displaced():
            self._put_aside("the file was replaced or removed while in use", self.file.rescue)
        elif self.file.vanished():
            self._put_aside(
                "the file is missing or empty, but a log was here before", lambda: self.file.put_aside(aside.DAMAGED)
            )
        book = self.file.book or self._open(work)
        if self._failures:
            # Encoding what waits is dear; first see whether the disk takes anything at all.
            book.probe()
        return self._engine.transact(book, work, self._salvage)

    def _open(self, work: Work) -> Book:
        try:
            book = self.file.open(distrust=self._failures > 0)
        except OtherFormat as other:
            kind = aside.of_format(other.number)
            self._put_aside(str(other), lambda: self.file.put_aside(kind))
            book = self.file.open()
        uncertain_from, self._uncertain_from = self._uncertain_from, None
        if uncertain_from is not None and book.newest >= uncertain_from:
            # The commit that seemed to fail is on disk after all: its records must not come in twice.
            self._deliver([Answer(append.done) for append in work.attempted()], self._engine.figures, committed=False)
            work.appends = work.appends[len(work.attempted()) :]
        self._engine.opened(book)
        self._begin_salvage(book)
        if self._salvage is not None:
            # Its leases are there before anything else is leased.
            self._engine.transact(book, Work(), self._salvage)
        if self.stall.left is not None:
            self._engine.transact(book, Work(requests=[Request(_uncounted(self.stall.left))]))
            self.stall.told()
            log.error("the last run ended while its log was stalled: an unknown number of records was lost")
        self._deliver([], self._engine.figures, committed=False)
        return book

    def _begin_salvage(self, book: Book) -> None:
        """Look for a file that was put aside and still holds something; one that cannot be read now waits."""
        self._end_salvage()
        self._look_aside_at_s = math.inf
        try:
            self._salvage = Salvage.next(book, patient=self._looks_aside < _LOOKS_ASIDE)
            self._looks_aside = 0
        except (sqlite3.Error, OSError) as error:
            log.warning("cannot read a log file that was put aside, retrying: %s", error)
            self._looks_aside += 1
            self._look_aside_at_s = time.monotonic() + _LOOK_ASIDE_S

    def _end_salvage(self) -> None:
        if self._salvage is not None:
            self._salvage.close()
            self._salvage = None

    def _put_aside(self, why: str, move: Callable[[], Path]) -> None:
        """Let a clean file be begun; what this one holds is brought over from where it lies then."""
        self._end_salvage()
        to = move()
        self.quarantined += 1
        self.quarantined_why = why
        self._begun_anew_at_s = time.monotonic()
        log.error("the log file was put aside as %s and a new log started: %s", to, why)

    def _tend(self) -> None:
        """What can be done between commits: the WAL, the names, what is to be thinned, a salvage that ended."""
        self.file.committed()
        self.file.write_names()
        book = self.file.book
        if book is None:
            return
        self._engine.between(book)
        self.space.look(book)
        self._bound()
        if self.file.held and self.file.wal_bytes >= _WAL_MOST_BYTES:
            # Nothing else bounds the WAL while somebody reads what it began with (L11).
            who = " and ".join(foreign.readers(self.file.path)) or "another process"
            why = f"{who} kept a read transaction open, and the WAL had grown to {self.file.wal_bytes // 1024**2} MiB"
            self._put_aside(why, lambda: self.file.put_aside(aside.HELD))
            return
        if self._salvage is not None and self._salvage.finished:
            log.warning("%d undelivered records were recovered from %s", self._salvage.saved, self._salvage.path)
            self._begin_salvage(book)
        elif time.monotonic() >= self._look_aside_at_s:
            self._begin_salvage(book)
        if self._salvage is None and not self._engine.figures.trim_more:
            self.space.give_back(self.file, book)
        if time.monotonic() - self._failed_at_s > _ROOM_AGAIN_S and self.file.keep_room():
            self._failed_at_s = math.inf
            self._full_bytes = None
            self.file.bound_pages(bound=False)

    def _bound(self) -> None:
        """Keep the log within its bytes, and within what its disk has room for."""
        bounds = (self._settings.max_bytes, self._full_bytes, self.space.bound_bytes)
        self._engine.max_bytes = min(bound for bound in bounds if bound is not None)
        self._engine.short = self.space.short

    def _trouble(self, error: Exception, work: Work) -> None:
        """The disk did not take a commit: say so once, make room if that is what is missing, and try again."""
        now_s = time.monotonic()
        if not self._failures:
            self._failing_since_s = now_s
            log.error("commit to the log failed: %s; readings wait in memory, retrying", error)
        self._failures += 1
        self._failed_at_s = now_s
        book = self.file.book
        if book is not None:
            self._uncertain_from = book.uncertain_from
        if work.doing is not None and isinstance(error, _MISTAKES):
            # A damaged file can make a request fail too: it is opened anew before the request is blamed.
            if self._failures > 1:
                self._give_up(work, work.doing, error)
            else:
                self.file.close(clean=False)
        elif faults.suspicious(error):
            self._suspect(error)
        elif faults.full(error):
            self.file.use_room()
            if book is not None:
                self._make_room(book)
        elif now_s - self._failing_since_s > self._settings.log_stall_s:
            if faults.withheld(error):
                self._suspect(error)
            # A file system that went away and came back needs files that are opened anew.
            self.file.close(clean=False)

    def _suspect(self, error: Exception) -> None:
        """The file seems to be damaged. It is, if it seems so again once it was opened anew, on a disk that works.

        SQLite says the same of a file that is damaged and of a disk that cannot be read at the moment.
        """
        now_s = time.monotonic()
        again = now_s - self._suspected_at_s < _SUSPECT_S
        fresh = now_s - self._begun_anew_at_s < _SUSPECT_S
        if fresh and isinstance(error, NOISE):
            if self._salvage is None or self._salvage.finished:
                raise error  # a file just begun is not damaged: this is a mistake of ours
            log.error("no more records can be recovered from %s: %s", self._salvage.path, error)
            self._salvage.give_up()
            return
        self._suspected_at_s = now_s
        self.file.close(clean=False)
        if again and not fresh and self.file.takes_files():
            try:
                self._put_aside(f"it is corrupt ({error})", lambda: self.file.put_aside(aside.DAMAGED))
            except OSError as failure:
                log.error("cannot put the corrupt log file aside: %s", failure)  # noqa: TRY400 - its sentence says it

    def _give_up(self, work: Work, request: Request, error: Exception) -> None:
        """Let a request go that nothing can be done with, so that it costs its caller and not the log."""
        log.error("a request to the log failed twice; giving up: %r", error)
        work.requests.remove(request)
        if request.done is not None:
            self._deliver([Answer(request.done, error=error)], self._engine.figures, committed=False)

    def _make_room(self, book: Book) -> None:
        """Live within the file as it is: old records make room for new ones until the disk has room again."""
        try:
            self.file.checkpoint()
            # A small file may still grow by a part of what was set aside: all that it holds would make no room.
            self.file.bound_pages(bound=True, least_bytes=_ROOM_BYTES)
            file_bytes = trimming.bytes_used(book) + trimming.bytes_free(book)
            if file_bytes < _ROOM_BYTES:
                return
            self._full_bytes = max(file_bytes - _ROOM_BYTES, file_bytes // 2)
            self._bound()
            until_s = time.monotonic() + _MAKING_ROOM_S
            while trimming.bytes_free(book) < _ROOM_BYTES and time.monotonic() < until_s:
                if not self._engine.squeeze(book):
                    break
        except sqlite3.Error as error:
            log.debug("cannot free space for the log: %s", error)

    def _recovered(self) -> None:
        self._inbox.finished()
        self.stall.ended()
        self._uncertain_from = None
        if self._failures:
            log.warning("the log can write to its disk again, after %.1f s", time.monotonic() - self._failing_since_s)
            self._failures = 0

    def _end(self, work: Work) -> None:
        """Close. What could not be written is told to whoever waits for it, and counted."""
        left = self._inbox.drop_all(work)
        # No stall: whoever can have them sent again is to do so.
        gone = NotReady("the log was closed before these records were on disk")
        self._deliver([Answer(append.done, error=gone) for append in left], self._engine.figures, committed=False)
        self.file.close(clean=not left)
        self._engine.packing.close()
        self._end_salvage()


def _uncounted(log_id: str) -> Callable[[Book], None]:
    return lambda book: entries.lose_uncounted(
        book, "stalled", log_id, "a run ended while its log could not write to its disk"
    )
