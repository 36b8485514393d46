"""The clocks that blocks are stamped with, and what is believed of them (C1-C7, cited by the tests).

A gateway may boot in 1970, be set right an hour later, and be set wrong again by a broken time server. Two clocks
count: the wall clock, which can be set, and the boot clock (CLOCK_BOOTTIME), which cannot and which counts sleep.

- C1  The wall clock is trusted while it is said to be synchronised: by the kernel, by systemd-timesyncd's file,
      or by the one file that the settings name. Before 2024 it is not, whoever says so.
- C2  It stays trusted for a week after it was last said so, for as long as it runs beside the boot clock: a
      quartz is off by less than a minute then, and in an outage there is no time server.
- C3  A trusted clock that is set by more than a minute is trusted again once it has stood there, synchronised,
      for an hour; or at once where it goes back.
- C4  Ages within a boot are differences of the boot clock. Nothing that happens to the wall clock changes them.
- C5  The age of what another boot took is at least the time since this boot. It is more than that only where the
      clocks of both were trusted; then, of what this boot's clock said while trusted, the earliest counts. An age
      is never overstated; what is not known ages nothing.
- C6  What another boot took is removed for its age only after the clock was trusted for an hour of this boot.
- C7  What a clock that was not trusted stamped says `clock: unsynchronised`; so does what was taken in the
      commit in which the clock was found set, for its records may bear either time. Still pending when the same
      boot's clock is trusted, it is corrected before its lease is written, and says `clock: corrected`.

The wall clock itself is used for what people read, and for nothing that removes, delays or orders records.
"""

from __future__ import annotations

import ctypes
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from sync.values import EARLIEST_MS

UNSYNCHRONISED: Final = ("clock", b"unsynchronised")
"""The header of what a clock stamped that was not trusted (C7),"""
CORRECTED: Final = ("clock", b"corrected")
"""and of what was set right before it left."""
TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")
STEP_MS: Final = 60_000
STANDS_MS: Final = 3_600_000
HOLDS_MS: Final = 7 * 86_400_000
_SAID_EVERY_MS: Final = 60_000
_NOTE_EVERY_MS: Final = 86_400_000
_MIXED_MS: Final = 1_000
_TIME_ERROR: Final = 5
# struct timex is 208 bytes on 64-bit Linux; mode 0 only asks.
_TIMEX_BYTES: Final = 512


class Clock:
    """The machine's own clocks. Tests give the log another.

    `file`, where it is given, alone says by being there that the wall clock is synchronised.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._libc = ctypes.CDLL(None)
        self._file = file
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
        """Whether the wall clock is said to be synchronised (C1); no rights are needed to ask.

        The kernel's word falls about nine hours after the last correction, and never comes where the time daemon
        does not tell it (chrony without `rtcsync`, openntpd). timesyncd's file stays until the next boot.
        """
        if self._file is not None:
            return self._file.exists()
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)
        state: int = self._libc.adjtimex(timex)
        return 0 <= state != _TIME_ERROR or TIMESYNCD.exists()


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the trusted wall clock of a boot stands: wall minus boot clock, in ms.

    `least` is the smallest that it was while trusted, `since` and `said` the boot clock when it was first trusted
    and last said to be synchronised.
    """

    boot: str
    offset: int
    least: int
    since: int
    said: int


class Stamp(NamedTuple):
    """What a block keeps of the clocks: the wall clock when it was taken, the run, the boot clock, the trust.

    A named tuple, for one is made for each row that is read.
    """

    at_ms: int
    run: int
    mono_ms: int
    synced: int

    def beside(self, other: Stamp) -> bool:
        """Whether both are of one trust, and one correction would hold for both (C7)."""
        if self.synced or other.synced:
            return self.synced == other.synced
        apart = (self.at_ms - self.mono_ms) - (other.at_ms - other.mono_ms)
        return self.run == other.run and abs(apart) <= _MIXED_MS


