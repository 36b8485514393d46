"""How long a batch has been without an answer, and with that whether it may go again as it is (D6)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sync.values import NotReady

if TYPE_CHECKING:
    from sync.seams import Sink
    from sync.values import Batch

_EXPIRATION_S: Final = 24 * 3600.0
"""How long brokers remember a producer id where nobody changed it (F4)."""


def now_s() -> float:
    """The boot clock: what a broker remembers grows old while the machine sleeps, too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Unanswered:
    """The attempts of one stream's batch that had no answer, since the brokers were last asked about it."""

    def __init__(self, sink: Sink, look_up_after_s: float) -> None:
        self._sink = sink
        self._look_up_after_s = look_up_after_s
        self._since_s: float | None = None
        self._untimed = False

    def attempted(self, at_s: float, *, timed: bool) -> None:
        """The batch left at `at_s` (boot clock, s) and had no answer; `timed`: it bore a time (D5)."""
        self._since_s = at_s if self._since_s is None else self._since_s
        self._untimed = not timed

    def looked_up(self) -> None:
        """The brokers were asked about it: what they said holds from now on."""
        self._since_s, self._untimed = now_s(), False

    def over(self) -> None:
        """There is another batch."""
        self._since_s = None

    async def aged(self) -> bool:
        """Whether the attempt is so long ago that the broker must be asked before the next one (D6).

        Sooner where brokers forget sooner, and at once where it went without a time (D5): a batch whose id they have
        forgotten they take again.
        """
        since_s = self._since_s
        if since_s is None or not self._sink.idempotent:
            return False
        if self._untimed or now_s() - since_s > self._look_up_after_s:
            return True
        try:
            expiration_s = await self._sink.id_expiration_s()
        except NotReady:
            return True  # the look-up waits until it is answered
        return expiration_s is not None and now_s() - since_s > expiration_s / 2

    async def surely_known(self, batch: Batch) -> bool:
        """Whether a broker that took the batch cannot have forgotten it yet: it was leased before it first left.

        What went without a time it may forget at any moment (F4). Raises NotReady.
        """
        if batch.leased_at_ns is None or self._untimed:
            return False
        expiration_s = await self._sink.id_expiration_s() or _EXPIRATION_S
        return 0 <= now_s() - batch.leased_at_ns / 1e9 <= expiration_s / 2
