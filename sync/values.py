"""What travels: records, the blocks' leases, a sink's answers; and the seams `Log` and `Sink`.

The rules D1 to D14 that the names here refer to are in docs/DELIVERY.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from sync.log.streams import Standing


class Lane(StrEnum):
    """The order of sending: `alert` always goes first, `bulk` last."""

    ALERT = "alert"
    LIVE = "live"
    BACKFILL = "backfill"
    BULK = "bulk"


class Envelope(NamedTuple):
    """One record on its way upstream, before the log gives it its `seq`.

    `headers` are the record's own; the log adds `ce_id` and `ce_source`, which name it for ever (D10).
    """

    lane: Lane
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Producer:
    """A producer id as the broker gave it; `epoch` with it."""

    id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Stream:
    """One lane's records of one topic, on their one partition: what must stay in order, one batch in flight."""

    lane: Lane
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Under which producer id and first sequence a stream's next batch is to leave.

    `log_end` is the partition's log end as asked for before this run's first batch of the stream; a lease keeps
    it where no offset of that partition was ever acknowledged to us (D1).
    """

    stream: Stream
    producer: Producer
    base_sequence: int
    log_end: int = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole blocks of one stream under one lease (D1), ready to send.

    `body` is the records section of a Kafka batch (magic 2), zstd-compressed. `first` and `last` are the
    outer sequence numbers of the log; numbers between them may belong to other lanes, so `count` is the
    number of records. `acked_offset` is the last offset acknowledged to us on the partition when the lease
    was written, where there is none the one before the claim's `log_end` (-1 for none): the batch can only
    stand behind it. `taken_at_ns` is when the log took the oldest of its records, in ns of CLOCK_BOOTTIME and
    never too early: below 0 where that was before this boot. `attempted` says that it may have left before.
    `leased_at_ns` is when the lease was written, before the first attempt therefore, in ns of CLOCK_BOOTTIME; None
    where that was in another boot and the clocks that would tell were not trusted.
    """

    claim: Claim
    first: int
    last: int
    count: int
    acked_offset: int
    body: bytes
    taken_at_ns: int
    attempted: bool = False
    leased_at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has the batch, at `offset` (-1 where it did not say: it had it already)."""

    offset: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker answered and did not take the batch. `code` is Kafka's error code, `reason` its name.

    `permanent`: it will never take this batch as it is (too large, invalid). Otherwise waiting helps.
    """

    code: int
    reason: str
    permanent: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, or none that settles it: the batch may be in the topic or not. The same batch goes again (D2).

    `left` is False where nothing of it was written to a connection: then it was no attempt.
    """

    reason: str
    left: bool = True


Outcome = Accepted | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Known:
    """The broker remembers the producer id on the partition, up to `last_sequence`, all of it replicated (D6)."""

    last_sequence: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The broker does not know the producer id on the partition (any more): only the records themselves can tell."""


@dataclass(frozen=True, slots=True)
class Found:
    """The batch stands in the partition, whole, from `offset` on."""

    offset: int


@dataclass(frozen=True, slots=True)
class Absent:
    """All of the partition from the lease's offset to its end was read, and the batch is not there."""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """Asking again will not help: the partition no longer reaches so far back, or we may not read it.

    `may_not_read`: the latter. Absence is not proved by it, nor is presence.
    """

    reason: str
    may_not_read: bool = False


LookedUp = Known | Forgotten | CannotTell
ReadBack = Found | Absent | CannotTell


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits in one lane of one topic, as of the last commit; records under a lease are not counted.

    `partition` is None until `assign_partition` was asked for the topic. `oldest_at_ns` is when the
    log took the oldest of the `records`, in ns of CLOCK_BOOTTIME (see `Batch.taken_at_ns`), 0 where there are none.
    `unsettled`: a batch of the stream is leased and not settled.
    """

    lane: Lane
    topic: str
    partition: int | None
    records: int
    oldest_at_ns: int
    unsettled: bool


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a log is, to be compared with what upstream knows of it (D11).

    `first_seq` is the first number of this run, `log_first_seq` of the log id. `told_at` is the last offset
    acknowledged to this log id on the topic asked for, -1 where there is none. `behind`: what stands beside the
    file knows of a later run.
    """

    log_id: str
    run: int
    first_seq: int
    log_first_seq: int
    told_at: int
    behind: bool


