"""What can happen next in a world: the gateway's own turn with every way in which it may end, and all else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sync.shipper.decisions.moves import (
    Again,
    AgainDone,
    Aged,
    AskProducer,
    Cut,
    CutDone,
    Leased,
    LookUp,
    Offer,
    Pause,
    PauseOver,
    ProducerGiven,
    ReadBack,
    Recall,
    Send,
    Settle,
    Undecided,
)
from sync.values import Absent, Accepted, CannotTell, Forgotten, Found, Known, Producer, Unknown
from tests.support.exploration.world import (
    NOT_NOTED,
    NOT_NOW,
    Block,
    Broker,
    Disk,
    Request,
    World,
    batch_of,
    request_of,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.shipper.decisions.moves import Action, Event
    from sync.shipper.decisions.stream import State, Step
    from sync.values import Batch
    from tests.support.exploration.rules import Rules
    from tests.support.exploration.world import Scope

FORBIDDEN = CannotTell("TopicAuthorizationFailed (29)", may_not_read=True)
GONE = CannotTell("the partition does not reach so far back")
UNNOTICED = -1
CREATED_AGAIN = -2
"""In the place of an id: lost with the topic, and not noticed before a batch is settled in the new one."""
LOST_REQUEST = Unknown("request lost")
LOST_ANSWER = Unknown("answer lost")
LATE_REQUEST = Unknown("request late")
NOT_CONNECTED = Unknown("not connected", left=False)


class Turns:
    """Knows each state of the shipper by a number, so that the shipper is asked once what follows on an event."""

    def __init__(self, rules: Rules, scope: Scope) -> None:
        self._rules = rules
        self._poison = scope.poison
        self._keeps_history = scope.recreations + scope.losses > 0
        self._numbers: dict[tuple[State, Action | Event | None], int] = {}
        self.gateways: list[tuple[State, Action | Event | None]] = []
        self._after: list[dict[tuple[object, ...], tuple[int, int | Recall]]] = []
        self._begun: dict[Request | None, tuple[int, int | Recall]] = {}

    def own(self, world: World) -> list[World]:  # noqa: C901, PLR0911 - one case an action
        """What the gateway does next; nothing where it waits for the outside or has nothing more to do."""
        if world.gateway is None:
            lease = world.disk.lease
            made = self._begun.get(lease)
            if made is None:
                made = self._begun[lease] = self._number(
                    self._rules.begin(None if lease is None else batch_of(lease, attempted=True))
                )
            return [self._settling(world, *made)]
        state, due = self.gateways[world.gateway]
        match due:
            case None:
                return []
            case AskProducer():
                return [self._given(world)]
            case Offer(claim):
                return [
                    self._act(world._replace(disk=disk), Leased(batch), disk.lease)
                    for disk, batch in _leases(
                        _settled(world.disk, keeps=self._keeps_history), claim.producer.id, claim
                    )
                ]
            case Cut():
                return [self._act(world._replace(disk=_cut(world.disk)), CutDone())]
            case Again(_, last_sequence, _):
                return [self._act(world._replace(disk=again(world.disk, last_sequence)), AgainDone())]
            case LookUp(batch):
                return list(self._looked_up(world, batch))
            case ReadBack(batch):
                return list(self._read_back(world, batch))
            case Send(batch):
                return list(self._sent(world, batch, state))
            case event:
                return [self._act(world, event)]

    def outside(self, world: World) -> Iterator[World]:
        """What may happen without the gateway's doing."""
        broker, chances = world.broker, world.chances
        for number, request in enumerate(world.late):
            rest = world.late[:number] + world.late[number + 1 :]
            after, _ = take(broker, request, self._poison)
            yield world._replace(late=rest)
            if after is not broker:
                yield world._replace(broker=after, late=rest)
        if broker.replicated < len(broker.log):
            yield replicated(world)
            if chances.leaders:
                cut_off = broker._replace(log=broker.log[: broker.replicated])
                yield world._replace(broker=cut_off, chances=chances._replace(leaders=chances.leaders - 1))
        if chances.shrinks and broker.largest > 1:
            yield world._replace(
                broker=broker._replace(largest=1), chances=chances._replace(shrinks=chances.shrinks - 1)
            )
        if chances.forgets and any(entry.known for entry in broker.log):
            forgot = broker._replace(log=tuple(entry._replace(known=False) for entry in broker.log))
            yield world._replace(
                broker=forgot, late=(), chances=chances._replace(forgets=chances.forgets - 1, old=True)
            )
        if chances.starts and broker.start < broker.replicated:
            yield world._replace(
                broker=broker._replace(start=broker.replicated), chances=chances._replace(starts=chances.starts - 1)
            )
        yield from _losses(world)
        yield from _created_again(world)
        if chances.kills and world.gateway is not None:
            yield from self._kills(world)

    def _kills(self, world: World) -> Iterator[World]:
        assert world.gateway is not None
        state, due = self.gateways[world.gateway]
        chances = world.chances._replace(kills=world.chances.kills - 1)
        dead = world._replace(gateway=None, disk=self._rules.kept(world.disk), chances=chances)
        yield dead
        if isinstance(due, Send) and not (state.unanswered and world.chances.old):
            yield dead._replace(late=(*world.late, self._leaving(world, due.batch)))

    def _given(self, world: World) -> World:
        chances = world.chances
        given = ProducerGiven(Producer(chances.next_id, 0), world.broker.replicated)
        return self._act(world._replace(chances=chances._replace(next_id=chances.next_id + 1)), given)

    def _looked_up(self, world: World, batch: Batch) -> Iterator[World]:
        broker, chances = world.broker, world.chances
        if broker.replicated < len(broker.log) and self._rules.barrier:
            return
        producer = batch.claim.producer.id
        known = broker.known(producer)
        fresh = world._replace(chances=chances._replace(old=False), broker=_noticed(broker, producer))
        if known:
            # An offset is that of a batch here, and that of a record there.
            answer = Known(known[-1][1].end - 1, len(broker.log) + batch.count - 1)
            yield self._act(fresh, answer, (answer.last_sequence, answer.end))
        else:
            yield self._act(fresh, Forgotten())
        if chances.forbidden:
            yield from self._forbidden(world, request_of(batch))

    def _forbidden(self, world: World, request: Request) -> Iterator[World]:
        chances = world.chances._replace(old=False, forbidden=world.chances.forbidden - 1)
        refused = world._replace(chances=chances)
        yield self._act(refused, Undecided(FORBIDDEN))
        # Within half of an id's time a batch that was taken is remembered.
        found = _find(world.broker, request, 0)
        if found is None or world.broker.log[found].known:
            yield self._act(refused, Undecided(FORBIDDEN, remembered=True))

    def _read_back(self, world: World, batch: Batch) -> Iterator[World]:
        broker, chances = world.broker, world.chances
        if broker.replicated < len(broker.log) and self._rules.barrier:
            return
        fresh = world._replace(chances=chances._replace(old=False))
        request = request_of(batch)
        at = _find(broker, request, max(request.acked + 1, broker.start))
        if at is not None:
            yield self._act(fresh, Found(at))
        elif broker.start <= request.acked + 1 <= len(broker.log):
            yield self._act(fresh, Absent())
        else:
            short = replace(GONE, end=len(broker.log)) if len(broker.log) <= request.acked else GONE
            yield self._act(fresh, Undecided(short), (Undecided, short.end))
        if chances.forbidden:
            yield from self._forbidden(world, request)

    def _sent(self, world: World, batch: Batch, state: State) -> Iterator[World]:
        """What may become of a request; one that is old is none, for the batch is looked up first."""
        if state.unanswered:
            yield self._act(world, Aged())
            if world.chances.old:
                return
        request = self._leaving(world, batch)
        broker, chances = world.broker, world.chances._replace(old=False)
        if request.producer == chances.next_id:
            chances = chances._replace(next_id=chances.next_id + 1)
        after, answer = take(broker, request, self._poison)
        if isinstance(answer, Accepted):
            acknowledged = after._replace(replicated=len(after.log))
            yield self._act(world._replace(broker=acknowledged, chances=chances), answer)
        else:
            yield self._act(world._replace(broker=_noticed(broker, request.producer), chances=chances), answer)
        world = world._replace(chances=chances)
        if chances.refusals:
            passing = chances._replace(refusals=chances.refusals - 1)
            yield self._act(world._replace(chances=passing), NOT_NOW)
        if chances.faults:
            worse = world._replace(chances=chances._replace(faults=chances.faults - 1))
            yield self._act(worse, NOT_CONNECTED)
            yield self._act(worse, LOST_REQUEST)
            if after is not broker:
                yield self._act(worse._replace(broker=after), LOST_ANSWER)
            yield self._act(worse._replace(late=(*world.late, request)), LATE_REQUEST)

    def _leaving(self, world: World, batch: Batch) -> Request:
        request = self._rules.leaves(request_of(batch), world.chances.next_id)
        return request if self._rules.marks else request._replace(marked=False)

    def _act(self, world: World, event: Event, key: object = None) -> World:
        """Let the shipper decide, and carry out what takes no time. `key` stands for an event that is large."""
        assert world.gateway is not None
        known = self._after[world.gateway]
        name = (type(event), event if key is None else key)
        made = known.get(name)
        if made is None:
            made = known[name] = self._number(self._rules.step(self.gateways[world.gateway][0], event))
        number, noted = made
        return self._settling(world, number, noted)

    def _settling(self, world: World, number: int, noted: int | Recall) -> World:
        disk, broker = world.disk, world.broker
        if noted != NOT_NOTED and any(lost[0] == CREATED_AGAIN for lost in broker.lost):
            # The answer names an offset of the new topic: from now on what was lost with the old one must go again.
            broker = broker._replace(lost=tuple(lost for lost in broker.lost if lost[0] != CREATED_AGAIN))
        if not isinstance(noted, Recall):
            return World(number, _noted(disk, noted), broker, world.late, world.chances)
        return World(number, _recalled(disk, noted, keeps=self._keeps_history), broker, world.late, world.chances)

    def _number(self, made: Step) -> tuple[int, int | Recall]:
        """The number of a state with what it waits for, and the settle that is noted on the way."""
        state, actions = made
        noted: int | Recall = NOT_NOTED
        due: Action | Event | None = None
        for action in actions:
            if isinstance(action, Recall):
                noted = action
            elif isinstance(action, Settle):
                noted = action.offset
            else:
                due = PauseOver() if isinstance(action, Pause) else action
        number = self._numbers.setdefault((state, due), len(self.gateways))
        if number == len(self.gateways):
            self.gateways.append((state, due))
            self._after.append({})
        return number, noted


