"""What travels: records, the blocks' leases, a sink's answers; and the seams `Log` and `Sink`.

The rules D1 to D14 that the names here refer to are in docs/DELIVERY.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence


class Lane(StrEnum):
    """The order of sending: `alert` always goes first, `bulk` last."""

    ALERT = "alert"
    LIVE = "live"
    BACKFILL = "backfill"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Envelope:
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
    """Under which producer id and first sequence a stream's next batch is to leave."""

    stream: Stream
    producer: Producer
    base_sequence: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Whole blocks of one stream under one lease (D1), ready to send.

    `body` is the records section of a Kafka batch (magic 2), zstd-compressed. `first` and `last` are the
    outer sequence numbers of the log; numbers between them may belong to other lanes, so `count` is the
    number of records. `acked_offset` is the last offset acknowledged to us on the partition when the
    lease was written (-1 where there was none). `taken_at_ns` is the wall clock (ns since the epoch) at
    which the log took the oldest of its records. `attempted` says that it may have left before.
    """

    claim: Claim
    first: int
    last: int
    count: int
    acked_offset: int
    body: bytes
    taken_at_ns: int
    attempted: bool = False


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
    """No answer: the batch may be in the topic or not. The same batch goes again (D2)."""

    reason: str


Outcome = Accepted | Refused | Unknown


@dataclass(frozen=True, slots=True)
class LogStats:
    """A snapshot of the log, cheap to take. Counts are records; `bytes_used` counts pages in use."""

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


class Log(Protocol):
    """The outbox. Everything that leaves the gateway is in it first."""

    def append(self, records: Sequence[Envelope]) -> Awaitable[None]:
        """Take records; the awaitable is done once they are on disk (fsync), in the order given.

        Never blocks the loop. A record of lane `alert` is committed at once, with all that waits.

        Raises (from the awaitable):
            LogStalled: no commit has succeeded for `log_stall_s`; these records are not kept, and the log
                counts them as lost.
        """

    def offer(self, claim: Claim) -> Awaitable[Batch]:
        """Let the next commit that brings blocks for the claim's stream lease them, and hand the batch over.

        Only where nothing of that stream is pending or unsettled: else use `lease`.
        """

    def lease(self, claim: Claim, max_bytes: int) -> Awaitable[Batch | None]:
        """Lease the oldest pending blocks, joined up to `max_bytes`; None where nothing is pending."""

    def settle(self, batch: Batch, offset: int) -> None:
        """Note that the broker has it. Written by the next commit, or at once when a lease follows."""

    def cut(self, batch: Batch) -> Awaitable[None]:
        """Withdraw a refused batch's lease and halve it (D4); a single record goes to the dead letters."""

    def unsettled(self) -> Awaitable[list[Batch]]:
        """What was leased and not settled when the last run ended, oldest first, `attempted` set."""

    def stats(self) -> LogStats:
        """The figures of the last commit; never touches the disk."""


class Sink(Protocol):
    """Where batches go."""

    async def send(self, batch: Batch) -> Outcome:
        """Send one batch and wait for its answer. Never raises for what a broker or a link does."""


class NotReady(Exception):  # noqa: N818 - a condition of the outside, not an error of ours
    """The outside (a broker, a disk) is not there yet. The supervisor waits and tries again."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Misconfigured(Exception):  # noqa: N818 - named for the cure, like NotReady
    """Only a change of config (`field`) or of the cluster helps."""

    def __init__(self, reason: str, field: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.hint = hint


class LogStalled(Exception):  # noqa: N818 - a state of the log that callers count
    """The disk has not taken a commit for too long; the records given were not kept."""