@dataclass(frozen=True, slots=True)
class LogStats:
    """A snapshot of the log, cheap to take. Counts are records; `bytes_used` counts pages in use.

    `depth` is what is not settled yet. `delivered` and `lost` (by reason) count since this process began,
    as do the figures of commits: `commit_buckets` holds, for each upper bound in seconds, how many commits
    took at most as long; `body_bytes` is what came in (keys, values, headers), `written_bytes` what was
    written to the disk for it, and `quarantined` how many files were put aside, the last for `quarantined_why`.
    `dead_letters` lie in the file.
    """

    run: int
    log_id: str
    next_seq: int
    depth: Mapping[Lane, int]
    delivered: Mapping[Lane, int]
    dead_letters: int
    lost: Mapping[str, int]
    bytes_used: int
    wal_bytes: int
    oldest_pending_s: Mapping[Lane, float]
    last_commit_age_s: float
    stalled: bool
    quarantined: int
    commits: int = 0
    commit_s_sum: float = 0.0
    commit_buckets: Mapping[float, int] = field(default_factory=dict)
    body_bytes: int = 0
    written_bytes: int = 0
    checkpoint_held: bool = False
    """A foreign reader keeps the WAL from being emptied."""
    clock_trusted: bool = False
    """Whether what is taken now bears a wall clock that can be relied on."""
    corrected: int = 0
    """Records whose time was set right before they left, since this process began."""
    waiting: int = 0
    """Of `depth`, what is not sent before `adopt` or `discard` says so (D11)."""
    quarantined_why: str = ""


class Log(Protocol):
    """The outbox. Everything that leaves the gateway is in it first. Its methods belong to the loop's thread."""

    def append(self, records: Sequence[Envelope], receipts: Sequence[tuple[str, bytes]] = ()) -> Awaitable[None]:
        """Take records; the awaitable is done once they are on disk (fsync), in the order given.

        Never blocks the loop. A record of lane `alert` is committed at once, with all that waits. `receipts` (by
        whose name, and what) are kept in the same commit; without a record they are not.

        Raises (from the awaitable):
            LogStalled: no commit has succeeded for `log_stall_s`; these records are not kept, and the log
                counts them as lost, unless a commit already under way brings them to disk after all.
            NotReady: the log was closed before they were on disk; nothing may be acknowledged for them.
            TypeError, ValueError: they cannot be encoded.
        """

    def receipts(self, name: str) -> Awaitable[list[bytes]]:
        """The newest receipts kept by a name, oldest first: those of the last thousand blocks of each stream."""

    def streams(self) -> Sequence[Pending]:
        """All streams that the log knows, `alert` first; as of the last commit, without touching the disk."""

    async def changed(self, seen: int) -> int:
        """Sleep until more can be leased than when `changed` last answered `seen`; gives the new figure.

        Start with 0, which answers at once after the log is open. A stream new to the log, one that turns
        from empty to pending and blocks that came back by `cut` or `hand_to_backfill` count; what an
        `offer` takes does not, so that a shipper whose offers stand sleeps on.
        """

    async def assign_partition(self, topic: str, count: int) -> int:
        """The partition that this gateway's records of a topic go to, for ever.

        murmur2(gateway id) modulo `count` when first asked for the topic; later counts change nothing.
        """

    def offer(self, claim: Claim, max_bytes: int) -> Awaitable[Batch]:
        """Lease the stream's next blocks as soon as there are any; cancelling the awaitable withdraws it.

        Where nothing of the stream is pending, the commit that stores its next blocks holds the lease too,
        and the batch is handed over from memory; what is pending is leased at once, as `lease` does.
        """

    def lease(self, claim: Claim, max_bytes: int) -> Awaitable[Batch | None]:
        """Lease the oldest pending blocks; None where nothing is pending.

        Small neighbours are joined up to `max_bytes` of compressed body, one too large is cut first (never
        below one record). While a batch of the stream is unsettled, the same claim gets that batch again.

        Raises (from the awaitable):
            ValueError: another batch of the stream is unsettled, or the claim's partition is not the one
                assigned.
        """

    def settle(self, batch: Batch, offset: int) -> None:
        """Note that the broker has it. Written by the next commit, at once when a lease follows.

        `offset` is the first of the batch in the partition, -1 where the broker did not say.
        """

    def cut(self, batch: Batch, reason: str) -> Awaitable[None]:
        """Withdraw a refused batch's lease and halve it (D4); a single record goes to the dead letters.

        The halves are pending again, ahead of all others of the stream, and are never joined; each must go
        under a fresh id.
        """

    def again(self, batch: Batch, last_sequence: int | None) -> Awaitable[int]:
        """Withdraw the lease of a batch that may have left, so that it goes anew, marked; how many records (D6, D7).

        With `last_sequence` the broker lost what it had of the batch's producer id above it: what the local history
        still holds of that goes again too, ahead of the batch; what it no longer holds is lost, and counted as such.
        All of it is pending again, ahead of all newer, and leaves with the header `possibly_repeated`. It must
        go under a fresh id.

        Raises (from the awaitable):
            ValueError: no such batch is leased.
        """

    def unsettled(self) -> Awaitable[list[Batch]]:
        """What was leased and not settled when the last run ended, oldest first, `attempted` set."""

    def hand_to_backfill(self, older_than_s: float) -> Awaitable[int]:
        """Move pending `live` blocks taken more than `older_than_s` ago to `backfill`; how many records."""

    def origin(self, topic: str) -> Awaitable[Origin]:
        """Who this log is, before anything is sent in this run; `topic` is where its runs are told."""

    def compared(self) -> Awaitable[None]:
        """Note on disk that the log is no copy and its records may be sent; done before the first one is."""

    def fork(self, standing: Standing) -> Awaitable[int]:
        """The log is a copy: new records get a new log id, older ones wait or go marked, as `standing` has it.

        What came in since the copy was started leaves under the new id. Leases are withdrawn. How many records
        have the standing. For the time before the first is sent, in place of `compared`.
        """

    def adopt(self) -> Awaitable[int]:
        """Send what waits, marked `possibly_repeated`; how many records."""

    def discard(self) -> Awaitable[int]:
        """Give up what waits, counted in the loss ledger as `discarded`; how many records."""

    def thin_backfill(self, to_bytes: int) -> Awaitable[int]:
        """Thin what is pending in `backfill`, oldest first, until it holds about so many bytes compressed.

        Readings become one aggregate a sensor and minute, which the loss ledger says. Done once that much is reached
        or nothing is left that can be thinned (0 thins all of it); gives how many records were folded. What is
        leased, and what is no reading, stays.
        """

    def limit_blocks(self, lane: Lane, max_bytes: int) -> None:
        """Bound a lane's new blocks, in bytes before compression; kept within 16 KiB and 512 KiB."""

    def cursor(self, name: str) -> Awaitable[int | None]:
        """An offset kept on disk under a name; None where none was set."""

    def set_cursor(self, name: str, value: int) -> Awaitable[None]:
        """Keep an offset; the awaitable is done once it is on disk."""

    def stats(self) -> LogStats:
        """The figures of the last commit; never touches the disk."""


