"""Every order of events, against the shipper's own decisions (`sync.shipper.stream`).

A small world is explored exhaustively: a disk (D1), a broker that keeps F1 to F3 and may refuse for a while or for
good, a network that may lose a request or its answer or deliver a request late (F6), and kills of the gateway. In no
reachable state may a record stand twice or out of order, and none may be the end before every record is delivered or
with the dead letters (or its stream is held for a reason that the rules name). With a rule taken out, the same
exploration must find a counterexample: else it would prove nothing.

Not in this world, since the rules for it (D6, D7) are not in force: a broker that forgets an id, or loses records.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sync.shipper.stream import (
    AskProducer,
    Cut,
    CutDone,
    Hold,
    Leased,
    Offer,
    Pause,
    PauseOver,
    Phase,
    ProducerGiven,
    Send,
    Settle,
    State,
    begin,
    step,
)
from sync.values import Accepted, Batch, Claim, Lane, Producer, Refused, Stream, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAM = Stream(Lane.LIVE, "sensor-data", 0)
TOO_LARGE = Refused(10, "MessageTooLarge", permanent=True)
NOT_NOW = Refused(19, "NotEnoughReplicas", permanent=False)
OUT_OF_ORDER = Refused(45, "OutOfOrderSequenceNumber", permanent=False)


class Disk(NamedTuple):
    """What survives a kill; `noted` is a settle that the next commit will write (it does not)."""

    blocks: tuple[tuple[int, ...], ...]  # pending, each the records that it holds
    lease: Batch | None
    apart: frozenset[tuple[int, ...]]  # blocks that a cut made: never joined with others
    dead: tuple[int, ...]
    noted: bool


class Broker(NamedTuple):
    log: tuple[int, ...]
    known: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]  # id -> last five (base sequence, count)
    largest: int  # batches with more records are too large


class World(NamedTuple):
    gateway: State | None
    due: object  # what the gateway's last action will bring: an event, or the action still to be done
    disk: Disk
    broker: Broker
    late: tuple[Batch, ...]  # requests given up, which may still arrive
    next_id: int
    kills: int
    faults: int
    refusals: int
    shrinks: int


@dataclass(frozen=True)
class Scope:
    """How much may happen."""

    records: int = 3
    kills: int = 2
    faults: int = 2
    refusals: int = 1
    poison: int = 0  # a record that no broker takes; 0 for none
    shrinks: int = 0  # how often the broker's limit falls to one record a batch


class Rules:
    """The rules as they are; subclasses take one out."""

    def begin(self, unsettled: Batch | None) -> tuple[State, tuple[object, ...]]:
        return begin(STREAM, unsettled)

    def step(self, state: State, event: object) -> tuple[State, tuple[object, ...]]:
        return step(state, event)

    def leaves(self, batch: Batch, next_id: int) -> Batch:
        return batch

    def kept(self, disk: Disk) -> Disk:
        return disk._replace(noted=False)


class WithoutLease(Rules):
    """D1 out: the lease is not on disk when the batch leaves."""

    def kept(self, disk: Disk) -> Disk:
        if disk.lease is None:
            return disk._replace(noted=False)
        records = tuple(range(disk.lease.first, disk.lease.last + 1))
        return disk._replace(noted=False, lease=None, blocks=(records, *disk.blocks))


class WithoutAcknowledgement(Rules):
    """D2 out: a batch without an answer counts as sent."""

    def step(self, state: State, event: object) -> tuple[State, tuple[object, ...]]:
        return step(state, Accepted(-1) if isinstance(event, Unknown) else event)


class WithoutSameId(Rules):
    """The same id out: each time that a batch leaves, it has an id of its own."""

    def leaves(self, batch: Batch, next_id: int) -> Batch:
        return replace(batch, claim=Claim(STREAM, Producer(next_id, 0), 0))


class WithoutHold(Rules):
    """D4's condition out: a refusal counts although an earlier attempt had no answer."""

    def begin(self, unsettled: Batch | None) -> tuple[State, tuple[object, ...]]:
        return begin(STREAM, None if unsettled is None else replace(unsettled, attempted=False))

    def step(self, state: State, event: object) -> tuple[State, tuple[object, ...]]:
        return step(replace(state, unanswered=False), event)


class WithoutOrder(Rules):
    """D9's order out: what an earlier run leased waits until this run's id has sent the rest."""

    def kept(self, disk: Disk) -> Disk:
        if disk.lease is None:
            return disk._replace(noted=False)
        records = tuple(range(disk.lease.first, disk.lease.last + 1))
        return disk._replace(noted=False, lease=None, blocks=(*disk.blocks, records))


