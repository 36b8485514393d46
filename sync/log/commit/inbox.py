"""What waits for the writer: taken in on the loop's thread, taken out on the writer's."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from sync.log.commit.work import Append, Offer, Request, ThinRequest, Work

if TYPE_CHECKING:
    from sync.log.settings import LogSettings
    from sync.values import Lane


class Inbox:
    """What the loop hands to the writer's thread. Every method may be called from either."""

    def __init__(self, settings: LogSettings) -> None:
        self.lost = 0
        self._settings = settings
        self._changed = threading.Condition()
        self._waiting = Work()
        self._in_flight = Work()
        self._records = 0
        self._due_s: float | None = None
        self._stopping = False

    def put(self, item: Append | Request | Offer | ThinRequest, *, within_s: float) -> None:
        """Take something in, to be committed at the latest so many seconds from now."""
        due_s = time.monotonic() + within_s
        with self._changed:
            if isinstance(item, Append):
                self._waiting.appends.append(item)
                self._records += len(item.records)
                if self._records >= self._settings.commit_records:
                    due_s = 0.0
            elif isinstance(item, Request):
                self._waiting.requests.append(item)
            elif isinstance(item, Offer):
                self._waiting.offers.append(item)
            else:
                self._waiting.thin_requests.append(item)
            if self._due_s is None or due_s < self._due_s:
                self._due_s = due_s
                self._changed.notify()

    def hurry(self) -> None:
        """Let what waits be committed at once; a commit that is under way does not count."""
        with self._changed:
            if self._waiting.appends:
                self._due_s = 0.0
                self._changed.notify()

    def take(self, work: Work, idle_s: float) -> bool:
        """Wait until something is due, or for `idle_s`, and add it all to `work`; True when it is time to stop."""
        until = time.monotonic() + idle_s
        with self._changed:
            while not self._stopping:
                due_s = until if self._due_s is None else min(until, self._due_s)
                left_s = due_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            work.merge(self._waiting)
            self._waiting = Work()
            self._in_flight = work
            self._records = 0
            self._due_s = None
            return self._stopping

    def pause(self, pause_s: float) -> None:
        """Wait before the next attempt; a stop ends it."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, pause_s)

    def stop(self) -> None:
        """Let the writer commit all that waits, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def restart(self) -> None:
        """Take up work again after a stop."""
        with self._changed:
            self._stopping = False

    def finished(self) -> None:
        """What was taken last is on disk."""
        with self._changed:
            self._in_flight = Work()

    def oldest_s(self) -> float | None:
        """Since when (monotonic) the longest waiting records wait."""
        with self._changed:
            since = [append.since for append in self._all_appends() if not append.given_up]
        return min(since, default=None)

    def give_up(self, before_s: float) -> list[Append]:
        """Stop keeping records that wait since before then. What is being written may yet come to disk."""
        with self._changed:
            late = [append for append in self._all_appends() if append.since < before_s and not append.given_up]
            for append in late:
                append.given_up = True
            kept = [append for append in self._waiting.appends if not append.given_up]
            self._drop([append for append in self._waiting.appends if append.given_up], self._waiting)
            self._waiting.appends = kept
            self._records = sum(len(append.records) for append in kept)
        return late

    def drop_given_up(self, work: Work) -> None:
        """After a commit that failed: let go of what nobody waits for any more, and count it."""
        with self._changed:
            self._drop([append for append in work.appends if append.given_up], work)
            work.tried = sum(not append.given_up for append in work.attempted())
            work.appends = [append for append in work.appends if not append.given_up]

    def drop_all(self, work: Work) -> list[Append]:
        """At the very end: everything that could not be written."""
        with self._changed:
            work.merge(self._waiting)
            self._waiting = Work()
            dropped, work.appends = work.appends, []
            self._drop(dropped, work)
            return dropped

    def _all_appends(self) -> list[Append]:
        return [*self._in_flight.appends, *self._waiting.appends]

    def _drop(self, appends: list[Append], work: Work) -> None:
        counts: Counter[tuple[Lane, str]] = Counter()
        for append in appends:
            for record in append.records:
                counts[record.lane, record.topic] += 1
        if counts:
            self.lost += counts.total()
            work.stalled = counts if work.stalled is None else work.stalled + counts
