"""Room on the log's disk: where others leave too little of it, the log grows no more and gives back what it can.

What was delivered goes at once. Undelivered records stay: the pages that history leaves are theirs, for nothing else
is sure to be there in an outage. Once what is left is little, the file is rebuilt without its free pages, in one go:
only so do they come back to the file system (docs/decisions/0022-pages-given-back.md).
"""

from __future__ import annotations

import logging
import math
import os
import time
from typing import TYPE_CHECKING, Final

from sync.log.disk.schema import PAGE_BYTES
from sync.log.retention import trimming

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.commit.file import LogFile
    from sync.log.settings import LogSettings

log = logging.getLogger("tidegate.log")

LEAST_BYTES: Final = 4 * 1024**2
"""The log always may have so much."""
_PART: Final = 10
"""Of a small disk no more than this part is kept free."""
_LOOK_EVERY_S: Final = 1.0
_MOST_REBUILT: Final = 8 * 1024**2
"""What is written anew in one go holds up the commits for as long, and stands in the WAL and in memory."""
_LEAST_GAINED: Final = 1024**2
_SPARE_BYTES: Final = 512 * 1024
"""Left to commits beside the copy, which is in the WAL until the file is cut."""
_REBUILD_EVERY_S: Final = 30.0


class Space:
    """Looks once a second at most. On the writer's thread, for a disk that hangs holds up who asks it."""

    def __init__(self, settings: LogSettings) -> None:
        self.short = False
        self.free_bytes: int | None = None
        self.bound_bytes: int | None = None
        """While space is short: the smallest that the file was meanwhile, but for what it always may have."""
        self._settings = settings
        self._disk_bytes = 0
        self._looked_s = -math.inf
        self._rebuilt_s = -math.inf

    def look(self, book: Book) -> None:
        """See how much is free, where the disk says it, and bound the log where it is too little."""
        now_s = time.monotonic()
        if not self._settings.min_free_bytes or now_s - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = now_s
        free_bytes = self._free()
        if free_bytes is None:
            return
        self.free_bytes = free_bytes
        least = min(self._settings.min_free_bytes, self._disk_bytes // _PART)
        short, self.short = self.short, free_bytes < least + (least // 8 if self.short else 0)
        if not self.short:
            self.bound_bytes = None
        else:
            size = max(_file_bytes(book), LEAST_BYTES)
            self.bound_bytes = size if self.bound_bytes is None else min(self.bound_bytes, size)
        if self.short and not short:
            log.warning("the log's disk has %d MiB left: the log does not grow any more", free_bytes // 1024**2)
        elif short and not self.short:
            log.info("the log's disk has enough space again")

    def _free(self) -> int | None:
        """What the disk has free, in bytes; None where it does not say."""
        try:
            disk = os.statvfs(self._settings.path.parent)
        except OSError:
            return None
        self._disk_bytes = disk.f_blocks * disk.f_frsize
        return disk.f_bavail * disk.f_frsize

    def give_back(self, file: LogFile, book: Book) -> bool:
        """Rebuild the file where that gives back more than it takes; whether it was.

        Raises:
            sqlite3.DatabaseError: the file is damaged.
        """
        now_s = time.monotonic()
        if not self.short or file.held or now_s - self._rebuilt_s < _REBUILD_EVERY_S:
            return False
        used, size = trimming.bytes_used(book), _file_bytes(book)
        if used > _MOST_REBUILT or size - used < max(used, _LEAST_GAINED):
            return False
        # The copy is written over the WAL that is there, which on a full disk is all the room that is left.
        if (self.free_bytes or 0) + file.wal_bytes < used + used // 8 + _SPARE_BYTES:
            return False  # the copy would take the room that commits need
        self._rebuilt_s = now_s
        if not file.rebuild():
            return False
        self.free_bytes = self._free()  # without another commit nothing looks again
        log.warning("%d MiB were given back to the disk", (size - _file_bytes(book)) // 1024**2)
        return True


def _file_bytes(book: Book) -> int:
    pages: int = book.connection.execute("PRAGMA page_count").fetchone()[0]
    return pages * PAGE_BYTES
