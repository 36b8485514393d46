"""Messages handed over whose PUBACK was not written, so that their packet ids are not free.

MQTT lets a broker use an id for another message only after the PUBACK of the first. So what comes marked DUP under
such an id, with the same topic and payload, is a repetition: in any order, in a resumed session as on a connection
that stands. A few brokers send again without DUP. They are believed once they have sent eight different payloads
again, each under its own id: a broker that has lost our messages and gives their ids to new ones cannot hit eight of
them by chance. One that was seen to give such an id to another message is not believed without DUP in that session.

Of messages whose PUBACK was written on the very connection that was lost, or by an earlier run, the id may be free
again. The newest of those that came first on it count with DUP alone, and only among the first messages of the
session as it is resumed: a broker that counts its ids up would need more than 64,000 messages under way that never
reached us to be back at one of them.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator

NEWEST: Final = 1_024
"""Messages of which a PUBACK may be lost, that are known again in any order."""
FIRST_WINDOW: Final = 4_096
"""Messages of a resumed session among which repetitions are looked for, beside twice what was not acknowledged."""
ENOUGH: Final = 8


@dataclass(slots=True)
class Entry:
    """One message of an earlier connection; `sure` where no PUBACK for it was written, `came` once it came again."""

    digest: int
    earlier: bool
    sure: bool
    came: bool = False


class Unacknowledged:
    """What waits for its PUBACK in one session."""

    def __init__(self) -> None:
        self._here: deque[tuple[int, array[int]]] = deque()
        self._before: dict[int, Entry] = {}
        self._tail: dict[int, int] | None = None
        self._digests: Counter[int] = Counter()
        self._proof: set[int] = set()
        self._unmarked = False
        self._reuses = False
        self._left = 0
        self.expected = 0
        """Messages of earlier connections that the broker owes us again, as far as they are still looked for."""
        self.suspected = 0
        """Messages that were kept, and are probably repetitions: not marked, and not under their own ids."""

    def clear(self, *, session: bool = False) -> None:
        """Know none; with `session` it is another one, whose broker may behave otherwise."""
        self._here.clear()
        self._before.clear()
        self._tail = None
        self._end()
        if session:
            self._proof.clear()
            self._unmarked = self._reuses = False

    def begin(self, recent: Iterable[tuple[int, int, bool]], *, counts: bool) -> None:
        """The session is resumed. `recent` are its newest messages, newest first: id, digest, if of another run.

        `counts`: the broker is believed to count its ids up.
        """
        before: dict[int, Entry] = {}
        if counts:
            for number, digest, earlier in recent:
                before.setdefault(number, Entry(digest, earlier, sure=False))
        owed = {number: Entry(entry.digest, entry.earlier, sure=True) for number, entry in self._sure()}
        here = [(first + at, digest) for first, digests in self._here for at, digest in enumerate(digests)]
        owed |= {number: Entry(digest, earlier=False, sure=True) for number, digest in here}
        if len({number for number, _ in here}) == len(here):
            before |= owed
        else:  # a broker that gives an id to a second message before our PUBACK keeps no rule of ids
            before = {}
        self._here.clear()
        self._tail = None
        self._before = before
        sure = [entry.digest for entry in before.values() if entry.sure]
        self.expected = len(sure)
        self._digests = Counter(sure)
        self._proof.clear()
        self._left = FIRST_WINDOW + 2 * len(sure)

    def seen(self, count: int) -> None:
        """So many messages came; past the first window nobody is waited for any more."""
        if self._left:
            self._left = max(0, self._left - count)
            if not self._left:
                self._end()

    def distrust(self) -> None:
        """The broker does not count its ids up: one that may be free says nothing."""
        self._before = dict(self._sure())

    def note(self, first: int, digests: array[int]) -> None:
        """Messages were handed over under ids that follow each other."""
        self._here.append((first, digests))
        self._tail = None

    def acknowledged(self, runs: int, again: Iterable[int]) -> None:
        """PUBACKs were written: for so many of the oldest runs, and for repetitions by their ids."""
        for _ in range(min(runs, len(self._here))):
            self._here.popleft()
        if runs:
            self._tail = None
        for number in again:
            self._before.pop(number, None)

    def again(self, number: int, digest: int) -> Entry | None:
        """The message that one marked DUP repeats, if it is known."""
        entry = self._before.get(number)
        if entry is not None and entry.digest == digest:
            self._come(entry)
            return entry
        if self._tail is None:
            self._tail = {first + at: d for first, run in self._here for at, d in enumerate(run)}
        return Entry(digest, earlier=False, sure=True) if self._tail.get(number) == digest else None

    def came_in_order(self, number: int, digest: int, *, earlier: bool) -> None:
        """A message was known again by the order of the first time."""
        self._before[number] = Entry(digest, earlier, sure=True, came=True)

    def undecided(self, unmarked: Iterable[tuple[int, int]]) -> bool:
        """Whether all of these are owed to us under these very ids, and yet too few to believe the broker."""
        if self._unmarked or self._reuses or len({*self._proof, *+self._digests}) < ENOUGH:
            return False
        proof = set(self._proof)
        for number, digest in unmarked:
            entry = self._before.get(number)
            if entry is None or not entry.sure or entry.came or entry.digest != digest:
                return False
            proof.add(digest)
        return 0 < len(proof) < ENOUGH

    def weigh(self, unmarked: Iterable[tuple[int, int]]) -> None:
        """Before one read's messages without DUP are looked at: whether they prove that this broker leaves it out."""
        for number, digest in unmarked:
            entry = self._before.get(number)
            if entry is not None and entry.sure and not entry.came:
                if entry.digest == digest:
                    self._proof.add(digest)
                else:
                    self._reuses = True
        self._unmarked = self._unmarked or len(self._proof) >= ENOUGH

    def again_unmarked(self, number: int, digest: int) -> Entry | None:
        """The message that one without DUP repeats, if it is known and this broker is believed; else it is new."""
        entry = self._before.get(number)
        if entry is not None and entry.sure and not entry.came and entry.digest == digest:
            if self._unmarked and not self._reuses:
                self._come(entry)
                return entry
            self._before.pop(number)
            self.expected -= 1
        if self._digests[digest] > 0:
            self._digests[digest] -= 1
            self.suspected += 1
        return None

    def _sure(self) -> Iterator[tuple[int, Entry]]:
        """What comes again is under way again, whatever became of its first PUBACK."""
        return ((number, entry) for number, entry in self._before.items() if entry.sure or entry.came)

    def _come(self, entry: Entry) -> None:
        if entry.sure and not entry.came:
            self.expected -= 1
            self._digests[entry.digest] -= 1
        entry.came = True

    def _end(self) -> None:
        """Only what came again and is not acknowledged yet is still known."""
        self._before = {number: entry for number, entry in self._before.items() if entry.came}
        self.expected = self._left = 0
        self._digests.clear()
