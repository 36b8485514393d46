"""The shipper: one courier a stream, one circuit breaker, and the hand-over of what has grown old to `backfill`."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Final, TypeVar

from sync.backoff import Backoff
from sync.shipper.events import AnotherCluster, LinkBack, Repeated
from sync.shipper.link.circuit import Circuit, CircuitState
from sync.shipper.link.meter import Meter
from sync.shipper.link.precedence import Precedence
from sync.shipper.link.shares import Shares
from sync.shipper.link.waits import EVERYTHING, Patience, Waits, trouble_of
from sync.shipper.sending.aging import Aging
from sync.shipper.sending.courier import Courier
from sync.shipper.sending.lanes import Lanes
from sync.shipper.sending.readiness import Readiness
from sync.shipper.sending.thinning import Thinning
from sync.shipper.sending.topics import Topics
from sync.shipper.settings import ShipperSettings
from sync.shipper.stats import ShipperStats, Tally
from sync.values import ClusterChanged, Lane, Misconfigured, NotReady, Stream, Trouble, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.seams import Backlog, Sink
    from sync.shipper.events import ShipperEvent
    from sync.values import Batch

T = TypeVar("T")

_LET_GO_RETRY_S: Final = 1.0
"""Fresh data waits for it, which is to leave within a second of the first connection."""
_CALM_S: Final = 600.0
"""A cluster that answers so long is here to stay."""
_BETWEEN_CLUSTERS_MOST_S: Final = 60.0


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
        log: Backlog,
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
        self.lanes = Lanes(log, sink, self._settings.budget)
        self._aging = Aging(log, self.circuit, self._settings.backfill_after_s)
        self._readiness = Readiness(log, sink, self.circuit, self.tally, self._settings.alert_ready_s)
        self._couriers: dict[Stream, Courier] = {}
        self._anew = False
        self._let_go = False
        self._between_clusters = Backoff(2 * self._settings.retry_s[1], _BETWEEN_CLUSTERS_MOST_S)
        self._changed_at_s = -math.inf

    async def run(self) -> None:
        """Ship until cancelled; then batches in flight may still be answered for `stop_s`. May be run again.

        Raises:
            Misconfigured: the cluster refuses our credentials, or has no idempotent producers.
        """
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.circuit.run())
                    group.create_task(self._aging.run())
                    group.create_task(self.thinning.run())
                    group.create_task(self._readiness.run())
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
        self.lanes.producers.clear()
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
        self._readiness.forget()
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
                self._readiness.make(group, stream)
                if self._let_go:
                    self._open(group, stream, None)

    def _open(self, group: asyncio.TaskGroup, stream: Stream, unsettled: Batch | None) -> None:
        if stream not in self._couriers:
            courier = self._couriers[stream] = Courier(stream, self, unsettled)
            group.create_task(courier.run())

    async def _assign(self, group: asyncio.TaskGroup, topic: str) -> None:
        """Find a new topic's partition; a topic that does not exist is waited for, and said so once."""
        count = await self._asked(topic, lambda: self.sink.partition_count(topic), self.backoff_most_s)
        self.waits.end(topic)
        await self.log.assign_partition(topic, count)
        self._open_known(group)

    def _link_changed(self, event: ShipperEvent) -> None:
        if isinstance(event, LinkBack):
            self._aging.link_back()
            self._readiness.link_back()
            self.shares.link_back(event.after_s)
        self.on_event(event)

    async def cleared(self, lane: Lane) -> None:
        """Wait until the link is up and the lane may use it."""
        while True:
            await self.circuit.wait_closed()
            await self.shares.wait(lane)
            if self.circuit.state is CircuitState.CLOSED:
                return

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
            producers=dict(self.lanes.producers),
            limit_bytes=self.lanes.limits_bytes(),
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
