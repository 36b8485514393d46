"""What became of every number of one log id. Pure: what was seen goes in, a statement comes out.

A number is accounted for by itself where a record, a dead letter or a skipped range names it, or the gateway still
holds it. An entry of the loss ledger names a range and how many of it are gone; the range also holds numbers of other
lanes. So each number that nothing else accounts for must be one of the removals of an entry whose range holds it, and
no entry stands for more numbers than it counts. Of all ways to assign them the best is taken, which is found exactly:
numbers from left to right, each to the entry whose range ends first. What no entry can stand for is missing.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sync.audit.number_set import NumberSet, joined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Removal:
    """An entry of the loss ledger: `count` records of `first` to `last` are gone. `into`: how many stand for them."""

    first: int
    last: int
    count: int
    reason: str
    into: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """Every number from `first` to `last`.

    `missing` of them nothing accounts for: those of `missing_ranges`, and of each of `missing_among` (first, last,
    count) that many. `by_count` are accounted for by the count of a ledger's range only, not by number. `surplus` is
    how many more the ledger counts than are gone: that many could hide a number that is missing. `duplicated` numbers
    came again unmarked; `repeated` copies are ones that are marked, or of which the first was. `aggregates` of the
    delivered records stand for thinned ones, of which the ledger tells `aggregates_told`. `uncounted` are losses
    without numbers, by reason: how many records, None where nobody knows. `unseen_before` is how many numbers lie
    before `first` that nothing was seen of, where nobody said where to begin: a log counts from 1, or from where its
    run record says.
    """

    log_id: str
    first: int
    last: int
    delivered: int
    removed: Mapping[str, int]
    aggregates: int
    aggregates_told: int
    dead_lettered: int
    skipped: int
    pending: int
    marked: int
    repeated: int
    duplicated: int
    duplicated_ranges: Sequence[Range]
    missing: int
    missing_ranges: Sequence[Range]
    missing_among: Sequence[tuple[int, int, int]]
    by_count: int
    surplus: int
    uncounted: Mapping[str, int | None]
    unseen_before: int = 0


@dataclass(slots=True)
class Account:
    """What was seen of one log id. `began` is its first number, where something tells it."""

    log_id: str
    began: int | None = None
    ended: int = 0
    delivered: NumberSet = field(default_factory=NumberSet)
    marked: NumberSet = field(default_factory=NumberSet)
    aggregates: NumberSet = field(default_factory=NumberSet)
    duplicated: NumberSet = field(default_factory=NumberSet)
    repeated: int = 0
    dead_lettered: NumberSet = field(default_factory=NumberSet)
    skipped: NumberSet = field(default_factory=NumberSet)
    pending: NumberSet = field(default_factory=NumberSet)
    removals: list[Removal] = field(default_factory=list)
    uncounted: dict[str, int | None] = field(default_factory=dict)

    def record(self, first: int, last: int, *, marked: bool = False) -> None:
        """Records with these numbers stand in a topic; `marked` as possibly repeated."""
        if self.delivered.count(first, last):
            for begun, ended in list(self.delivered.runs(first, last)):
                self._again(begun, ended, marked=marked)
        self.delivered.add(first, last)
        if marked:
            self.marked.add(first, last)

    def _again(self, first: int, last: int, *, marked: bool) -> None:
        if marked:
            self.repeated += last - first + 1
            return
        self.repeated += self.marked.count(first, last)
        for begun, ended in self.marked.gaps(first, last):
            self.duplicated.add(begun, ended)

    def lost(self, first: int | None, last: int | None, count: int | None, reason: str, into: int = 0) -> None:
        """An entry of the loss ledger. `count` is None where nobody knows how many records are gone."""
        if first is None or last is None or count is None:
            known = self.uncounted.get(reason, 0)
            self.uncounted[reason] = None if known is None or count is None else known + count
        else:
            self.removals.append(Removal(first, last, count, reason, into))

    def reaches(self, number: int) -> None:
        """Numbers were given up to this one."""
        self.ended = max(self.ended, number)

    @property
    def last(self) -> int:
        """The highest number that anything names."""
        span = self.span
        return max(self.ended, span[1] if span else 0)

    @property
    def span(self) -> Range | None:
        """The lowest and the highest number that anything names."""
        named = [self.delivered, self.dead_lettered, self.skipped, self.pending]
        lows = [low for numbers in named if (low := numbers.lowest) is not None]
        highs = [high for numbers in named if (high := numbers.highest) is not None]
        lows += [removal.first for removal in self.removals]
        highs += [removal.last for removal in self.removals]
        return (min(lows), max(highs)) if lows else None

    def statement(self, first: int | None = None, last: int | None = None) -> Statement:
        """What became of the numbers from `first` to `last`; without them from the beginning to the highest seen."""
        unseen_before = 0
        if first is None:
            begun = [number for number in (self.began, self.span[0] if self.span else None) if number is not None]
            first = min(begun, default=1)
            unseen_before = first - 1 if self.began is None else 0
        last = self.last if last is None else last
        known = self.delivered | self.dead_lettered | self.skipped | self.pending
        removals = [removal for removal in self.removals if removal.first <= last and removal.last >= first]
        gone = _assign(known, first, last, removals)
        ranges = list(joined(gone.ranges))
        missing = sum(ended - begun + 1 for begun, ended in ranges) + sum(count for _, _, count in gone.among)
        removed: Counter[str] = Counter()
        for removal in removals:
            removed[removal.reason] += removal.count
        return Statement(
            log_id=self.log_id,
            first=first,
            last=last,
            delivered=self.delivered.count(first, last),
            removed=dict(removed),
            aggregates=self.aggregates.count(first, last),
            aggregates_told=sum(removal.into for removal in removals),
            dead_lettered=self.dead_lettered.count(first, last),
            skipped=self.skipped.count(first, last),
            pending=self.pending.count(first, last),
            marked=self.marked.count(first, last),
            repeated=self.repeated,
            duplicated=self.duplicated.count(first, last),
            duplicated_ranges=list(self.duplicated.runs(first, last)),
            missing=missing,
            missing_ranges=ranges,
            missing_among=gone.among,
            by_count=gone.by_count,
            surplus=sum(removed.values()) - gone.assigned,
            uncounted=dict(self.uncounted),
            unseen_before=unseen_before,
        )


@dataclass(slots=True)
class _Gone:
    ranges: list[Range] = field(default_factory=list)
    among: list[tuple[int, int, int]] = field(default_factory=list)
    assigned: int = 0
    by_count: int = 0


def _assign(known: NumberSet, first: int, last: int, removals: Sequence[Removal]) -> _Gone:
    """Let the removals stand for as many of the unknown numbers as they can, segment by segment."""
    gone = _Gone()
    if first > last:
        return gone
    borders = {first, last + 1}
    for removal in removals:
        borders.update(border for border in (removal.first, removal.last + 1) if first < border <= last)
    cuts = sorted(borders)
    waiting = sorted(removals, key=lambda removal: removal.first, reverse=True)
    # What each range that is open here can still stand for, the one that ends first on top.
    open_ranges: list[list[int]] = []
    for begun, ended in zip(cuts, (cut - 1 for cut in cuts[1:]), strict=False):
        while waiting and waiting[-1].first <= begun:
            removal = waiting.pop()
            whole = removal.count == removal.last - removal.first + 1
            heapq.heappush(open_ranges, [removal.last, removal.count, int(whole)])
        unknown = ended - begun + 1 - known.count(begun, ended)
        left = unknown
        while open_ranges and (left or open_ranges[0][0] < begun):
            if open_ranges[0][0] < begun or not open_ranges[0][1]:
                heapq.heappop(open_ranges)
                continue
            taken = min(left, open_ranges[0][1])
            open_ranges[0][1] -= taken
            left -= taken
            gone.by_count += 0 if open_ranges[0][2] else taken
        gone.assigned += unknown - left
        # Where all that is unknown in a segment was removed, each number of it is known to be.
        if left == unknown:
            gone.ranges += known.gaps(begun, ended) if unknown else ()
        elif left:
            gone.among.append((begun, ended, left))
    return gone
