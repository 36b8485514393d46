"""Reads what a link moves, counts it by the day, and keeps that count over a restart.

The count on disk is ahead of the true one by what may still move before it is written again, so that a kill gives
nothing back. It is written at most once a minute, or once for each 32nd part of the budget where that is sooner, and
exactly at an orderly stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sync.shipper.link.budget import DAY_S, Budget, Days, unpacked
from sync.values import Lane, NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sync.seams import Cursors

CONTROL: Final = "control"
LINES: Final = (*(lane.value for lane in Lane), CONTROL)

_LOOK_EVERY_S: Final = 1.0
_KEEP_EVERY_S: Final = 60.0
_KEEP_AT_LEAST_EVERY_S: Final = 3600.0
_LEAST_AHEAD: Final = 16 * 1024
"""About what a start moves: a gateway that starts over and over must not use up its day by reserving."""
_MOST_AHEAD: Final = 32
"""At most so small a part of the day's budget is reserved at once."""
_RATE_OVER_S: Final = 300.0
IDLE_AFTER_S: Final = 300.0
"""What moves so soon after a start, or after the link came back, is no sign of what an idle day takes."""
IDLE_LEAST_S: Final = 3600.0
"""What an idle day takes is not said before so much of the link was measured."""


@dataclass(frozen=True, slots=True)
class LinkStats:
    """A snapshot. `today` is by line; `left` is what the budget leaves today, None without one, below 0 once over.

    `runs_out_s`: so soon is the budget used up at the rate of the last minutes, None where it lasts the day.
    `idle_bytes_per_day`: what questions and the fleet's polls come to in a day, at their rate while the link was up;
    None, with the reason in `idle_missing`, until an hour of that was measured.
    """

    today: Mapping[str, int]
    budget: Budget
    left: int | None
    runs_out_s: float | None
    day_ends_s: float
    bytes_per_s: float
    idle_bytes_per_day: float | None
    idle_missing: str = ""


