"""Log files put aside: why one lies there is in its name, and what may hold undelivered records is never removed.

held-TIME        a foreign reader held it open until its WAL was at its bound; emptied as a damaged one, then removed
damaged-TIME     could not be used; it is emptied into the log that was begun in its place
format-N-TIME    another version wrote it; emptied by the first version that reads format N
salvaged-TIME    one of these, emptied; the newest two files that hold nothing any more are kept
replaced-TIME    stood where our open file had stood; nobody reads it
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sync.disk import sync_folder
from sync.log.disk import schema
from sync.log.disk.names import SUFFIX, Names

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED: Final = "damaged"
HELD: Final = "held"
REPLACED: Final = "replaced"
_SALVAGED: Final = "salvaged"
_KEEP: Final = 2
_KIND: Final = re.compile(r"(?P<kind>damaged|held|salvaged|replaced|format-(?P<format>\d+))-(?P<time>\d{8}T\d{12}Z)")
_TIME: Final = "%Y%m%dT%H%M%S%fZ"
_SHARED: Final = "-shm"
_WAL: Final = "-wal"
_WITH: Final = (_WAL, _SHARED, SUFFIX)


def of_format(number: int) -> str:
    """The kind of a file whose format this version does not read."""
    return f"format-{number}"


def place(path: Path, kind: str) -> Path:
    """Where a file is put now; by its name it is the newest, also where the clock was set back."""
    now = datetime.now(UTC)
    for time, _, _ in _found(path)[-1:]:
        now = max(now, datetime.strptime(time, _TIME).replace(tzinfo=UTC) + timedelta(microseconds=1))
    return path.with_name(f"{path.name}.{kind}-{now.strftime(_TIME)}")


def log_ids(path: Path) -> set[str]:
    """Whose files lie here, as far as what lies beside them says it."""
    return {Names.read(_beside(file, SUFFIX)).log_id for file in files(path)}


def files(path: Path) -> list[Path]:
    """All that was put aside, oldest first."""
    return [file for _, _, file in _found(path)]


def waiting(path: Path) -> list[Path]:
    """What is to be emptied by this version, oldest first."""
    return [
        file
        for _, kind, file in _found(path)
        if kind in {DAMAGED, HELD} or (kind.isdigit() and schema.reads(int(kind)))
    ]


def _found(path: Path) -> list[tuple[str, str, Path]]:
    """Time, kind (the number of a format is one) and file."""
    found = []
    for file in path.parent.glob(f"{path.name}.*-*"):
        match = _KIND.fullmatch(file.name.removeprefix(f"{path.name}."))
        if match is not None:
            found.append((match["time"], match["format"] or match["kind"], file))
    return sorted(found)


def move(path: Path, to: Path, names: Names) -> None:
    """Put a closed file aside with all that belongs to it. Cut off in the middle, `finish_move` ends it.

    Raises:
        OSError: it cannot be moved.
    """
    names.write(_beside(to, SUFFIX))
    with contextlib.suppress(FileNotFoundError):
        path.rename(to)
    sync_folder(path.parent)  # the file before its WAL: without one, it would be taken for whole
    with contextlib.suppress(FileNotFoundError):
        _beside(path, _WAL).rename(_beside(to, _WAL))
    _beside(path, _SHARED).unlink(missing_ok=True)
    sync_folder(path.parent)


def finish_move(path: Path) -> None:
    """A WAL without its file belongs to the file that was put aside last.

    Raises:
        OSError: it cannot be moved.
    """
    if path.exists() or not _beside(path, _WAL).exists():
        return
    for file in reversed(files(path)):
        if not _beside(file, _WAL).exists():
            _beside(path, _WAL).rename(_beside(file, _WAL))
            sync_folder(path.parent)
        return


def emptied(path: Path, file: Path) -> None:
    """Nothing in the file is waited for any more: name it so, and let the oldest of these go.

    One that was sound is of no use to anybody.

    Raises:
        OSError: it cannot be renamed or removed.
    """
    if file.name.removeprefix(f"{path.name}.").startswith(f"{HELD}-"):
        for end in (*_WITH, ""):
            _beside(file, end).unlink(missing_ok=True)
        sync_folder(path.parent)
        return
    _rename(path, file, _SALVAGED)
    sweep(path, keep=_KEEP)


def set_apart(path: Path, file: Path, number: int) -> None:
    """Nothing was read of a file, for it is of a format that this version does not read: name it so.

    Raises:
        OSError: it cannot be renamed.
    """
    _rename(path, file, of_format(number))


def _rename(path: Path, file: Path, kind: str) -> None:
    to = path.with_name(f"{path.name}.{kind}-{file.name.rpartition('-')[2]}")
    for end in (*_WITH, ""):
        with contextlib.suppress(FileNotFoundError):
            _beside(file, end).rename(_beside(to, end))
    sync_folder(path.parent)


def sweep(path: Path, *, keep: int) -> None:
    """Remove what holds nothing that is waited for, but for the newest."""
    for file in [file for _, kind, file in _found(path) if kind in {_SALVAGED, REPLACED}][:-keep]:
        for end in (*_WITH, ""):
            with contextlib.suppress(OSError):
                _beside(file, end).unlink(missing_ok=True)


def write_again(path: Path) -> None:
    """Have the whole WAL written anew. After an fsync that failed it may be in memory alone, and look whole.

    Linux tells of a failed fsync once, and may take its pages for written from then on.

    Raises:
        OSError: the disk does not take it.
    """
    try:
        file = os.open(_beside(path, _WAL), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        at = 0
        while content := os.pread(file, 1 << 20, at):
            at += os.pwrite(file, content, at)
        os.fsync(file)
    finally:
        os.close(file)


def _beside(file: Path, end: str) -> Path:
    return file.with_name(file.name + end)