def replicated(world: World) -> World:
    """The followers have all that the leader has."""
    return world._replace(broker=world.broker._replace(replicated=len(world.broker.log)))


def again(disk: Disk, last_sequence: int | None) -> Disk:
    """What `Log.again` does."""
    lease = disk.lease
    assert lease is not None
    assert disk.noted == NOT_NOTED
    lost = [] if last_sequence is None else [sent for sent in disk.sent if sent.base > last_sequence]
    parts = tuple(Block(request.first, request.last, marked=True) for request in (*lost, lease))
    blocks = tuple(sorted((*parts, *disk.blocks)))
    return disk._replace(blocks=blocks, lease=None, sent=(), acked=disk.acked if last_sequence is None else -1)


def _noted(disk: Disk, noted: int) -> Disk:
    return disk if noted == NOT_NOTED else disk._replace(noted=noted)


def _settled(disk: Disk, *, keeps: bool) -> Disk:
    """The commit that writes a settle noted before it."""
    if disk.noted == NOT_NOTED:
        return disk
    assert disk.lease is not None
    acked = disk.noted if disk.noted >= 0 else max(disk.acked, disk.lease.acked + 1)
    history = (*disk.history, disk.lease) if keeps else ()
    return disk._replace(lease=None, noted=NOT_NOTED, sent=(*disk.sent, disk.lease), acked=acked, history=history)


