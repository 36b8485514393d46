"""What an error of the log's disk or file says: who is at fault, and whether waiting can help."""

from __future__ import annotations

import errno
import sqlite3
import struct
from typing import Final

from sync.log.disk.schema import Foreign

NOISE: Final = (Foreign, ValueError, TypeError, LookupError, AttributeError, OverflowError, struct.error)
"""What a damaged file brings into the types that its rows are read into."""
_CORRUPT: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT}
_WITHHELD: Final = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}
_PASSING: Final = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def damaged(error: BaseException) -> bool:
    """Whether SQLite says that the file itself is at fault."""
    return isinstance(error, sqlite3.Error) and _primary(error) in _CORRUPT


def suspicious(error: BaseException) -> bool:
    """The same, where a missing table or an odd value says it too."""
    if isinstance(error, sqlite3.Error):
        return damaged(error) or _primary(error) == sqlite3.SQLITE_ERROR
    return isinstance(error, NOISE)


def withheld(error: BaseException) -> bool:
    """Whether the disk did not give what the file holds, as a bad sector does for good."""
    return getattr(error, "sqlite_errorcode", 0) in _WITHHELD


def full(error: BaseException) -> bool:
    """Whether the disk has no room left."""
    if isinstance(error, sqlite3.Error):
        return _primary(error) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def passing(error: BaseException) -> bool:
    """Whether the disk has no time or is away, which is no reason to take a file for empty."""
    return isinstance(error, sqlite3.Error) and _primary(error) in _PASSING


def _primary(error: sqlite3.Error) -> int:
    """SQLite's code without what it says more closely."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
