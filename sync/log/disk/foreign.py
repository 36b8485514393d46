"""Who else reads or locks the log's file: for people to be told, where somebody does so without end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_WRITERS: Final = range(120, 121)
_READ_MARKS: Final = range(123, 128)
"""Bytes of SQLite's `-shm` that are locked while somebody writes, and for as long as a snapshot is read."""


def readers(path: Path) -> list[str]:
    """The other processes that read a snapshot of a file, as far as the kernel says."""
    return _holders(path, _READ_MARKS, os.getpid())


def writers(path: Path, daemon: int) -> list[str]:
    """The processes but for the daemon that keep all others from writing to a file, as far as the kernel says."""
    return _holders(path, _WRITERS, daemon)


def _holders(path: Path, locked: range, own: int) -> list[str]:
    """The kernel's own list is read: opening `-shm` ourselves and closing it would drop our locks on it."""
    try:
        inode = path.with_name(path.name + "-shm").stat().st_ino
        listed = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in listed:
        words = line.split()
        # 7: POSIX ADVISORY READ 4711 fe:00:9986125 123 123
        if len(words) != 8 or not words[4].isdecimal() or words[5].rpartition(":")[2] != str(inode):
            continue
        number = int(words[4])
        if words[6].isdecimal() and int(words[6]) in locked and number != own:
            found.append(f"process {number}{_named(number)}")
    return sorted(set(found))


def _named(number: int) -> str:
    try:
        return f" ({Path(f'/proc/{number}/comm').read_text().strip()})"
    except OSError:
        return ""