class Meter:
    """The traffic of one link, for as long as the process lives.

    `moved` gives the bytes of each line until now, `linked` says whether a broker answers.
    """

    def __init__(
        self,
        moved: Callable[[], Mapping[str, int]],
        wall_s: Callable[[], float] = time.time,
        mono_s: Callable[[], float] = time.monotonic,
        linked: Callable[[], bool] = lambda: True,
    ) -> None:
        self._moved = moved
        self._wall_s = wall_s
        self._mono_s = mono_s
        self._linked = linked
        self._looked_s = self._linked_since_s = mono_s()
        self._idle_s = 0.0
        self._idle_bytes = 0
        self._seen: dict[str, int] = {}
        self.budget = Budget()
        self.days = Days()
        self.restored = False
        self.bytes_per_s = 0.0
        self.live_bytes_per_s = 0.0
        self._kept = 0
        self._kept_s = mono_s()
        self._ahead = _LEAST_AHEAD

    def look(self) -> None:
        """Count what has moved since the last look."""
        now_s = self._mono_s()
        elapsed_s, self._looked_s = max(now_s - self._looked_s, 0.0), now_s
        self.days.advance(self._wall_s(), elapsed_s)
        today = self.days.today.moved
        new = live = control = 0
        for line, total in self._moved().items():
            grown = total - self._seen.get(line, 0)
            if grown > 0:
                self._seen[line] = total
                today[line] = today.get(line, 0) + grown
                new += grown
                live += grown if line == Lane.LIVE else 0
                control += grown if line == CONTROL else 0
        self._count_idle(now_s, elapsed_s, control)
        # The mean of the last minutes, older ones weighing less.
        weight = min(elapsed_s / _RATE_OVER_S, 1.0)
        if elapsed_s > 0:
            self.bytes_per_s += weight * (new / elapsed_s - self.bytes_per_s)
            self.live_bytes_per_s += weight * (live / elapsed_s - self.live_bytes_per_s)

    def _count_idle(self, now_s: float, elapsed_s: float, control: int) -> None:
        """Attempts to reach a broker that does not answer, and what a start asks, belong to no idle day."""
        if not self._linked():
            self._linked_since_s = now_s
        elif now_s - elapsed_s - self._linked_since_s >= IDLE_AFTER_S:
            self._idle_s += elapsed_s
            self._idle_bytes += control

    def moved_by(self, lane: Lane) -> int:
        """What a lane has moved since the start, as of the last look."""
        return self._seen.get(lane, 0)

    def link_left(self) -> float:
        """How many more bytes all lanes but `alert` may move today, as of the last look."""
        return self.days.link_left(self.budget)

    def left(self, lane: Lane) -> float:
        """How many more bytes a lane may move today, as of the last look."""
        return self.days.left(self.budget, lane)

    async def run(self, cursors: Cursors) -> None:
        """Look every second, and keep the count, until cancelled; then `keep` it once more."""
        while True:
            with contextlib.suppress(NotReady):  # a log that is closed; the next turn tries again
                await self.turn(cursors)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def turn(self, cursors: Cursors) -> None:
        """Look once, and write the count where that is due."""
        self.look()
        if self.budget.daily:
            if not self.restored:
                await self._restore(cursors)
            if self._is_due():
                await self._write(cursors, self._next_ahead())

    async def keep(self, cursors: Cursors) -> None:
        """Write the count as it is, for an orderly stop."""
        self.look()
        if self.restored:
            await self._write(cursors, 0)

    async def _restore(self, cursors: Cursors) -> None:
        values = {line: await cursors.cursor(f"moved:{line}") for line in LINES}
        kept = unpacked({line: value for line, value in values.items() if value is not None})
        began = self.days.today
        for line, count in began.moved.items():
            kept.moved[line] = kept.moved.get(line, 0) + count
        kept.ran_s += began.ran_s
        self.days.today = kept
        self.restored = True
        self.look()

    def _is_due(self) -> bool:
        since_s = self._mono_s() - self._kept_s
        return self.days.today.total > self._kept or since_s > _KEEP_AT_LEAST_EVERY_S

    def _next_ahead(self) -> int:
        since_s = self._mono_s() - self._kept_s
        most = max((self.budget.bytes_per_day or 1 << 30) // _MOST_AHEAD, _LEAST_AHEAD)
        if self._kept and since_s < _KEEP_EVERY_S:
            self._ahead = min(self._ahead * 2, most)
        elif since_s > 2 * _KEEP_EVERY_S:
            self._ahead = max(self._ahead // 2, _LEAST_AHEAD)
        return self._ahead

    async def _write(self, cursors: Cursors, ahead: int) -> None:
        today = self.days.today
        self._kept = today.total + ahead
        self._kept_s = self._mono_s()
        # What is reserved stands with the questions: after a kill it is the one figure that is too high.
        values = {line: today.packed(line, ahead if line == CONTROL else 0) for line in LINES}
        await asyncio.gather(*(cursors.set_cursor(f"moved:{line}", value) for line, value in values.items()))

    def stats(self) -> LinkStats:
        """The figures as of now."""
        self.look()
        today = self.days.today
        day_ends_s = DAY_S - self._wall_s() % DAY_S
        left = runs_out_s = None
        if self.budget.bytes_per_day is not None:
            left = self.budget.bytes_per_day - today.total
            if self.bytes_per_s > 0 and max(left, 0) / self.bytes_per_s < day_ends_s:
                runs_out_s = max(left, 0) / self.bytes_per_s
        idle, missing = None, ""
        if self._idle_s >= IDLE_LEAST_S:
            idle = self._idle_bytes * DAY_S / self._idle_s
        else:
            missing = f"measured for {self._idle_s / 60:.0f} of {IDLE_LEAST_S / 60:.0f} min so far"
        return LinkStats(
            {line: today.moved.get(line, 0) for line in LINES},
            self.budget,
            left,
            runs_out_s,
            day_ends_s,
            self.bytes_per_s,
            idle,
            missing,
        )
