"""The log's files: one daemon at a time, a bounded WAL, room kept for a full disk, a file of no use put aside."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sync import disk
from sync.log.commit.opening import open_book
from sync.log.disk import aside, faults, foreign, schema
from sync.log.disk.names import SUFFIX, Names
from sync.values import Misconfigured

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.clock import Clock
    from sync.log.settings import LogSettings

log = logging.getLogger("tidegate.log")

_CHECKPOINT_PAGES: Final = 1_000
_WAL_LIMIT_BYTES: Final = 4 * 1024**2
_HELD_AFTER: Final = 3
_COUNT_EVERY_S: Final = 1.0
_NOTE_EVERY_S: Final = 60.0
_LEAST_S: Final = 300.0
_HOUR_S: Final = 3_600.0
_DAY_S: Final = 86_400.0
_BALLAST_BYTES: Final = 2 * 1024**2
_MOST_PAGES: Final = 0xFFFFFFFE


class LogFile:
    """The open file and what lies beside it. All of it on the writer's thread, but for `lock` and `unlock`."""

    def __init__(self, settings: LogSettings, clock: Clock) -> None:
        self.path = settings.path
        self.book: Book | None = None
        self.written_bytes = 0
        self.written_per_day: float | None = None
        self.wal_bytes = 0
        self.held = False
        self._settings = settings
        self._clock = clock
        self._lock: int | None = None
        self._pages = 0
        self._counted_s = -math.inf
        self._written: deque[tuple[float, int]] = deque()
        self._held_for = 0
        self._checkpoint_failed = False
        self._moved = False
        self._ballast = self.path.with_name(self.path.name + ".ballast")
        self._names = self.path.with_name(self.path.name + SUFFIX)
        self._identity: tuple[int, int] | None = None
        self._compared = False

    def lock(self) -> None:
        """Keep every other daemon out, until `unlock` or the end of this process.

        Raises:
            Misconfigured: another daemon has the log.
            OSError: the folder is missing or cannot be written.
        """
        if self._lock is not None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(
            self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, disk.MODE
        )
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(file, 20).decode(errors="replace").strip() or "unknown"
            os.close(file)
            raise Misconfigured(
                f"another daemon (process {owner}) uses the log {self.path}",
                "gateway.state_dir",
                "stop it, or give this gateway a state_dir of its own",
            ) from None
        with contextlib.suppress(OSError):  # the number is for people; a full disk must not keep us out
            os.ftruncate(file, 0)
            os.pwrite(file, str(os.getpid()).encode(), 0)
        self._lock = file

    def unlock(self) -> None:
        """Let another daemon have the log."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def open(self, *, distrust: bool = False) -> Book:
        """Open the file, made new where there is none, and begin a run; `distrust` what an fsync did not confirm.

        Raises:
            sqlite3.Error, OSError, Foreign, ValueError, TypeError, KeyError: as the disk or a damaged file has it.
            OtherFormat: this version does not read the file.
        """
        aside.finish_move(self.path)
        if distrust:
            aside.write_again(self.path)
        self._make_private()
        connection = schema.connect(self.path)
        try:
            connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
            names = Names.read(self._names)
            book = open_book(connection, self._settings, self._clock, names, compared=self._compared)
            self._identity = _identity(self.path)
        except BaseException:  # raised on at once; a half-opened file must not keep its locks
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            raise
        self.book = book
        self._moved = False
        # The numbers set aside must be in the file itself before any is given, for the WAL's tail can be lost (L2).
        self.checkpoint()
        self.keep_room()
        self.write_names()
        return book

    def names(self) -> Names:
        """What must outlive the file, as far as it is known."""
        return Names.read(self._names) if self.book is None else self.book.names_now()

    def write_names(self) -> None:
        """Write what must outlive the file, where it changed; tried again after the next commit where it fails."""
        if self.book is not None and self.book.names_changed:
            try:
                self.book.names_now().write(self._names)
            except OSError as error:
                log.warning("%s cannot be written: %s", self._names, error)
            else:
                self.book.names_changed = False

    def committed(self) -> None:
        """After a commit: bound the WAL.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        if self.book is None:
            return
        self._pages += self.book.pages_touched
        if self._pages >= _CHECKPOINT_PAGES:
            self._pages = 0
            self.checkpoint()
        now_s = time.monotonic()
        if now_s - self._counted_s >= _COUNT_EVERY_S:
            # The kernel's own count costs a few system calls: not after each of a thousand commits a second.
            self._counted_s = now_s
            self.written_bytes = _written() or self.written_bytes
            self._count_day(now_s)
        with contextlib.suppress(OSError):
            self.wal_bytes = self.path.with_name(self.path.name + "-wal").stat().st_size

    def _count_day(self, now_s: float) -> None:
        """What a day comes to at the rate of the last hour: checkpoints write in bursts, minutes apart."""
        if not self._written or now_s - self._written[-1][0] >= _NOTE_EVERY_S:
            self._written.append((now_s, self.written_bytes))
            while len(self._written) > 1 and now_s - self._written[1][0] >= _HOUR_S:
                self._written.popleft()
        began_s, before = self._written[0]
        if now_s - began_s >= _LEAST_S:
            self.written_per_day = (self.written_bytes - before) / (now_s - began_s) * _DAY_S

    def checkpoint(self) -> None:
        """Copy the WAL into the file. What the disk refuses is tried again later; nothing is lost by that.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        if self.book is None:
            return
        try:
            _, frames, copied = self.book.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            if faults.damaged(error):
                raise
            if not self._checkpoint_failed:
                log.warning("checkpoint of the log's WAL failed: %s", error)
            self._checkpoint_failed = True
            return
        self._checkpoint_failed = False
        self._held_for = self._held_for + 1 if copied < frames else 0
        held, self.held = self.held, self._held_for >= _HELD_AFTER
        if self.held and not held:
            who = " and ".join(foreign.readers(self.path)) or "another process"
            log.warning("%s keeps a read transaction open on the log: the WAL grows until it ends", who)

    def rebuild(self) -> bool:
        """Write the file anew without its free pages, and cut it; whether that was done.

        It goes over the WAL that is there, and so not while somebody reads the file. Holds up all commits.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        if self.book is None:
            return False
        connection = self.book.connection
        if not self._restart_wal(connection):
            return False
        try:
            connection.execute("PRAGMA temp_store=MEMORY")  # the copy on its way needs no room on the disk
            connection.execute("VACUUM")
        except sqlite3.Error as error:
            if faults.damaged(error):
                raise
            log.warning("the log's file cannot be made smaller: %s", error)
            return False
        finally:
            connection.execute("PRAGMA temp_store=DEFAULT")
            self._pages = 0
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # a WAL of so much is in the way too
        return True

    @staticmethod
    def _restart_wal(connection: sqlite3.Connection) -> bool:
        """Have what is written next go over the WAL that is there; not while somebody reads it."""
        connection.execute("PRAGMA busy_timeout=0")
        try:
            return bool(connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0)
        except sqlite3.Error as error:
            if faults.damaged(error):
                raise
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout={schema.BUSY_MS}")

    def keep_room(self) -> bool:
        """Set room aside, which lets the log go on trimming when others fill the disk; whether there is any."""
        if self._ballast.exists():
            return True
        try:
            file = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, disk.MODE)
        except OSError:
            return False
        try:
            os.posix_fallocate(file, 0, _BALLAST_BYTES)
        except OSError:
            self._ballast.unlink()
            return False
        finally:
            os.close(file)
        return True

    def bound_pages(self, *, bound: bool, least_bytes: int = 0) -> None:
        """Let the file grow no more, so that the WAL never holds a page that the file has no room for; or let it.

        A file of less than `least_bytes` may grow up to them.

        Raises:
            sqlite3.Error: as the disk has it.
        """
        if self.book is not None:
            now = self.book.connection.execute("PRAGMA page_count").fetchone()[0]
            pages = max(now, least_bytes // schema.PAGE_BYTES) if bound else _MOST_PAGES
            self.book.connection.execute(f"PRAGMA max_page_count={pages}")

    def use_room(self) -> None:
        """Give back what was set aside, and what was put aside and emptied, but for the newest."""
        self._ballast.unlink(missing_ok=True)
        aside.sweep(self.path, keep=1)

    def displaced(self) -> bool:
        """Whether another file, or none, stands where the open one did: what is committed now would end with us."""
        if self.book is None:
            return False
        try:
            return _identity(self.path) != self._identity
        except FileNotFoundError:
            return True
        except OSError:
            return False  # the disk does not say

    def rescue(self) -> Path:
        """Copy the open file, which has no name any more, to one that is put aside; what took its place as well.

        Raises:
            sqlite3.Error, OSError: the folder does not take it; the open file stays open.
        """
        to = aside.place(self.path, aside.DAMAGED)
        if self.book is not None:
            os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, disk.MODE))
            with contextlib.closing(sqlite3.connect(to)) as copy:
                self.book.connection.backup(copy)
            self.names().write(to.with_name(to.name + SUFFIX))
        self.put_aside(aside.REPLACED)
        return to

    def vanished(self) -> bool:
        """Whether a log was here, by what stands beside it, and its file is gone or empty; not where we moved it.

        Raises:
            OSError: the disk does not say.
        """
        if self.book is not None or self._moved:
            return False
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_size:
                return False
        log_id = Names.read(self._names).log_id
        # An earlier process may have moved it, and ended before there was a new one.
        return bool(log_id) and log_id not in aside.log_ids(self.path)

    def put_aside(self, kind: str) -> Path:
        """Close the file and move it away with all that belongs to it.

        Raises:
            OSError: it cannot be moved.
        """
        names = self.names()
        self.close(clean=False)
        to = aside.place(self.path, kind)
        self.path.touch(disk.MODE)
        aside.move(self.path, to, names)
        self._moved = True
        return to

    def takes_files(self) -> bool:
        """Whether the disk takes a new file; a full one would, if it had room."""
        trial = self.path.with_name(self.path.name + ".trial")
        try:
            disk.write_file(trial, bytes(schema.PAGE_BYTES))
        except OSError as error:
            return faults.full(error)
        finally:
            with contextlib.suppress(OSError):
                trial.unlink(missing_ok=True)
        return True

    def _make_private(self) -> None:
        """Make the file before SQLite does, which gives what it adds the mode of the file."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, disk.MODE)
        try:
            if os.fstat(file).st_mode & 0o777 & ~disk.MODE:
                with contextlib.suppress(OSError):  # another's file, which our group may use
                    os.fchmod(file, disk.MODE)
        finally:
            os.close(file)

    def close(self, *, clean: bool) -> None:
        """Close the file; `clean` notes that nothing is under way."""
        book, self.book = self.book, None
        self._pages = self._held_for = self.wal_bytes = 0
        self.held = False
        if book is None:
            return
        # What this process sends it sends as the log's owner, also from a file that it opens anew (D11).
        self._compared = book.compared
        try:
            if clean:
                book.close_clean()
                book.names_now().write(self._names)
        except (sqlite3.Error, OSError) as error:
            log.warning("the log could not be closed cleanly: %s", error)
        finally:
            with contextlib.suppress(sqlite3.Error):
                book.connection.close()


def _written() -> int:
    """What this thread has had written to storage since it began, in bytes; 0 where the kernel does not say."""
    try:
        with Path("/proc/thread-self/io").open() as file:
            return next((int(line.split()[1]) for line in file if line.startswith("write_bytes")), 0)
    except OSError:
        return 0


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