class Sink(Protocol):
    """Where batches go.

    Every method but `close` may raise `Misconfigured`: the other side refuses our credentials, or cannot do
    what the settings ask of it. Where one raises NotReady, it is `Unreachable` if nobody answered.
    """

    @property
    def idempotent(self) -> bool:
        """Whether batches carry a producer id from `new_producer`; else they go without (D13)."""

    async def send(self, batch: Batch) -> Outcome:
        """Send one batch and wait for its answer; what a broker or a link does is in the outcome.

        Anything but an acknowledgement closes the connection (D2). Cancelled, the outcome is unknown.
        """

    async def look_up(self, batch: Batch) -> LookedUp:
        """The last sequence that the batch's producer id has on its partition (D6).

        Answered only once all that the leader's log holds is replicated, under one leader epoch (F7): what is
        answered stays true. Changes nothing. Raises NotReady until then, and where nobody leads the partition.
        """

    async def read_back(self, batch: Batch) -> ReadBack:
        """Look for the batch in its partition itself, from its `acked_offset` to the end, behind the same barrier.

        For a producer id that the broker has forgotten. Where the partition begins after `acked_offset`, or ends
        before it, absence proves nothing: CannotTell. Changes nothing. Raises NotReady.
        """

    async def id_expiration_s(self) -> float | None:
        """How long brokers remember a producer id (F4), in seconds; None where they do not say. Raises NotReady."""

    async def reach(self) -> None:
        """One round trip; raises Unreachable where nobody answers."""

    async def keep_ready(self, stream: Stream) -> None:
        """Have the connection of a stream's next batch made and alive; raises NotReady."""

    async def new_producer(self) -> Producer:
        """A producer id that nobody had before (D9); raises NotReady."""

    async def partition_count(self, topic: str) -> int:
        """How many partitions a topic has; raises NotReady, also where there is no such topic."""

    async def log_end(self, stream: Stream) -> int:
        """The offset that the partition's next record gets (D1); raises NotReady."""

    async def close(self) -> None:
        """Close all connections; the next use opens them again."""


class NotReady(Exception):  # noqa: N818 - a condition of the outside, not an error of ours
    """The outside (a broker, a disk) is not there yet. The supervisor waits and tries again."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Unreachable(NotReady):
    """Nobody answered: the link or every broker is down. Others of the same link need not try."""


class Misconfigured(Exception):  # noqa: N818 - named for the cure, like NotReady
    """Only a change of config (`field`) or of the cluster helps."""

    def __init__(self, reason: str, field: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.hint = hint


class LogStalled(Exception):  # noqa: N818 - a state of the log that callers count
    """The disk has not taken a commit for too long; the records given were not kept."""
