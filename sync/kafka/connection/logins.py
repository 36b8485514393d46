"""When a login that was refused is tried again: soon enough for whoever mends it, seldom enough to lock no account.

One for all clients of a link. With one of its own each, all of them would try the same password.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from sync.backoff import Backoff
from sync.kafka.settings import credentials
from sync.values import Misconfigured, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sync.kafka.settings import KafkaSettings

_FIRST_S: Final = 30.0
_MOST_S: Final = 300.0
_PARDON_S: Final = 60.0
"""How long a cluster that let us in before may refuse us: it may be in the middle of its own restart."""
_PARDON_FIRST_S: Final = 5.0
_PARDON_MOST_S: Final = 30.0
_LOOK_S: Final = 2.0
"""How often the files are looked at for another content."""
_NEARLY: Final = (0.8, 1.0)


@dataclass(slots=True)
class _Refusal:
    """What was refused: with what, since when, and until when the same is not tried again."""

    fault: Misconfigured | Unreachable
    credentials: bytes
    backoff: Backoff
    until_s: float


class Logins:
    """Remembers what was refused, and has it tried again one attempt at a time.

    A refusal counts for the whole cluster. Within a minute of being let in it counts for that broker alone, and is
    Unreachable: one that restarts may refuse everybody for a moment, while the others serve.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: _Refusal | None = None
        self._pardoned: dict[str, _Refusal] = {}
        self._let_in = False
        self._refused_since_s: float | None = None
        self._trying = asyncio.Lock()

    @asynccontextmanager
    async def attempt(self, settings: KafkaSettings, where: str) -> AsyncIterator[None]:
        """Around one login at `where` (host:port).

        Raises, without a try, what the same credentials were refused with before, until its time has come.
        """
        if self._refused is None:
            self._hold_back(self._pardoned.get(where), settings)
            yield
            return
        async with self._trying:  # what one attempt learns, the others need not try
            self._hold_back(self._refused, settings)
            yield

    def _hold_back(self, refusal: _Refusal | None, settings: KafkaSettings) -> None:
        if refusal is not None and self._clock() < refusal.until_s and refusal.credentials == credentials(settings):
            raise refusal.fault.with_traceback(None)  # else it grows with each time that it is raised

    def let_in(self, where: str) -> None:
        """A login went through."""
        self._let_in, self._refused, self._refused_since_s = True, None, None
        self._pardoned.pop(where, None)

    def refused(self, settings: KafkaSettings, where: str, fault: Misconfigured) -> Misconfigured | Unreachable:
        """A login was refused; what to raise."""
        now_s = self._clock()
        self._refused_since_s = now_s if self._refused_since_s is None else self._refused_since_s
        if self._let_in and now_s - self._refused_since_s < _PARDON_S:
            pardoned = Unreachable(fault.reason, fault.hint)
            first = Backoff(_PARDON_FIRST_S, _PARDON_MOST_S, jitter=_NEARLY)
            self._pardoned[where] = self._again(self._pardoned.get(where), first, settings, pardoned)
            return pardoned
        fault.again = partial(self._wait, settings)
        self._refused = self._again(self._refused, Backoff(_FIRST_S, _MOST_S, jitter=_NEARLY), settings, fault)
        return fault

    def _again(
        self, before: _Refusal | None, first: Backoff, settings: KafkaSettings, fault: Misconfigured | Unreachable
    ) -> _Refusal:
        tried = credentials(settings)
        if before is None or before.credentials != tried:
            return _Refusal(fault, tried, first, self._clock() + first.failed())
        if self._clock() < before.until_s:
            return before  # of two that were tried in the same moment, the second makes the pause no longer
        return _Refusal(fault, tried, before.backoff, self._clock() + before.backoff.failed())

    async def _wait(self, settings: KafkaSettings) -> None:
        """Done once a login may be tried: its time has come, or one of the files has another content."""
        while True:
            try:
                self._hold_back(self._refused, settings)
            except Misconfigured:
                await asyncio.sleep(_LOOK_S)
            else:
                return

    def try_now(self) -> None:
        """Somebody says that it was mended: the next attempt is made whatever was refused before."""
        for refusal in (self._refused, *self._pardoned.values()):
            if refusal is not None:
                refusal.until_s = self._clock()