def _recalled(disk: Disk, recall: Recall, *, keeps: bool) -> Disk:
    """What `Log.recall` does, in one commit: it settles, and what was settled before goes again, behind the rest."""
    assert disk.lease is not None
    lease = disk.lease
    held = lease.count if recall.settles else 0
    lost = 0 <= recall.offset <= lease.acked or 0 <= recall.end <= lease.acked + held
    if lost:
        blocks = tuple(Block(request.first, request.last, marked=True) for request in disk.history)
        disk = disk._replace(blocks=(*disk.blocks, *blocks), history=(), sent=(), acked=-1)
    if not recall.settles:
        return disk._replace(lease=lease._replace(acked=-1))
    return _settled(disk._replace(noted=recall.offset), keeps=keeps)


def _leases(disk: Disk, producer: int, claim: object) -> Iterator[tuple[Disk, Batch]]:
    """The commits that may answer an offer: the first block alone, or joined with its neighbour."""
    base, log_end = claim.base_sequence, claim.log_end  # type: ignore[attr-defined]
    if disk.lease is not None:
        yield disk, batch_of(disk.lease, attempted=True)
        return
    sent = disk.sent if disk.sent and disk.sent[-1].producer == producer else ()
    acked = disk.acked if disk.acked >= 0 else log_end - 1
    for size in (1, 2):
        taken = disk.blocks[:size]
        if len(taken) < size or (size > 1 and not _joined(*taken)):
            return
        lease = Request(producer, base, taken[0].first, taken[-1].last, taken[0].marked, acked)
        yield (
            disk._replace(lease=lease, blocks=disk.blocks[size:], sent=sent),
            batch_of(lease, attempted=False),
        )


