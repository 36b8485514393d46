"""A wall clock of a process's own, set while it runs, by libfaketime."""

from __future__ import annotations

import time
from pathlib import Path

EPOCH_S = -time.time() + 600
"""Offset that makes it ten past midnight on the first of January 1970."""
YEAR_S = 365 * 86_400.0


def _library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        raise AssertionError("libfaketime is missing: apt-get install faketime")
    return found[0]


class FakedTime:
    """The `environment` of a process whose wall clock is `offset_s` beside the real one."""

    def __init__(self, folder: Path, offset_s: float = 0.0) -> None:
        self._file = folder / "faketime"
        self.set(offset_s)

    def set(self, offset_s: float) -> None:
        """Set the clock; the process has it at once."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{offset_s:+.0f}\n")
        fresh.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # The clocks since boot cannot be set on a real machine either; nor do files change their times.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
