"""The broker's window: how many messages it lets wait for our acknowledgement, learnt from where it stops.

No broker says its window. A broker that has stopped at it shows it: nothing comes while we write to disk, and the
next messages are there as soon as the acknowledgements are. The same number of messages under way at three such stops
in a row is taken for the window; one more message under way than that, and it was not. From then on a stop at the
window is worth a commit of its own (`full`), for until then nothing more can come.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

STOP_S: Final = 0.005
"""Beyond what is read together: so long nothing more comes from a broker that has stopped at its window."""
_STOPS: Final = 3
_SILENT_S: Final = 0.005
"""A shorter silence before an acknowledgement is no stop: messages 5 ms apart are 200 a second."""
_AT_ONCE: Final = 4
"""An answer comes at once if it takes less than this part of the silence before."""
_MISSES: Final = 5
_SMOOTHED: Final = 0.25
_BOUND_S: Final = 10.0
"""Stops that follow each other within this time are one bound rate."""


class Window:
    """Of one broker, over all connections to it. Counts messages of QoS 1 and 2; times are monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.size: int | None = None
        """Messages that the broker lets wait, once that is known."""
        self.under_way = 0
        self._peaks: deque[int] = deque(maxlen=_STOPS)
        self._misses = 0
        self._answer_s = 0.0
        self._came_s = 0.0
        self._asked: tuple[float, float, int] | None = None
        self._stop_s: float | None = None
        self._cycle_s = 0.0
        self._bound_since_s: float | None = None

    @property
    def full(self) -> bool:
        """Whether the broker waits for us, as far as is known."""
        return self.size is not None and self.under_way == self.size

    @property
    def ceiling_per_s(self) -> float | None:
        """Messages a second that come through the window, measured while it limits the rate; otherwise None."""
        if self.size is None or not self._cycle_s or not self.bound_s:
            return None
        return self.size / self._cycle_s

    @property
    def bound_s(self) -> float:
        """For how long the broker has been stopping at its window again and again; 0 if it does not now."""
        if self._bound_since_s is None or self._stop_s is None or self._clock() - self._stop_s > _BOUND_S:
            return 0.0
        return self._clock() - self._bound_since_s

    def begin(self) -> None:
        """A new connection: what was under way on the one before no longer counts."""
        self.under_way = 0
        self._asked = self._stop_s = self._bound_since_s = None

    def came(self, count: int) -> None:
        """Messages came."""
        now_s = self._clock()
        asked, self._asked = self._asked, None
        self.under_way += count
        self._came_s = now_s
        if asked is not None:
            self._judge(*asked, now_s)
        if self.size is not None and self.under_way > self.size:
            self._unlearn()

    def acknowledged(self, count: int) -> None:
        """Acknowledgements were sent."""
        now_s = self._clock()
        self._asked = (now_s, now_s - self._came_s, self.under_way)
        self.under_way = max(0, self.under_way - count)

    def _judge(self, asked_s: float, silence_s: float, peak: int, now_s: float) -> None:
        if silence_s < _SILENT_S:
            return
        answer_s = now_s - asked_s
        if answer_s * _AT_ONCE > silence_s and answer_s > 2 * self._answer_s:
            self._peaks.clear()
            self._stop_s = self._bound_since_s = None
            self._misses += peak == self.size
            if self._misses >= _MISSES:
                self._unlearn()
            return
        self._peaks.append(peak)
        if self._stop_s is not None and self._bound_since_s is not None:
            cycle_s = asked_s - self._stop_s
            self._cycle_s += (cycle_s - self._cycle_s) * (_SMOOTHED if self._cycle_s else 1.0)
        else:
            self._cycle_s = 0.0
            self._bound_since_s = asked_s
        self._stop_s = asked_s
        if peak == self.size:
            self._misses = 0
        elif len(self._peaks) == _STOPS and len(set(self._peaks)) == 1:
            self.size = peak
            self._misses = 0
            self._answer_s = answer_s

    def _unlearn(self) -> None:
        self.size = None
        self._misses = 0
        self._answer_s = 0.0
        self._peaks.clear()


class Full:
    """Says that the broker has stopped at its window: nothing more comes before a commit, so let it not wait.

    `hurry` is called if the window is still full `after_s` (s) after a message came.
    """

    def __init__(self, window: Window, hurry: Callable[[], None], after_s: float) -> None:
        self._window = window
        self._hurry = hurry
        self._after_s = after_s
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Messages came."""
        if self._window.full and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._after_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._window.full:
            self._hurry()
