"""Which topics wait although the link is up, and when that is worth a word."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from sync.backoff import Backoff
from sync.shipper.events import Recovered, Waiting
from sync.values import BrokerUnreachable, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.shipper.events import ShipperEvent
    from sync.values import NotReady

EVERYTHING: Final = ""
"""In the place of a topic: nothing at all can be sent yet."""

_PERSISTENT: Final = 3
"""After so many attempts in a row (about a second) a trouble is worth a word."""
_LASTING_S: Final = 10.0
"""Or after so long, where each attempt takes its time."""
_AWAY_S: Final = 15.0
"""A cluster needs nine seconds to notice that a broker is gone, and some more to let another lead."""


def trouble_of(error: NotReady) -> Trouble:
    """What a question that could not be answered says of why."""
    broker = error.broker if isinstance(error, BrokerUnreachable) else ""
    return Trouble(error.reason, error.hint, broker=broker)


class Waits:
    """What each topic waits for, said once."""

    def __init__(self, on_event: Callable[[ShipperEvent], None]) -> None:
        self._on_event = on_event
        self.by_topic: dict[str, Trouble] = {}

    def begin(self, topic: str, trouble: Trouble) -> None:
        """A topic waits."""
        self.by_topic[topic] = trouble
        self._on_event(Waiting(topic, trouble.reason, trouble.hint, trouble.setting, trouble.broker))

    def end(self, topic: str) -> None:
        """It does not, or no longer."""
        if self.by_topic.pop(topic, None) is not None:
            self._on_event(Recovered(topic))

    def end_all(self) -> None:
        """No topic does."""
        for topic in list(self.by_topic):
            self.end(topic)


class Patience:
    """One asker's attempts in a row: how long to pause before the next, and when to say that it waits."""

    def __init__(self, first_s: float) -> None:
        self._backoff = Backoff(first_s, math.inf)
        self._alike = 0
        self._reason = ""
        self._since_s = 0.0

    def over(self) -> None:
        """There was an answer."""
        self._backoff.over()

    def failed(self, trouble: Trouble, most_s: float) -> float:
        """One more attempt came to nothing; how long to pause, `most_s` at most, before the next."""
        if not self._backoff.failures:
            self._since_s = time.monotonic()
        self._alike = self._alike + 1 if trouble.reason == self._reason else 1
        self._reason = trouble.reason
        return self._backoff.failed(most_s)

    def worth_a_word(self, trouble: Trouble, said: Trouble | None) -> bool:
        """Said once; again only if another reason has taken its place for good."""
        if said is not None:
            return self._alike >= _PERSISTENT and said.reason != trouble.reason
        lasted_s = time.monotonic() - self._since_s
        if trouble.broker:
            return lasted_s >= _AWAY_S
        return self._backoff.failures >= _PERSISTENT or lasted_s >= _LASTING_S
