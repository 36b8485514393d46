"""Messages that nobody could read: each is counted, some are shown upstream."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.events import Severity, SystemEvent, SystemEventKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers import Unreadable

_EVERY_S = 60.0
_MOST_KINDS = 256


@dataclass(slots=True)
class _Kind:
    shown_at: float
    unshown: int


class UnreadableSampler:
    """Lets one message of each source and reason through a minute, with the number of those since the last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self.counts: dict[tuple[str, str], int] = {}

    def see(self, message: Unreadable) -> SystemEvent | None:
        """Count a message; the event to send upstream, if it is this one's turn."""
        name = message.source, message.reason
        if name not in self._kinds and len(self._kinds) >= _MOST_KINDS:
            # Reasons may quote what a stranger published; past the bound they are counted together.
            name = message.source, "other reasons"
        self.counts[name] = self.counts.get(name, 0) + 1
        kind = self._kinds.setdefault(name, _Kind(-_EVERY_S + self._clock() - 1, 0))
        if self._clock() - kind.shown_at < _EVERY_S:
            kind.unshown += 1
            return None
        count, kind.unshown, kind.shown_at = kind.unshown + 1, 0, self._clock()
        return SystemEvent(
            event=SystemEventKind.PAYLOAD_UNREADABLE,
            severity=Severity.WARNING,
            source=message.source,
            text=f"{message.topic}: {message.reason}",
            at=message.at,
            data={"topic": message.topic, "reason": message.reason, "sample": message.sample, "count": count},
        )
