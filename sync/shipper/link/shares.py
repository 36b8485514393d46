"""Who may send now: the day's budget, the lanes' rates, and what is left to `backfill` and `bulk` beside `live`.

W1  `alert` never waits here.
W2  Once the day's budget is used up but for the reserve, all others wait for the next day; a lane whose own is used
    up waits alone. What waits stays in the log.
W3  A lane with a rate begins no batch while it is ahead of it. What waits meanwhile is joined, so a low rate sends
    fewer and larger batches, not the same ones late.
W4  While `live` flows and is behind all the same, `backfill` takes no more than its share of what the link carries.
    `bulk` goes only where neither of the two flows and is behind. Else each takes what it can get.
W5  After an outage `backfill` begins at a moment drawn from a tenth of the outage, so that a fleet does not return as
    one; what is fresh goes at once, and `backfill` not before `live` has begun, or had ten seconds to.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sync.values import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync.shipper.link.meter import Meter
    from sync.values import Pending

_ASK_AGAIN_S: Final = 1.0
_BEHIND_S: Final = 5.0
"""Older than this, what waits in `live` is more than what is always under way on a slow link."""
_HEAD_START_S: Final = 10.0
_STILL_S: Final = 3.0
_BURST_S: Final = 2.0
_OVER: Final = "today's budget is used up except for the alarm reserve; sending resumes at midnight UTC"
_OWN_OVER: Final = "the lane's budget for today is used up; sending resumes at midnight UTC"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a lane waits, and for how long before it is worth asking again."""

    reason: str
    for_s: float


class Shares:
    """The gate before each offer and each attempt of a batch; `streams` are those of the log."""

    def __init__(
        self, meter: Meter, streams: Callable[[], Sequence[Pending]], backfill_share: float, spread_s: float
    ) -> None:
        self.meter = meter
        self._streams = streams
        self._share = backfill_share
        self._spread_s = spread_s
        self._backfill_from_s = 0.0
        self._head_start_until_s = 0.0
        self._live_moved = 0
        self._buckets = {lane: _Bucket(meter.moved_by(lane)) for lane in Lane}
        self._since: tuple[int, int] | None = None
        self._flow: dict[Lane, tuple[int, float]] = {}
        self.holds: dict[Lane, str] = {}

    async def wait(self, lane: Lane) -> None:
        """Wait until the lane may begin a batch."""
        if lane is Lane.ALERT:
            return
        while (hold := self._hold(lane)) is not None:
            self.holds[lane] = hold.reason
            await asyncio.sleep(min(hold.for_s, _ASK_AGAIN_S))
        self.holds.pop(lane, None)

    def link_back(self, outage_s: float) -> None:
        """The link is there (again), after so long; call when it is, before anything is sent."""
        most_s = min(outage_s / 10, self._spread_s)
        self.meter.look()
        self._live_moved = self.meter.moved_by(Lane.LIVE)
        self._head_start_until_s = time.monotonic() + _HEAD_START_S
        self._backfill_from_s = time.monotonic() + random.uniform(0.0, most_s)  # noqa: S311 - spreads a fleet

    def used_up(self) -> str | None:
        """The reason why all but alarms wait for the next day; None while they need not."""
        return _OVER if self.meter.link_left() <= 0 else None

    def _hold(self, lane: Lane) -> Hold | None:
        budget, limit = self.meter.budget, self.meter.budget.of(lane)
        if budget.daily or limit.bytes_per_s is not None or lane is not Lane.LIVE:
            self.meter.look()
        if budget.daily:
            if not self.meter.restored:
                return Hold("today's byte count is not loaded yet", 0.1)
            if self.meter.link_left() <= 0:
                return Hold(_OVER, _ASK_AGAIN_S)
            if self.meter.left(lane) <= 0:
                return Hold(_OWN_OVER, _ASK_AGAIN_S)
        if limit.bytes_per_s is not None:
            ahead_s = self._buckets[lane].ahead_s(self.meter.moved_by(lane), limit.bytes_per_s)
            if ahead_s > 0:
                return Hold(f"limited to {limit.bytes_per_s:g} bytes a second", ahead_s)
        return None if lane is Lane.LIVE else self._behind_live(lane)

    def _behind_live(self, lane: Lane) -> Hold | None:
        wait_s = self._backfill_from_s - time.monotonic()
        if wait_s > 0:
            return Hold("the backlog starts after a random delay (kafka.backfill_spread_s)", wait_s)
        if self._live_has_yet_to_begin():
            return Hold("lane live goes first", 0.1)
        live_behind = self._flows_behind(Lane.LIVE)
        if lane is Lane.BULK:
            first = live_behind or self._flows_behind(Lane.BACKFILL)
            return Hold("the other lanes go first", _ASK_AGAIN_S) if first else None
        live, mine = self.meter.moved_by(Lane.LIVE), self.meter.moved_by(Lane.BACKFILL)
        if not live_behind:
            self._since = None
            return None
        self._since = self._since or (live, mine)
        used = mine - self._since[1]
        if used > self._share * (live - self._since[0] + used):
            return Hold("lane live is behind, and backfill has used its share", 0.1)
        return None

    def _live_has_yet_to_begin(self) -> bool:
        """Whether the link has just come back, and nothing of `live` has left since, though there is something."""
        if time.monotonic() > self._head_start_until_s or self.meter.moved_by(Lane.LIVE) != self._live_moved:
            return False
        return any(p.lane is Lane.LIVE and (p.records or p.unsettled) for p in self._streams())

    def _flows_behind(self, lane: Lane) -> bool:
        """Whether a lane is being sent, and yet what waits in it is old: then the link is what it lacks."""
        now_s, moved = time.monotonic(), self.meter.moved_by(lane)
        last, at_s = self._flow.get(lane, (0, 0.0))
        if moved != last:
            self._flow[lane] = (moved, now_s)
        elif now_s - at_s > _STILL_S:
            return False
        oldest_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(_BEHIND_S * 1e9)
        return any(p.lane is lane and p.records and p.oldest_at_ns < oldest_ns for p in self._streams())


class _Bucket:
    """How far a lane is ahead of its rate; at rest it may save up two seconds of it."""

    def __init__(self, moved: int) -> None:
        self._moved = moved
        self._level = 0.0
        self._at_s = time.monotonic()

    def ahead_s(self, moved: int, rate: float) -> float:
        """The lane has moved so much in all: how long until it may go on, 0 or less where it may at once."""
        now_s = time.monotonic()
        self._level = min(self._level + (now_s - self._at_s) * rate, _BURST_S * rate) - (moved - self._moved)
        self._at_s, self._moved = now_s, moved
        return -self._level / rate
