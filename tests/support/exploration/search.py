"""Visits every world that can be reached, and says what is wrong with the first that is."""

from __future__ import annotations

import gc
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.exploration.rules import Rules
from tests.support.exploration.turns import Turns
from tests.support.exploration.world import World

if TYPE_CHECKING:
    from tests.support.exploration.world import Scope

Key = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class Finding:
    """How many worlds were seen, in how many a marked record stood, and what is wrong with the last on `way`.

    `whole`: there are no others.
    """

    worlds: int
    marked: int
    wrong: str | None
    way: tuple[str, ...]
    whole: bool = True

    def __str__(self) -> str:
        return f"{self.wrong} after {self.worlds} worlds:\n" + "\n".join(self.way)


def flaw(world: World, scope: Scope, *, at_rest: bool) -> str | None:
    """What is wrong with a world, if anything. `at_rest`: nothing more is to be done.

    No record stands twice without a mark. One that stands behind a newer record is marked; or it is a late copy of
    a batch that stands there marked before it, or of one that the broker lost with all that it knew of its id.
    What has no mark is not with the dead letters as well. In the end every record is in one of both; of what a
    broker lost, only that may be missing of which the gateway cannot have heard (D7).
    """
    lost = {record for _, first, last in world.broker.lost for record in range(first, last + 1)}
    marked: set[int] = set()
    unmarked: set[int] = set()
    newest = 0
    for entry in world.broker.log:
        for record in range(entry.first, entry.last + 1):
            if entry.marked:
                marked.add(record)
            elif record in unmarked:
                return "doubled"
            elif record < newest and record not in marked and record not in lost:
                return "out of order"
            else:
                unmarked.add(record)
            newest = max(newest, record)
    dead = world.disk.dead
    if any(not may_stand and record in marked | unmarked for record, may_stand in dead):
        return "delivered, and with the dead letters"
    if at_rest and len(marked | unmarked | lost | {record for record, _ in dead}) < scope.records:
        return "lost or stuck"
    return None


class _Numbers:
    """Gives equal values one number, so that a world is five small numbers."""

    def __init__(self) -> None:
        self.of: dict[Any, int] = {}
        self.values: list[Any] = []

    def __call__(self, value: object) -> int:
        number = self.of.get(value)
        if number is None:
            number = self.of[value] = len(self.values)
            self.values.append(value)
        return number


class _Search:
    """All worlds met so far, by number, each with the one that it was first met from, and all steps between them."""

    def __init__(self, scope: Scope, rules: Rules) -> None:
        self.scope = scope
        self.turns = Turns(rules, scope)
        self._disks, self._brokers, self._lates, self._chances = (_Numbers() for _ in range(4))
        self._numbers: dict[Key, int] = {}
        self._keys: list[Key] = []
        self._parents = array("l")
        self._from, self._to = array("L"), array("L")
        self._at_rest: list[int] = []
        self._judged: dict[tuple[int, int], str | None] = {}
        self.marked = 0
        self._meet(scope.begin(), -1)

    def __len__(self) -> int:
        return len(self._keys)

    def run(self, most: int | None) -> Finding:
        at = 0
        while at < len(self):
            wrong = self._visit(at)
            if wrong is not None:
                return Finding(len(self), self.marked, wrong, self._way(at))
            at += 1
            if most is not None and len(self) > most:
                return Finding(len(self), self.marked, None, (), whole=False)
        stuck = self._without_end()
        if stuck is not None:
            return Finding(len(self), self.marked, "never at rest", self._way(stuck))
        return Finding(len(self), self.marked, None, ())

    def _visit(self, at: int) -> str | None:
        world = self._world(at)
        key = self._keys[at]
        own = self.turns.own(world)
        at_rest = not own and world.broker.replicated == len(world.broker.log)
        if at_rest:
            self._at_rest.append(at)
        if at_rest or key[1:3] not in self._judged:
            self._judged[key[1:3]] = wrong = flaw(world, self.scope, at_rest=at_rest)
            if wrong is not None:
                return wrong
        self.marked += any(entry.marked for entry in world.broker.log)
        for after in (*own, *self.turns.outside(world)):
            self._from.append(at)
            self._to.append(self._meet(after, at))
        return None

    def _meet(self, world: World, parent: int) -> int:
        key = (
            -1 if world.gateway is None else world.gateway,
            self._disks(world.disk),
            self._brokers(world.broker),
            self._lates(world.late),
            self._chances(world.chances),
        )
        number = self._numbers.setdefault(key, len(self._keys))
        if number == len(self._keys):
            self._keys.append(key)
            self._parents.append(parent)
        return number

    def _world(self, number: int) -> World:
        gateway, disk, broker, late, chances = self._keys[number]
        return World(
            None if gateway < 0 else gateway,
            self._disks.values[disk],
            self._brokers.values[broker],
            self._lates.values[late],
            self._chances.values[chances],
        )

    def _without_end(self) -> int | None:
        """The first world from which no order of events leads to rest."""
        into: list[array[int] | None] = [None] * len(self)
        for before, after in zip(self._from, self._to, strict=True):
            steps = into[after]
            if steps is None:
                steps = into[after] = array("L")
            steps.append(before)
        ends = bytearray(len(self))
        frontier = list(self._at_rest)
        for world in frontier:
            ends[world] = 1
        while frontier:
            for before in into[frontier.pop()] or ():
                if not ends[before]:
                    ends[before] = 1
                    frontier.append(before)
        stuck = ends.find(0)
        return None if stuck < 0 else stuck

    def _way(self, number: int) -> tuple[str, ...]:
        way: list[str] = []
        while number >= 0:
            world = self._world(number)
            due = None if world.gateway is None else self.turns.gateways[world.gateway][1]
            way.append(f"{due}\n    {world.broker}\n    {world.disk}\n    late {world.late}")
            number = self._parents[number]
        return tuple(reversed(way))


def explore(scope: Scope, rules: Rules | None = None, *, most: int | None = None) -> Finding:
    """Visit every reachable world, or stop at the first that is wrong, or after `most`."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _Search(scope, rules or Rules()).run(most)
    finally:
        if collecting:
            gc.enable()
