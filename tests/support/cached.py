"""Folders that are made once and kept outside version control, however many runs ask for them at once."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CHECKOUT = Path(__file__).parents[2]


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name in the cache. `make` fills it, or creates it, the first time it is asked for."""
    cache = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(cache) / "tidegate" if cache else _CHECKOUT / ".cache") / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            half = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(half, ignore_errors=True)
            make(half)
            half.rename(folder)
    return folder
