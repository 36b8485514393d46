"""What travels over the seams `Log` and `Sink`: records, the blocks' leases, a sink's answers, and errors.

The rules D1 to D14 that the names here refer to are in docs/DELIVERY.md.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

EARLIEST_MS: Final = 1_704_067_200_000
"""2024-01-01: earlier than any release of this program. A clock that says less is wrong (C1, D5)."""
WRAP: Final = 2**31
"""A producer's sequence goes on at 0 after 2^31 - 1 (D9)."""


class Lane(StrEnum):
    """The order of sending: `alert` always goes first, `bulk` last."""

    ALERT = "alert"
    LIVE = "live"
    BACKFILL = "backfill"
    BULK = "bulk"


class Standing(IntEnum):
    """How pending records may leave."""

    PLAIN = 0
    MARKED = 1
    """Only with the header `possibly_repeated`: they may have been sent before (D6, D7)."""
    WAITS = 2
    """Not before somebody says whose they are (D11)."""
    RENAMED = 3
    """Only under the id that a fork gave: they came in before it was known that the log is a copy (D11)."""
    RENAMED_MARKED = 4
    """Both: the log was forked again since."""
    RENAMED_WAITS = 5
    RECALLED = 6
    """Marked; a topic lost them after it had acknowledged them (D15). Their count is an upper bound."""

    @property
    def marked(self) -> bool:
        """Whether they leave with the header."""
        return self in {Standing.MARKED, Standing.RENAMED_MARKED, Standing.RECALLED}

    @property
    def waits(self) -> bool:
        """Whether they are held back until somebody says whose they are."""
        return self in {Standing.WAITS, Standing.RENAMED_WAITS}

    @property
    def renamed(self) -> bool:
        """Whether the names that they lie under are not those that they leave under."""
        return self in {Standing.RENAMED, Standing.RENAMED_MARKED, Standing.RENAMED_WAITS}


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
    where that was in another boot and the clocks that would tell were not trusted, or the clock was not when it was
    written, so that the batch may have left without a time (D5).
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

    `permanent`: it will never take this batch as it is, because of a record (too large, invalid). Otherwise the same
    batch goes again: `setting` is the key of config.yaml that cures it, `hint` what to do, empty if there is none.
    """

    code: int
    reason: str
    permanent: bool
    setting: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, or none that settles it: the batch may be in the topic or not. The same batch goes again (D2).

    `left` is False where nothing of it was written to a connection: then it was no attempt. `broker` is the address
    that could not be reached, if others of the cluster answer. `setting` and `hint` as in `Refused`.
    """

    reason: str
    left: bool = True
    broker: str = ""
    setting: str = ""
    hint: str = ""


Outcome = Accepted | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Known:
    """The broker remembers the producer id on the partition, up to `last_sequence`, all of it replicated (D6).

    `end` is the offset at which the partition ended then, -1 if that was not told.
    """

    last_sequence: int
    end: int = field(default=-1, compare=False)


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

    `may_not_read`: the latter, or the brokers have no such question. Absence is not proved by it, nor is presence.
    `end` is where the partition ends, if that is why.
    """

    reason: str
    may_not_read: bool = False
    end: int = field(default=-1, compare=False)


LookedUp = Known | Forgotten | CannotTell
ReadBack = Found | Absent | CannotTell


@dataclass(frozen=True, slots=True)
class Recalled:
    """A topic lost what it had acknowledged: `again` is how many records of each stream go again, marked (D15).

    `not_held` is how many were sent at some time that local history holds no more: as many may be lost, or fewer.
    """

    topic: str
    again: Mapping[Stream, int]
    not_held: int

    @property
    def records(self) -> int:
        """How many go again."""
        return sum(self.again.values())


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
class Forecast:
    """When the log is full, if nothing is delivered and as much comes in as in the last minutes.

    `pending_bytes` is what undelivered records take of the file, `room_bytes` what is left beside them until its
    bound, settled history included. `full_s`: until the first undelivered record of a lane is thinned or lost,
    infinite where nothing comes in. Both are empty, and `why_not` says why, where there is no rate yet.
    """

    pending_bytes: Mapping[Lane, int] = field(default_factory=dict)
    room_bytes: int = 0
    bytes_per_s: Mapping[Lane, float] = field(default_factory=dict)
    full_s: Mapping[Lane, float] = field(default_factory=dict)
    why_not: str = ""


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
    bound_bytes: int = 0
    """What `bytes_used` is kept within."""
    forecast: Forecast = Forecast(why_not="the log is not open yet")
    written_per_day: float | None = None
    """Bytes to the disk in a day, at the rate of the last hour; None until five minutes were measured."""
    disk_free_bytes: int | None = None
    """On the log's disk; None where nobody looks."""
    disk_short: bool = False
    """Less than it should: the log grows no more, and keeps no history."""


class NotReady(Exception):  # noqa: N818 - a condition of the outside, not an error of ours
    """The outside (a broker, a disk) is not there yet. The supervisor waits and tries again."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Unreachable(NotReady):
    """Nobody answered: the link or every broker is down. Others of the same link need not try."""


class BrokerUnreachable(NotReady):
    """One broker cannot be reached, though the cluster answers: `broker` is the address that it announces for it."""

    def __init__(self, reason: str, hint: str, broker: str, *, others: bool) -> None:
        super().__init__(reason, hint)
        self.broker = broker
        self.others = others
        """Whether another announced broker is connected, so that some topics can still be sent."""


class NotOffered(NotReady):
    """The broker does not have this question, or not in a version that we know."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why records wait although the link is up.

    `setting` is the key of config.yaml that cures it, `broker` the address that cannot be reached; both are empty if
    it is neither.
    """

    reason: str
    hint: str = ""
    setting: str = ""
    broker: str = ""


class ClusterChanged(Exception):  # noqa: N818 - named for what is seen, like NotReady
    """Another cluster answers than before, under the same addresses: it knows nothing that is ours."""


def cluster_number(cluster: str) -> int:
    """A cluster's id as a cursor of the log keeps it."""
    return int.from_bytes(hashlib.sha256(cluster.encode()).digest()[:6], "big")


class Misconfigured(Exception):  # noqa: N818 - named for the cure, like NotReady
    """Only a change of config (`field`) or of the cluster helps; `broker` is the address of who said so.

    `again`, if there is one, is done once another try may help; it does not raise.
    """

    def __init__(self, reason: str, field: str = "", hint: str = "", broker: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.hint = hint
        self.broker = broker
        self.again: Callable[[], Awaitable[None]] | None = None


class LogStalled(Exception):  # noqa: N818 - a state of the log that callers count
    """The disk has not taken a commit for too long; the records given were not kept."""
