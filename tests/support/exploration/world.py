"""What the world is made of: a disk, a broker, requests under way and what may still happen. All of it is values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from sync.values import Accepted, Batch, Claim, Lane, Producer, Refused, Stream

STREAM: Final = Stream(Lane.LIVE, "sensor-data", 0)
TOO_LARGE: Final = Refused(10, "MessageTooLarge (10)", permanent=True)
NOT_NOW: Final = Refused(19, "NotEnoughReplicas", permanent=False)
OUT_OF_ORDER: Final = Refused(45, "OutOfOrderSequenceNumber", permanent=False)
MARKED: Final = b"possibly repeated"
REMEMBERED: Final = 5
NOT_NOTED: Final = -2


class Block(NamedTuple):
    """Records that the log holds as one; `apart` ones were made by a cut and are never joined."""

    first: int
    last: int
    marked: bool = False
    apart: bool = False


class Request(NamedTuple):
    """A batch: under which id and sequence which records leave, and from where on they may be read back."""

    producer: int
    base: int
    first: int
    last: int
    marked: bool
    acked: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


class Disk(NamedTuple):
    """What survives a kill, but for `noted`: the offset of a settle that the next commit will write.

    `sent` is what went and was settled under the lease's id, as far as history tells (D7); `history` is all that was
    settled, where a topic may be created again or lose records (D15).
    """

    blocks: tuple[Block, ...]
    lease: Request | None = None
    noted: int = NOT_NOTED
    sent: tuple[Request, ...] = ()
    acked: int = -1
    history: tuple[Request, ...] = ()
    dead: tuple[tuple[int, bool], ...] = ()


class Entry(NamedTuple):
    """A batch in the partition; `known` while the broker remembers its id by it."""

    producer: int
    base: int
    first: int
    last: int
    marked: bool
    known: bool = True

    @property
    def end(self) -> int:
        """The sequence that follows."""
        return self.base + self.last - self.first + 1


class Broker(NamedTuple):
    """A partition. An offset is an index of `log`, of which the first `replicated` cannot be cut off by a new leader.

    What stands before `start` has aged out. `largest` is how many records a batch may hold. `lost` are
    replicated batches that a leader lost all the same and that nobody has noticed: id, first and last record.
    """

    log: tuple[Entry, ...] = ()
    replicated: int = 0
    largest: int = 99
    start: int = 0
    lost: tuple[tuple[int, int, int], ...] = ()

    def known(self, producer: int) -> list[tuple[int, Entry]]:
        """What the broker remembers of an id, with offsets."""
        return [(at, entry) for at, entry in enumerate(self.log) if entry.known and entry.producer == producer]


class Chances(NamedTuple):
    """What may still happen. `old`: so much time passed that an unanswered batch must be looked up first."""

    kills: int
    faults: int
    refusals: int
    shrinks: int
    forgets: int
    leaders: int
    losses: int
    starts: int
    forbidden: int
    recreations: int
    next_id: int = 0
    old: bool = False


class World(NamedTuple):
    """`gateway` numbers a state of the shipper and what it waits for; None while it is down."""

    gateway: int | None
    disk: Disk
    broker: Broker
    late: tuple[Request, ...]
    chances: Chances


@dataclass(frozen=True)
class Scope:
    """How much may happen."""

    records: int = 4
    kills: int = 0
    faults: int = 0
    refusals: int = 0
    """Errors that pass."""
    poison: int = 0
    """A record that no broker takes; 0 for none."""
    shrinks: int = 0
    """How often the broker's limit falls to one record a batch."""
    forgets: int = 0
    """How often so long nothing happens that all ids are forgotten, and no request lives on (F4, D12)."""
    leaders: int = 0
    """Changes of leader that cut off what is not replicated (F7)."""
    losses: int = 0
    """Changes of leader that lose what was acknowledged (D7)."""
    starts: int = 0
    """How often all that stands in the partition ages out."""
    forbidden: int = 0
    """How often reading is refused."""
    recreations: int = 0
    """How often the topic is deleted and created again (D15)."""

    def begin(self) -> World:
        """Nothing has happened yet."""
        chances = Chances(
            self.kills,
            self.faults,
            self.refusals,
            self.shrinks,
            self.forgets,
            self.leaders,
            self.losses,
            self.starts,
            self.forbidden,
            self.recreations,
        )
        return World(None, Disk(tuple(Block(n, n) for n in range(1, self.records + 1))), Broker(), (), chances)


@cache
def batch_of(request: Request, attempted: bool) -> Batch:  # noqa: FBT001 - a field of the batch
    """The batch as the shipper sees it."""
    claim = Claim(STREAM, Producer(request.producer, 0), request.base)
    body = MARKED if request.marked else b""
    return Batch(claim, request.first, request.last, request.count, request.acked, body, 0, attempted)


@cache
def request_of(batch: Batch) -> Request:
    """What leaves of a batch."""
    claim = batch.claim
    marked = batch.body == MARKED
    return Request(claim.producer.id, claim.base_sequence, batch.first, batch.last, marked, batch.acked_offset)


def take(broker: Broker, request: Request, poison: int) -> tuple[Broker, Accepted | Refused]:
    """What a broker does with a batch (F1 to F3). What it appends is not replicated yet."""
    if request.count > broker.largest or request.first <= poison <= request.last:
        return broker, TOO_LARGE
    known = broker.known(request.producer)
    for at, entry in known[-REMEMBERED:]:
        if (entry.base, entry.end) == (request.base, request.base + request.count):
            return broker, Accepted(at)
    if known and known[-1][1].end != request.base:
        return broker, OUT_OF_ORDER
    entry = Entry(request.producer, request.base, request.first, request.last, request.marked)
    return broker._replace(log=(*broker.log, entry)), Accepted(len(broker.log))