def take(broker: Broker, batch: Batch, poison: int) -> tuple[Broker, Accepted | Refused]:
    """What a broker does with a batch (F1 to F3)."""
    if batch.count > broker.largest or batch.first <= poison <= batch.last:
        return broker, TOO_LARGE
    known = dict(broker.known)
    mine = known.get(batch.claim.producer.id, ())
    if (batch.claim.base_sequence, batch.count) in mine:
        return broker, Accepted(0)
    if mine and sum(mine[-1]) != batch.claim.base_sequence:
        return broker, OUT_OF_ORDER
    known[batch.claim.producer.id] = (*mine, (batch.claim.base_sequence, batch.count))[-5:]
    records = tuple(range(batch.first, batch.last + 1))
    return broker._replace(log=broker.log + records, known=tuple(sorted(known.items()))), Accepted(0)


def settled(disk: Disk) -> Disk:
    """The commit that writes a settle noted before it."""
    return disk._replace(lease=None, noted=False) if disk.noted else disk


def lease(disk: Disk, claim: Claim) -> Iterator[Disk]:
    """The commits that may answer an offer: the first block alone, or joined with its neighbour."""
    if disk.lease is not None:
        yield disk
        return
    for size in (1, 2):
        taken = disk.blocks[:size]
        if len(taken) < size or (size > 1 and any(block in disk.apart for block in taken)):
            return
        first, last = taken[0][0], taken[-1][-1]
        batch = Batch(claim, first, last, last - first + 1, -1, b"", 0)
        yield disk._replace(lease=batch, blocks=disk.blocks[size:])


