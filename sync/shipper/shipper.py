"""The shipper: one courier a stream, one circuit breaker, and the hand-over of what has grown old to `backfill`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from sync.backoff import Backoff
from sync.shipper.events import AnotherCluster, LinkBack, Repeated
from sync.shipper.link.batch_size import MOST_BYTES, BatchSize
from sync.shipper.link.budget import Budget
from sync.shipper.link.circuit import Circuit, CircuitState
from sync.shipper.link.meter import Meter
from sync.shipper.link.precedence import Precedence
from sync.shipper.link.shares import Shares
from sync.shipper.link.waits import EVERYTHING, Patience, Waits, trouble_of
from sync.shipper.sending.courier import Courier
from sync.shipper.sending.thinning import Thinning
from sync.shipper.sending.topics import Topics
from sync.shipper.stats import ShipperStats, Tally
from sync.values import ClusterChanged, Lane, Misconfigured, NotReady, Producer, Stream, Trouble, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.seams import Log, Sink
    from sync.shipper.events import ShipperEvent
    from sync.values import Batch

T = TypeVar("T")

_LET_GO_RETRY_S: Final = 1.0
"""Fresh data waits for it, which is to leave within a second of the first connection."""
_CALM_S: Final = 600.0
"""A cluster that answers so long is here to stay."""
_BETWEEN_CLUSTERS_MOST_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class ShipperSettings:
    """Times in seconds.

    `backfill_after_s`: `live` records older than this, still pending while the link is up, go to `backfill`.
    `retry_s`: the range from which the pause between two attempts to reach the cluster is drawn. A batch that
    was refused or not answered goes again after `backoff_first_s`, doubling up to `backoff_most_s`, with jitter.
    `stop_s`: how long a batch in flight may take to be answered once `run` is cancelled.
    `budget` bounds the bytes of a metered link. `backfill_share` is what `backfill` may take of a link that `live`
    could fill alone. After an outage `backfill` begins within `backfill_spread_s`, and within a tenth of the outage.
    Every `alert_ready_s` (0: never) the alert lane's connection is used, sooner than it would be closed as idle.
    What has had no answer for longer than `look_up_after_s` is looked up before it goes again (D6).
    """

    backfill_after_s: float = 60.0
    retry_s: tuple[float, float] = (1.0, 5.0)
    backoff_first_s: float = 0.1
    backoff_most_s: float = 5.0
    stop_s: float = 3.0
    budget: Budget = field(default_factory=Budget)
    backfill_share: float = 0.25
    backfill_spread_s: float = 0.0
    alert_ready_s: float = 120.0
    look_up_after_s: float = 300.0


def _ignore_event(_: ShipperEvent) -> None:
    pass


def _ignore_batch(_: Batch) -> None:
    pass


class Shipper:
    """Ships what the log holds, each stream in order, `alert` first; survives anything the cluster does.

    `on_event` is called once for each trouble and its end, `on_delivered` with each batch settled; neither may
    block or raise. `before_first_send` is awaited at each start once a broker answers, again where it raises
    NotReady, and nothing is leased before (D11). All belongs to the loop's thread. The sink's connections are
    closed when `run` ends. `meter` counts what they move, against the budget, and outlives this shipper; without
    one nothing counts.
    """

    def __init__(
        self,
        log: Log,
        sink: Sink,
        settings: ShipperSettings | None = None,
        on_event: Callable[[ShipperEvent], None] = _ignore_event,
        on_delivered: Callable[[Batch], None] = _ignore_batch,
        *,
        meter: Meter | None = None,
        before_first_send: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.log = log
        self.sink = sink
        self.on_event = on_event
        self.on_delivered = on_delivered
        self._before_first_send = before_first_send
        self._settings = settings or ShipperSettings()
        self.backoff_first_s = self._settings.backoff_first_s
        self.backoff_most_s = self._settings.backoff_most_s
        self.stop_s = self._settings.stop_s
        self.look_up_after_s = self._settings.look_up_after_s
        self.tally = Tally()
        self.waits = Waits(on_event)
        self.precedence = Precedence()
        self.meter = meter or Meter(dict)
        self.meter.budget = self._settings.budget
        self.shares = Shares(self.meter, log.streams, self._settings.backfill_share, self._settings.backfill_spread_s)
        self.circuit = Circuit(sink.reach, self._settings.retry_s, self._link_changed)
        self.topics = Topics(log, sink, self.tally, on_event)
        self.thinning = Thinning(log, self.meter, self.tally)
        self._link_back = asyncio.Event()
        self._link_anew = asyncio.Event()
        self._couriers: dict[Stream, Courier] = {}
        self._batch_sizes = {lane: BatchSize(self._settings.budget.of(lane).bytes_per_s) for lane in Lane}
        self._told_log = dict.fromkeys(Lane, MOST_BYTES)
        self._producers: dict[Lane, Producer] = {}
        self._anew = False
        self._let_go = False
        self._readied: set[Stream] = set()
        self._between_clusters = Backoff(2 * self._settings.retry_s[1], _BETWEEN_CLUSTERS_MOST_S)
        self._changed_at_s = -math.inf
        self._producer_locks = {lane: asyncio.Lock() for lane in Lane}

    async def run(self) -> None:
        """Ship until cancelled; then batches in flight may still be answered for `stop_s`. May be run again.

        Raises:
            Misconfigured: the cluster refuses our credentials, or has no idempotent producers.
        """
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.circuit.run())
                    group.create_task(self._hand_over())
                    group.create_task(self.thinning.run())
                    group.create_task(self._keep_alert_ready())
                    await self._ship(group)
            except BaseExceptionGroup as several:
                first = _first_of(several)
                if isinstance(first, Misconfigured):
                    self.tally.fault = Trouble(first.reason, first.hint, first.field, first.broker)
                if not isinstance(first, ClusterChanged):
                    raise first from None
                present = asyncio.current_task()
                if present is not None and present.cancelling():
                    raise asyncio.CancelledError from None
                self._forget_brokers()
            finally:
                await self.sink.close()
            await self._pause_between_clusters()

    def _forget_brokers(self) -> None:
        """What we knew of them is nothing that those of another cluster know."""
        self._couriers.clear()
        self._producers.clear()
        self.waits.end_all()
        self.topics.forget()
        self._anew = True

    async def _pause_between_clusters(self) -> None:
        """Longer each time: where a name leads to two clusters in turn, each change costs commits and an event."""
        now_s = time.monotonic()
        before_s, self._changed_at_s = self._changed_at_s, now_s
        if now_s - before_s >= _CALM_S:
            self._between_clusters.over()
        else:
            await asyncio.sleep(self._between_clusters.failed())

    async def _ship(self, group: asyncio.TaskGroup) -> None:
        # Known since the link was tried: it costs no round trip of its own.
        await self._go_to(await self._once_let_go(self._cluster_id))
        self.tally.fault = None
        self._let_go = False
        self._readied.clear()
        finding = group.create_task(self._find_streams(group))
        if self._before_first_send is not None:
            await self._once_let_go(self._before_first_send)
        unsettled = await self.log.unsettled()
        for courier in self._couriers.values():
            group.create_task(courier.run())
        self.shares.link_back(max(self.log.stats().oldest_pending_s.values(), default=0.0))
        for batch in unsettled:
            self._open(group, batch.claim.stream, batch)
        self._let_go = True
        self._open_known(group)
        # Not left to the group's end: until Python 3.12 a task that fails then leaves this one cancelled for good.
        await finding

    async def _find_streams(self, group: asyncio.TaskGroup) -> None:
        """Find the partitions of topics as records for them come, and open their streams.

        Until all is let go, partitions are found and connections made, which over a bad line takes seconds.
        """
        assigning: set[str] = set()
        seen = 0
        while True:
            seen = await self.log.changed(seen)
            self._open_known(group)
            for pending in self.log.streams():
                if pending.partition is None and pending.topic not in assigning:
                    assigning.add(pending.topic)
                    group.create_task(self._assign(group, pending.topic))

    async def _once_let_go(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What a question is answered that all else waits for; asked again until it is."""
        answer = await self._asked(EVERYTHING, ask, _LET_GO_RETRY_S)
        self.waits.end(EVERYTHING)
        return answer

    async def _asked(self, topic: str, ask: Callable[[], Awaitable[T]], most_s: float) -> T:
        """The answer to a question about a topic, asked again until there is one; that it waits is said once."""
        patience = Patience(self.backoff_first_s)
        while True:
            await self.circuit.wait_closed()
            try:
                return await ask()
            except NotReady as error:
                if isinstance(error, Unreachable):
                    self.circuit.doubt(error.reason)
                self.tally.last_error = error.reason
                trouble = trouble_of(error)
            await asyncio.sleep(patience.failed(trouble, most_s))
            said = self.waits.by_topic.get(topic)
            if self.circuit.state is CircuitState.CLOSED and patience.worth_a_word(trouble, said):
                self.waits.begin(topic, trouble)

    async def _cluster_id(self) -> str:
        found = await self.sink.cluster_id(anew=self._anew)
        self._anew = False
        return found

    async def _go_to(self, cluster: str) -> None:
        """Let the log know which cluster this is, before anything is asked of it or sent to it (D6)."""
        repeated = await self.log.goes_to(cluster)
        if repeated is None:
            return
        self.on_event(AnotherCluster(cluster, sum(repeated.values())))
        for stream, records in repeated.items():
            self.tally.repeated[stream.lane] += records
            self.on_event(Repeated(stream, records, "it was sent to another cluster"))

    def _open_known(self, group: asyncio.TaskGroup) -> None:
        for pending in self.log.streams():
            if pending.partition is not None:
                stream = Stream(pending.lane, pending.topic, pending.partition)
                self._make_ready(group, stream)
                if self._let_go:
                    self._open(group, stream, None)

    def _open(self, group: asyncio.TaskGroup, stream: Stream, unsettled: Batch | None) -> None:
        if stream not in self._couriers:
            courier = self._couriers[stream] = Courier(stream, self, unsettled)
            group.create_task(courier.run())

    def _make_ready(self, group: asyncio.TaskGroup, stream: Stream) -> None:
        if stream.lane in {Lane.ALERT, Lane.LIVE} and stream not in self._readied:
            self._readied.add(stream)
            group.create_task(self._connect(stream))

    async def _assign(self, group: asyncio.TaskGroup, topic: str) -> None:
        """Find a new topic's partition; a topic that does not exist is waited for, and said so once."""
        count = await self._asked(topic, lambda: self.sink.partition_count(topic), self.backoff_most_s)
        self.waits.end(topic)
        await self.log.assign_partition(topic, count)
        self._open_known(group)

    async def _connect(self, stream: Stream) -> None:
        """Make a stream's connection while its courier asks for an id; what fails is the courier's to meet."""
        with contextlib.suppress(NotReady):
            await self.sink.keep_ready(stream)

    async def _keep_alert_ready(self) -> None:
        """An alarm must not wait until its connection is made: over a bad link that is seconds."""
        while self._settings.alert_ready_s > 0:
            await self.circuit.wait_closed()
            for pending in self.log.streams():
                if pending.lane is Lane.ALERT and pending.partition is not None:
                    try:
                        await self.sink.keep_ready(Stream(pending.lane, pending.topic, pending.partition))
                    except Unreachable as error:
                        self.circuit.doubt(error.reason)
                    except NotReady as error:
                        self.tally.last_error = error.reason
            self._link_anew.clear()
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which until Python 3.12 may swallow a cancellation.
                async with asyncio.timeout(self._settings.alert_ready_s):
                    await self._link_anew.wait()

    async def _hand_over(self) -> None:
        after_s = self._settings.backfill_after_s
        period_s = min(max(after_s / 10, 0.5), 5.0)
        while True:
            if self.circuit.state is CircuitState.CLOSED and self._live_is_older_than(after_s):
                await self.log.hand_to_backfill(after_s)
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which until Python 3.12 may swallow a cancellation.
                async with asyncio.timeout(period_s):
                    await self._link_back.wait()
            self._link_back.clear()

    def _live_is_older_than(self, age_s: float) -> bool:
        limit_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(age_s * 1e9)
        return any(p.lane is Lane.LIVE and p.records and p.oldest_at_ns < limit_ns for p in self.log.streams())

    def _link_changed(self, event: ShipperEvent) -> None:
        if isinstance(event, LinkBack):
            self._link_back.set()
            self._link_anew.set()
            self.shares.link_back(event.after_s)
        self.on_event(event)

    async def lane_producer(self, lane: Lane) -> Producer:
        """The lane's id of this run (D9); raises NotReady."""
        async with self._producer_locks[lane]:
            if lane not in self._producers:
                self._producers[lane] = await self.sink.new_producer()
            return self._producers[lane]

    async def cleared(self, lane: Lane) -> None:
        """Wait until the link is up and the lane may use it."""
        while True:
            await self.circuit.wait_closed()
            await self.shares.wait(lane)
            if self.circuit.state is CircuitState.CLOSED:
                return

    def batch_size(self, lane: Lane) -> BatchSize:
        """The lane's batch size."""
        return self._batch_sizes[lane]

    def limit_blocks(self, lane: Lane) -> None:
        """Tell the log of a lane's new batch size, where it has at least doubled or halved."""
        limit, told = self._batch_sizes[lane].limit_bytes, self._told_log[lane]
        if limit >= 2 * told or 2 * limit <= told:
            self._told_log[lane] = limit
            self.log.limit_blocks(lane, limit)

    def waits_for(self) -> str | None:
        """What shipping waits for, for the status line; None while all flows."""
        if self.circuit.state is not CircuitState.CLOSED:
            return self.circuit.reason
        if self.tally.fault is not None:
            return self.tally.fault.reason
        trouble = next(iter(self.waits.by_topic.values()), None)
        if trouble is None:
            return self.shares.used_up()
        return f"{trouble.reason} ({trouble.hint})" if trouble.hint else trouble.reason

    def stats(self) -> ShipperStats:
        """A snapshot of the figures."""
        tally = self.tally
        return ShipperStats(
            circuit=self.circuit.state,
            link_reason=self.circuit.reason,
            delivered=dict(tally.delivered),
            batches=dict(tally.batches),
            body_bytes=dict(tally.body_bytes),
            retries=dict(tally.retries),
            dead_letters=tally.dead_letters,
            looked_up=dict(tally.looked_up),
            read_back=dict(tally.read_back),
            repeated=dict(tally.repeated),
            waiting=dict(self.waits.by_topic),
            fault=tally.fault,
            producers=dict(self._producers),
            limit_bytes={lane: size.limit_bytes for lane, size in self._batch_sizes.items()},
            in_flight=tally.in_flight,
            last_error=tally.last_error,
            delivered_age_s=dict(tally.delivered_age_s),
            holds=dict(self.shares.holds),
            lost_upstream=dict(tally.lost_upstream),
        )


def _first_of(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The supervisor judges one error, not a group."""
    first = several.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