def _joined(one: Block, other: Block) -> bool:
    alike = one.marked == other.marked and not one.apart and not other.apart
    return alike and one.last + 1 == other.first


def _cut(disk: Disk) -> Disk:
    lease = disk.lease
    assert lease is not None
    disk = disk._replace(lease=None)
    if lease.count == 1:
        return disk._replace(dead=(*disk.dead, (lease.first, lease.marked)))
    middle = lease.first + lease.count // 2
    halves = (
        Block(lease.first, middle - 1, lease.marked, apart=True),
        Block(middle, lease.last, lease.marked, apart=True),
    )
    return disk._replace(blocks=(*halves, *disk.blocks))


def _find(broker: Broker, request: Request, start: int) -> int | None:
    for at in range(max(start, 0), len(broker.log)):
        entry = broker.log[at]
        if (entry.producer, entry.base) == (request.producer, request.base):
            return at
    return None


def _losses(world: World) -> Iterator[World]:
    """A new leader lacks the last of what was acknowledged; of an id that it knows no more, nobody can tell (D7)."""
    broker, disk = world.broker, world.disk
    if not world.chances.losses:
        return
    chances = world.chances._replace(losses=world.chances.losses - 1)
    for end in range(broker.start, broker.replicated):
        kept = {entry.producer for entry in broker.log[:end] if entry.known}
        lost = [
            (entry.producer, entry.first, entry.last)
            for entry in broker.log[end : broker.replicated]
            # What is not settled will go again all the same.
            if disk.lease is None or disk.noted != NOT_NOTED or disk.lease.first != entry.first
        ]
        # Once all of an id is gone, what was lost of it before is noticed no more either, nor made good.
        lost += [
            (request.producer, request.first, request.last) for request in disk.sent if request.producer not in kept
        ]
        all_lost = {(item[0] if item[0] in kept else UNNOTICED, *item[1:]) for item in (*broker.lost, *lost)}
        after = broker._replace(log=broker.log[:end], replicated=end, lost=tuple(sorted(all_lost)))
        yield world._replace(broker=after, chances=chances)


def _created_again(world: World) -> Iterator[World]:
    """The topic is deleted and created again: nothing stands in it, and nothing is known of any id."""
    broker, disk = world.broker, world.disk
    if not world.chances.recreations or not broker.log:
        return
    settled = [*disk.history, *([disk.lease] if disk.lease is not None and disk.noted != NOT_NOTED else [])]
    lost = {(CREATED_AGAIN, request.first, request.last) for request in settled} | set(broker.lost)
    yield world._replace(
        broker=broker._replace(log=(), replicated=0, start=0, lost=tuple(sorted(lost))),
        late=(),
        chances=world.chances._replace(recreations=world.chances.recreations - 1),
    )


def _noticed(broker: Broker, producer: int) -> Broker:
    """The gateway hears of an id of which the broker still has something: what is lost of it must go again."""
    if not broker.lost or not broker.known(producer):
        return broker
    return broker._replace(lost=tuple(item for item in broker.lost if item[0] != producer))
