"""Messages that could not be read: each is counted, each bad topic is in the journal, some are shown upstream."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.events import Severity, SystemEvent, SystemEventKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers import Unreadable

log = logging.getLogger("tidegate.unreadable")

_EVERY_S = 60.0
_MOST_KINDS = 256
"""Of topic and reason, and of source and reason: devices choose both, and must not fill the memory or the link."""
_MOST_REASONS = 4
"""Of one topic: a reason may quote the payload, and one topic must not take the place of all others."""
_FORGOTTEN_AFTER_S = 3_600.0
_JOURNAL_SAMPLE = 80


@dataclass(slots=True)
class _Kind:
    shown_at: float
    seen_at: float
    unshown: int = 0


@dataclass(slots=True)
class _Topic:
    reasons: dict[str, _Kind] = field(default_factory=dict)
    others: _Kind | None = None


class UnreadableSampler:
    """Says what cannot be read without repeating it.

    The first message of a topic is a line in the journal. One message of each topic and reason a minute is an event,
    with the number of those since the last. Past the bounds messages are counted together, and the event says so.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._topics: dict[tuple[str, str], _Topic] = {}
        self._kinds = 0
        self._others: _Kind | None = None
        self._looked_at = -_FORGOTTEN_AFTER_S
        self.counts: dict[tuple[str, str], int] = {}
        """Messages by source and reason, for the metrics."""

    def see(self, message: Unreadable) -> SystemEvent | None:
        """Count a message; the event to send upstream, if it is this one's turn."""
        self._count(message)
        now = self._clock()
        kind, together = self._kind_of(message, now)
        kind.seen_at = now
        kind.unshown += 1
        if now - kind.shown_at < _EVERY_S:
            return None
        count, kind.unshown, kind.shown_at = kind.unshown, 0, now
        data = {"topic": message.topic, "reason": message.reason, "sample": message.sample, "count": count}
        if together:
            data["counted_together"] = together
        return SystemEvent(
            event=SystemEventKind.PAYLOAD_UNREADABLE,
            severity=Severity.WARNING,
            source=message.source,
            text=f"{message.topic}: {message.reason}" + (f" ({count} messages of {together})" if together else ""),
            at=message.at,
            data=data,
        )

    def _count(self, message: Unreadable) -> None:
        name = message.source, message.reason
        if name not in self.counts and len(self.counts) >= _MOST_KINDS:
            name = message.source, "other reasons"
        self.counts[name] = self.counts.get(name, 0) + 1

    def _kind_of(self, message: Unreadable, now: float) -> tuple[_Kind, str]:
        """What a message is counted with; and in words, if that is more than its own topic and reason."""
        name = message.source, message.topic
        topic = self._topics.get(name)
        kind = topic.reasons.get(message.reason) if topic is not None else None
        if kind is not None:
            return kind, ""
        if topic is not None and len(topic.reasons) >= _MOST_REASONS:
            topic.others = topic.others or _new(now)
            return topic.others, "other reasons of this topic"
        if self._kinds >= _MOST_KINDS:
            self._forget_silent(now)
        if self._kinds >= _MOST_KINDS:
            if self._others is None:
                self._others = _new(now)
                log.warning("more than %d topics and reasons: further ones are counted together", _MOST_KINDS)
            return self._others, "further topics"
        if topic is None:
            topic = self._topics[name] = _Topic()
            _tell(message)
        self._kinds += 1
        kind = topic.reasons[message.reason] = _new(now)
        return kind, ""

    def _forget_silent(self, now: float) -> None:
        """Make room: topics without such a message for an hour, looked for once a minute. Their counts are kept."""
        if now - self._looked_at < _EVERY_S:
            return
        self._looked_at = now
        for name, topic in list(self._topics.items()):
            kinds = [*topic.reasons.values(), *([topic.others] if topic.others else [])]
            if now - max(kind.seen_at for kind in kinds) < _FORGOTTEN_AFTER_S:
                continue
            del self._topics[name]
            self._kinds -= len(topic.reasons)
            untold = sum(kind.unshown for kind in kinds)
            if untold:
                self._others = self._others or _new(now)
                self._others.unshown += untold


def _new(now: float) -> _Kind:
    return _Kind(shown_at=now - _EVERY_S - 1, seen_at=now)


def _tell(message: Unreadable) -> None:
    sample = message.sample[:_JOURNAL_SAMPLE]
    log.warning(
        "%s: a message on %s cannot be read: %s (it begins: %s; further ones are counted in `tidegate status`)",
        *(_plain(text) for text in (message.source, message.topic, message.reason, sample or "(empty)")),
    )


def _plain(text: str) -> str:
    """Text from elsewhere as one line of the journal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
