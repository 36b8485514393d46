"""The seams of the spoke: `Log`, the outbox, by its roles, and `Sink`, where it is shipped to.

The rules D1 to D14 that are named here are in docs/DELIVERY.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from sync.values import (
        Batch,
        Claim,
        Envelope,
        Lane,
        LogStats,
        LookedUp,
        Origin,
        Outcome,
        Pending,
        Producer,
        ReadBack,
        Recalled,
        Standing,
        Stream,
    )


class Appender(Protocol):
    """Where records come in. Its methods belong to the loop's thread, as those of all roles here do."""

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

    def hurry(self) -> None:
        """Commit now what waits for its interval: a source can go on only once it is on disk."""

    def receipts(self, name: str) -> Awaitable[list[bytes]]:
        """The newest receipts kept by a name, oldest first: those of the last thousand blocks of each stream."""


class Cursors(Protocol):
    """Numbers that outlive a restart, under a name: how far something was read, or what was used up."""

    def cursor(self, name: str) -> Awaitable[int | None]:
        """A number that outlives a restart, under a name; None where none was set."""

    def set_cursor(self, name: str, value: int) -> Awaitable[None]:
        """Keep a number under a name, of at most 63 bits; the awaitable is done once it is on disk."""


class LogFigures(Protocol):
    """What people, metrics and alerts read; never touches the disk."""

    def streams(self) -> Sequence[Pending]:
        """All streams that the log knows, `alert` first; as of the last commit, without touching the disk."""

    def stats(self) -> LogStats:
        """The figures of the last commit; never touches the disk."""


class Partitions(Protocol):
    """Which partition this gateway's records of a topic go to."""

    async def assign_partition(self, topic: str, count: int) -> int:
        """The partition that this gateway's records of a topic go to, for ever.

        murmur2(gateway id) modulo `count` when first asked for the topic; later counts change nothing.
        """


class LogIdentity(Partitions, Protocol):
    """Whose log it is: compared with what upstream knows, renamed if it is a copy (D11)."""

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


class Backlog(LogFigures, Partitions, Protocol):
    """What the shipper works through: batches leased, settled, cut, and sent again."""

    async def changed(self, seen: int) -> int:
        """Sleep until more can be leased than when `changed` last answered `seen`; gives the new figure.

        Start with 0, which answers at once after the log is open. A stream new to the log, one that turns
        from empty to pending and blocks that came back by `cut` or `hand_to_backfill` count; what an
        `offer` takes does not, so that a shipper whose offers stand sleeps on.
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

    def recall(self, batch: Batch, offset: int, end: int, *, settles: bool) -> Awaitable[Recalled | None]:
        """An answer about a batch names less than was acknowledged before: that is lost upstream (D15).

        All of the topic that local history still holds is pending again, marked, in lane `backfill` (bulk in
        `bulk`). If it `settles`, the batch is settled in the same transaction, as by `settle`. `end` is where the
        partition ended if the batch was looked up, else -1. The request is taken at once, also if nobody waits for
        the answer: what goes again, None if the topic has been recalled already.
        """

    def stands_in(self, topic: str, topic_id: str) -> Awaitable[Recalled | None]:
        """Note which topic goes by this name, by its id; if it was another one before, recall it: what goes again.

        None if it is the one known, or none was known.
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

    def goes_to(self, cluster: str) -> Awaitable[dict[Stream, int] | None]:
        """Note which cluster records go to from now on; None where they went to it before, or to none yet.

        Where they went to another one, what it was sent and did not acknowledge is pending again, marked, under
        fresh ids (D6): how many records of each stream. No offset of the old one is believed any more.
        """

    def hand_to_backfill(self, older_than_s: float) -> Awaitable[int]:
        """Move pending `live` blocks taken more than `older_than_s` ago to `backfill`; how many records."""

    def thin_backfill(self, to_bytes: int) -> Awaitable[int]:
        """Thin what is pending in `backfill`, oldest first, until it holds about so many bytes compressed.

        Readings become one aggregate a sensor and minute, which the loss ledger says. Done once that much is reached
        or nothing is left that can be thinned (0 thins all of it); gives how many records were folded. What is
        leased, and what is no reading, stays.
        """

    def limit_blocks(self, lane: Lane, max_bytes: int) -> None:
        """Bound a lane's new blocks, in bytes before compression; kept within 16 KiB and 512 KiB."""


class Log(Appender, Backlog, LogIdentity, Cursors, Protocol):
    """The outbox in all its roles. Everything that leaves the gateway is in it first."""

    @property
    def clock_trusted(self) -> bool:
        """Whether the wall clock was believed at the last commit: one of the figures, asked for with each batch."""


class Sink(Protocol):
    """Where batches go.

    Every method but `close` may raise `Misconfigured`: the other side refuses our credentials, or cannot do
    what the settings ask of it; and `ClusterChanged` (see `cluster_id`). Where one raises NotReady, it is
    `Unreachable` if nobody answered, and `BrokerUnreachable` if others of the cluster did.
    """

    @property
    def idempotent(self) -> bool:
        """Whether batches carry a producer id from `new_producer`; else they go without (D13)."""

    @property
    def expansion(self) -> float:
        """How many times larger a body leaves than it is in the log, by what was sent last; 1.0 as it is."""

    @property
    def timed(self) -> bool:
        """Whether what is sent now bears a time (D5). The id of a batch without one is soon forgotten (F4)."""

    async def send(self, batch: Batch) -> Outcome:
        """Send one batch and wait for its answer; what a broker or a link does is in the outcome.

        What leaves open whether the batch was taken closes the connection (D2). Cancelled, the outcome is unknown.
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

    async def cluster_id(self, *, anew: bool) -> str:
        """Which cluster this is, empty where it does not say. Raises NotReady.

        It is the one found first, until it is asked for `anew`: before that, everything here that finds another one
        raises ClusterChanged, and sends it nothing but the question who it is.
        """

    async def keep_ready(self, stream: Stream) -> None:
        """Have the connection of a stream's next batch made and alive; raises NotReady."""

    async def new_producer(self) -> Producer:
        """A producer id that nobody had before (D9); raises NotReady."""

    async def topic_id(self, topic: str, *, refresh: bool) -> str:
        """The id of the topic, empty if the brokers do not say. A topic that is created again has another one (D15).

        It is asked for again if `refresh` is set, and once an hour. Raises NotReady.
        """

    async def partition_count(self, topic: str) -> int:
        """How many partitions a topic has; raises NotReady, also where there is no such topic."""

    async def log_end(self, stream: Stream) -> int:
        """The offset that the partition's next record gets (D1); raises NotReady."""

    async def close(self) -> None:
        """Close all connections; the next use opens them again."""