class Timeline:
    """What this boot's clocks have said so far, and what follows from it. `look` is called once a commit.

    `now` is the stamp of what is taken now; `wall_ms` what the wall clock says, `trusted` whether it is believed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: frozenset[int] = frozenset()
        self._offset: int | None = None
        self._stands: tuple[int, int] | None = None
        self._noted: Anchor | None = None
        self.anchor: Anchor | None = None
        self.wall_ms = 0
        self.trusted = False
        self.now = Stamp(0, 0, 0, 0)

    def begin(self, runs: frozenset[int], noted: str | None) -> None:
        """Learn which runs were of this boot, and where its clock stood when that was last noted on disk."""
        self._runs = runs
        try:
            found: Any = json.loads(noted or "null")
            anchor = None if found is None else Anchor(str(found.pop("boot")), **{k: int(found[k]) for k in found})
        except (ValueError, TypeError, KeyError, AttributeError):
            anchor = None
        if self.anchor is None and anchor is not None and anchor.boot == self._clock.boot != "unknown":
            self.anchor = self._noted = anchor

    def look(self, run: int) -> None:
        """Look at the clocks. Where the wall clock was set since the last look, `now` is by what it said before."""
        clock = self._clock
        wall, mono = clock.wall_ms(), clock.mono_ms()
        offset = wall - mono
        before, self._offset = self._offset, offset
        self.wall_ms = wall
        self.trusted = self._judge(wall, mono, offset, said=clock.synced())
        if before is not None and abs(offset - before) > _MIXED_MS:
            self.now = Stamp(mono + before, run, mono, 0)
        else:
            self.now = Stamp(wall, run, mono, int(self.trusted))

    def _judge(self, wall: int, mono: int, offset: int, *, said: bool) -> bool:
        said = said and wall >= EARLIEST_MS
        anchor = self.anchor
        if anchor is None:
            if said:
                self.anchor = Anchor(self._clock.boot, offset, offset, mono, mono)
            return said
        if abs(offset - anchor.offset) <= STEP_MS:
            self._stands = None
            if said:
                if offset != anchor.offset or mono - anchor.said > _SAID_EVERY_MS:
                    self.anchor = replace(anchor, offset=offset, least=min(anchor.least, offset), said=mono)
                return True
            return mono - anchor.said <= HOLDS_MS
        if not said:
            self._stands = None
            return False
        if self._stands is None or abs(offset - self._stands[0]) > STEP_MS:
            self._stands = offset, mono
        if mono - self._stands[1] < STANDS_MS:
            return False
        self.anchor = replace(anchor, offset=offset, least=min(anchor.least, offset), said=mono)
        self._stands = None
        return True

    def to_note(self) -> str | None:
        """What is to be noted on disk about this boot's clock; None where the last note still does."""
        anchor, noted = self.anchor, self._noted
        if anchor is None or (
            noted is not None
            and noted.least == anchor.least
            and abs(noted.offset - anchor.offset) <= _MIXED_MS
            and anchor.said - noted.said < _NOTE_EVERY_MS
        ):
            return None
        return json.dumps(asdict(anchor))

    def noted(self) -> None:
        """The note is on disk."""
        self._noted = self.anchor

    def here(self, stamp: Stamp) -> bool:
        """Whether a block was taken in this boot."""
        return stamp.run in self._runs or stamp.run == self.now.run

    def taken_ms(self, stamp: Stamp) -> int:
        """When a block was taken, on this boot's clock, at the latest (C4, C5); below 0 is before the boot."""
        if self.here(stamp):
            return stamp.mono_ms
        if not stamp.synced or self.anchor is None:
            return 0
        return min(stamp.at_ms - self.anchor.least, 0)

    def done_ms(self, stamp: Stamp) -> int | None:
        """When something was done, on this boot's clock; None where no clock that was trusted can tell (C4, C5)."""
        if self.here(stamp):
            return stamp.mono_ms
        if not (stamp.synced and self.trusted and self.anchor):
            return None
        return stamp.at_ms - self.anchor.offset

    def right_ms(self, stamp: Stamp) -> int | None:
        """What the wall clock should have said when a block was taken; None where it cannot be said now (C7)."""
        if not self.trusted or self.anchor is None or not self.here(stamp):
            return None
        return stamp.mono_ms + self.anchor.offset

    def older_than(self, age_ms: int) -> int | None:
        """The boot clock before which something was taken that is to go for its age; None: nothing is (C6)."""
        since, mono = self.anchor.since if self.anchor else None, self.now.mono_ms
        if mono <= age_ms and (since is None or mono - since < STANDS_MS):
            return None
        return mono - age_ms
