"""The clocks that blocks are stamped with, and whether the wall clock can be trusted."""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Final

_TIME_ERROR: Final = 5
# struct timex is 208 bytes on 64-bit Linux; mode 0 only asks.
_TIMEX_BYTES: Final = 512


class Clock:
    """The machine's own clocks. Tests give the log another."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        try:
            self.boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            self.boot = "unknown"

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def mono_ms(self) -> int:
        """Milliseconds since boot, sleep included."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def synced(self) -> bool:
        """Whether the kernel holds the wall clock for synchronised; no rights are needed to ask."""
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        state: int = self._libc.adjtimex(timex)
        return 0 <= state != _TIME_ERROR