def cut(disk: Disk, batch: Batch) -> Disk:
    disk = disk._replace(lease=None)
    records = tuple(range(batch.first, batch.last + 1))
    if len(records) == 1:
        return disk._replace(dead=disk.dead + records)
    halves = (records[: len(records) // 2], records[len(records) // 2 :])
    return disk._replace(blocks=(*halves, *disk.blocks), apart=disk.apart | set(halves))


def act(world: World, state: State, actions: tuple[object, ...]) -> World:
    """Carry out what takes no time; the last action is what the gateway then waits for."""
    disk = world.disk
    due: object = None
    for action in actions:
        if isinstance(action, Settle):
            disk = disk._replace(noted=True)
        elif isinstance(action, Pause):
            due = PauseOver()
        elif not isinstance(action, Hold):
            due = action
    return world._replace(gateway=state, due=due, disk=disk)


def outside(world: World, rules: Rules, scope: Scope) -> Iterator[World]:
    """What may happen without the gateway's doing: late requests, a lower limit, a kill."""
    for number, request in enumerate(world.late):
        rest = world.late[:number] + world.late[number + 1 :]
        broker, _ = take(world.broker, request, scope.poison)
        yield world._replace(broker=broker, late=rest)
        yield world._replace(late=rest)
    if world.shrinks and world.broker.largest > 1:
        yield world._replace(broker=world.broker._replace(largest=1), shrinks=world.shrinks - 1)
    if world.kills and world.gateway is not None:
        dead = world._replace(gateway=None, due=None, disk=rules.kept(world.disk), kills=world.kills - 1)
        yield dead
        if isinstance(world.due, Send):
            yield dead._replace(late=(*world.late, world.due.batch))


def progress(world: World, rules: Rules, scope: Scope) -> Iterator[World]:
    """What the gateway does next, with every way in which it may end."""
    state = world.gateway
    if state is None:
        unsettled = None if world.disk.lease is None else replace(world.disk.lease, attempted=True)
        yield act(world, *rules.begin(unsettled))
        return
    match world.due:
        case None:
            return
        case AskProducer():
            given = ProducerGiven(Producer(world.next_id, 0), -1)
            yield act(world._replace(next_id=world.next_id + 1), *rules.step(state, given))
        case Offer(claim):
            for disk in lease(settled(world.disk), claim):
                yield world._replace(disk=disk, due=Leased(disk.lease))
        case Cut(batch, _):
            yield world._replace(disk=cut(world.disk, batch), due=CutDone())
        case Send(batch):
            yield from sent(world, rules.leaves(batch, world.next_id), rules, scope)
        case event:
            yield act(world, *rules.step(state, event))


def sent(world: World, batch: Batch, rules: Rules, scope: Scope) -> Iterator[World]:
    """What may become of a request."""
    state = world.gateway
    assert state is not None
    world = world._replace(next_id=world.next_id + (batch.claim.producer.id == world.next_id))
    broker, answer = take(world.broker, batch, scope.poison)
    yield act(world._replace(broker=broker), *rules.step(state, answer))
    if world.refusals:
        yield act(world._replace(refusals=world.refusals - 1), *rules.step(state, NOT_NOW))
    if world.faults:
        worse = world._replace(faults=world.faults - 1)
        yield act(worse, *rules.step(state, Unknown("not connected", left=False)))
        yield act(worse, *rules.step(state, Unknown("request lost")))
        yield act(worse._replace(broker=broker), *rules.step(state, Unknown("answer lost")))
        yield act(worse._replace(late=(*world.late, batch)), *rules.step(state, Unknown("request late")))


def flaw(world: World, scope: Scope, *, at_rest: bool) -> str | None:
    """What is wrong with a world, if anything. `at_rest`: the gateway itself has nothing more to do."""
    log, dead = world.broker.log, world.disk.dead
    if len(set(log)) < len(log):
        return "doubled"
    if list(log) != sorted(log):
        return "out of order"
    if set(log) & set(dead):
        return "delivered, and with the dead letters"
    held = world.gateway is not None and world.gateway.phase is Phase.HELD
    if held and not (scope.poison or scope.shrinks):
        return "held without a reason"
    if at_rest and not held and set(log) | set(dead) != set(range(1, scope.records + 1)):
        return "lost or stuck"
    return None


@dataclass(frozen=True)
class Finding:
    """How many worlds were seen, how many of them held, and what is wrong with the last on `way` (if anything)."""

    worlds: int
    held: int
    wrong: str | None
    way: tuple[World, ...]

    def __str__(self) -> str:
        steps = (f"{w.due}\n    broker {w.broker.log}, disk {w.disk.blocks} {w.disk.lease}" for w in self.way)
        return f"{self.wrong} after {self.worlds} worlds:\n" + "\n".join(steps)


def explore(scope: Scope, rules: Rules | None = None) -> Finding:
    """Visit every reachable world, or stop at the first that is wrong."""
    rules = rules or Rules()
    records = tuple((number,) for number in range(1, scope.records + 1))
    disk, broker = Disk(records, None, frozenset(), (), noted=False), Broker((), (), 99)
    start = World(None, None, disk, broker, (), 0, scope.kills, scope.faults, scope.refusals, scope.shrinks)
    came_from: dict[World, World | None] = {start: None}
    frontier = deque([start])
    held = 0
    while frontier:
        world = frontier.popleft()
        own = list(progress(world, rules, scope))
        held += world.gateway is not None and world.gateway.phase is Phase.HELD
        if (wrong := flaw(world, scope, at_rest=not own)) is not None:
            way = [world]
            while (before := came_from[way[-1]]) is not None:
                way.append(before)
            return Finding(len(came_from), held, wrong, tuple(reversed(way)))
        for after in (*own, *outside(world, rules, scope)):
            if after not in came_from:
                came_from[after] = world
                frontier.append(after)
    return Finding(len(came_from), held, None, ())


SCOPES = {
    "kills and disconnects": Scope(records=4, kills=2, faults=2, refusals=1),
    "a poisoned record": Scope(records=4, kills=1, faults=2, refusals=1, poison=2),
    "a limit that falls": Scope(records=4, kills=1, faults=1, refusals=0, shrinks=1),
}


@pytest.mark.parametrize("name", SCOPES)
def test_nothing_is_lost_doubled_reordered_or_stuck_in_any_order_of_events(name):
    finding = explore(SCOPES[name])
    print(f"{name}: {finding.worlds} worlds, {finding.held} of them held")
    assert finding.wrong is None, str(finding)
    assert finding.worlds > 5_000, "the world has become too small to prove anything"


def test_a_stream_is_held_only_where_a_refusal_follows_an_attempt_without_an_answer():
    assert explore(Scope(records=3, kills=0, faults=0, poison=2)).held == 0
    assert explore(Scope(records=3, kills=0, faults=1, refusals=0, poison=2)).held > 0


@pytest.mark.parametrize(
    ("rules", "scope", "wrong"),
    [
        (WithoutLease(), "kills and disconnects", "doubled"),
        (WithoutAcknowledgement(), "kills and disconnects", "lost or stuck"),
        (WithoutSameId(), "kills and disconnects", "doubled"),
        (WithoutOrder(), "kills and disconnects", "out of order"),
        (WithoutHold(), "a limit that falls", "doubled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Rules) else None,
)
def test_the_exploration_finds_what_each_rule_prevents(rules, scope, wrong):
    finding = explore(SCOPES[scope], rules)
    assert finding.wrong is not None, "no counterexample: the exploration would not notice this rule's absence"
    assert finding.wrong == wrong, str(finding)
