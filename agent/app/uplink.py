"""The units that ship what the log holds and fetch what the fleet desires."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from agent.app.guarantee import Guarantee
from agent.app.identity import TOPIC
from agent.events import Severity, SystemEventKind
from agent.metrics import Histogram
from agent.pipeline import Conditions, GatewayEvents
from agent.reload import Part, Planned
from agent.supervisor import Stage, Unit
from sync.kafka import DesiredSettings, DesiredState, KafkaSettings, KafkaSink, Logins, Traffic
from sync.shipper import (
    AnotherCluster,
    LinkBack,
    LinkLost,
    Recovered,
    Repeated,
    Shipper,
    ShipperSettings,
    TopicLost,
    Waiting,
)
from sync.shipper.link.budget import Budget, LaneLimit
from sync.shipper.link.circuit import CircuitState
from sync.shipper.link.meter import Meter
from sync.shipper.link.waits import EVERYTHING
from sync.values import Lane, NotReady

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.app.certificates import CertificateDates
    from agent.app.identity import Identity, RestoredLog
    from agent.config import Config
    from agent.config.schema import LaneBudget
    from agent.events import Encoder
    from agent.pipeline import Alerts, Outbox
    from sync.seams import Log
    from sync.shipper import ShipperEvent
    from sync.values import Batch, Pending, Recalled, Stream

    OnPush = Callable[[int, bytes], Awaitable[None]]

log = logging.getLogger("tidegate.uplink")

_MOST_DOCUMENT_BYTES = 2 * 1024**2
"""More than a broker takes by default: what is too large is refused with a report, not passed over here."""

_KIND, _SOURCE = "uplink", "shipper"
_KEEP_S = 0.5
_FAREWELL_S = 1.0
"""With the time that a batch in flight may then take, within what a stage has to stop."""


@dataclass(frozen=True, slots=True)
class UplinkSettings:
    """The shipper and its sink."""

    kafka: KafkaSettings
    shipper: ShipperSettings
    restored_log: RestoredLog


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Where pushes come from."""

    kafka: KafkaSettings
    desired: DesiredSettings


class Uplink:
    """Builds shipper and fleet, and turns what the shipper reports into alerts."""

    def __init__(
        self,
        durable: Log,
        outbox: Outbox,
        alerts: Alerts,
        *,
        encoder: Encoder,
        own: Identity,
        site_id: str,
        dates: CertificateDates | None = None,
    ) -> None:
        self._log = durable
        self._outbox = outbox
        self._alerts = alerts
        self._encoder = encoder
        self._own = own
        self._conditions = Conditions(alerts, site_id)
        self._events = GatewayEvents(outbox, encoder)
        self._dates = dates
        self._flowing: set[Stream] = set()
        self._recalled: set[Stream] = set()
        self.traffic = Traffic()
        self._logins = Logins()
        self.meter = Meter(self._moved, linked=self._linked)
        self._answered = asyncio.Event()
        self.shipper: Shipper | None = None
        self.latency = {lane: Histogram() for lane in Lane}

    def plan(self, config: Config, on_push: OnPush) -> list[Planned]:
        """The shipper, what the cluster grants it, and the fleet where config names it."""
        kafka = kafka_settings(config, self._dates)
        shipping = UplinkSettings(kafka, shipper_settings(config), config.kafka.restored_log)
        planned = [Planned("shipper", shipping, self._shipper)]
        if kafka.idempotent:
            planned.append(Planned("guarantee", kafka, self._guarantee))
        if config.fleet is not None:
            desired = DesiredSettings(
                topic=config.fleet.topic,
                partition=config.fleet.partition,
                key=config.gateway.id.encode(),
                poll_interval_s=config.fleet.poll_interval_s,
                max_document_bytes=_MOST_DOCUMENT_BYTES,
            )
            planned.append(
                Planned("fleet", FleetSettings(kafka, desired), lambda settings: self._fleet(settings, on_push))
            )
        return planned

    def _shipper(self, settings: UplinkSettings) -> Part:
        sink = KafkaSink(
            settings.kafka,
            self.traffic,
            logins=self._logins,
            clock_trusted=lambda: self._log.clock_trusted,
        )
        shipper = Shipper(
            self._log,
            sink,
            settings.shipper,
            self._reported,
            self._delivered,
            meter=self.meter,
            before_first_send=lambda: self._own.before_first_send(sink, settings.restored_log),
        )
        self.shipper = shipper
        self._flowing.clear()
        self._recalled.clear()

        def up() -> str | None:
            waits_for = shipper.waits_for()
            return None if waits_for is None else waits_for or "connecting to Kafka"

        return Part(Unit("shipper", Stage.SHIP, lambda: self._ship(shipper), up=up, again=self._logins.try_now))

    def _guarantee(self, settings: KafkaSettings) -> Part:
        connect = partial(KafkaSink, settings, self.traffic, logins=self._logins)
        guarantee = Guarantee(self._log, self._outbox, self._encoder, connect, self._answered)
        return Part(Unit("guarantee", Stage.SHIP, guarantee.run))

    async def _ship(self, shipper: Shipper) -> None:
        """Ship until cancelled; what the log holds then may still go for a moment, if Kafka answers."""
        await self._log.changed(0)  # answers once the log is open
        self._end_what_waits_no_more()
        shipping = asyncio.ensure_future(shipper.run())
        metering = asyncio.ensure_future(self.meter.run(self._log))
        try:
            ended, _ = await asyncio.wait((shipping, metering), return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        except asyncio.CancelledError:
            until = time.monotonic() + _FAREWELL_S
            await self._outbox.written(_FAREWELL_S)
            while not shipping.done() and shipper.stats().circuit is CircuitState.CLOSED:
                stats = self._log.stats()
                if sum(stats.depth.values()) <= stats.waiting or time.monotonic() > until:
                    break
                await asyncio.sleep(0.02)
            shipping.cancel()
            await asyncio.wait((shipping,))
            with contextlib.suppress(TimeoutError, NotReady):  # then the count on disk is a little ahead
                await asyncio.wait_for(self.meter.keep(self._log), _KEEP_S)
            raise
        finally:
            metering.cancel()
            shipping.cancel()
            await asyncio.wait((shipping,))

    def _fleet(self, settings: FleetSettings, on_push: OnPush) -> Part:
        fleet = DesiredState(settings.kafka, settings.desired, self._log, self.traffic, self._logins)
        unit = Unit(
            "fleet", Stage.SHIP, lambda: fleet.run(on_push), up=lambda: fleet.stats.waits_for, again=fleet.poll_again
        )
        return Part(unit)

    def _moved(self) -> dict[str, int]:
        return {line: moved.both for line, moved in self.traffic.moved().items()}

    def _linked(self) -> bool:
        return self.shipper is not None and self.shipper.circuit.state is CircuitState.CLOSED

    def _delivered(self, batch: Batch) -> None:
        age_s = max(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - batch.taken_at_ns, 0) / 1e9
        stream = batch.claim.stream
        self.latency[stream.lane].observe(age_s, batch.count)
        if stream not in self._flowing and not self._goes_on(stream):
            # Also where an earlier run, or the shipper before this one, has left it raised on the farm's broker.
            self._flowing.add(stream)
            self._answered.set()
            for name in (stream.topic, _repeated(stream)):
                self._clear(f"kafka/{name}", f"Kafka accepts {stream.lane} records of {stream.topic} again")
            self._clear(_waiting(EVERYTHING), "Kafka accepts records again")

    def _reported(self, event: ShipperEvent) -> None:
        match event:
            case LinkLost(reason):
                log.warning("Kafka cannot be reached: %s; the log keeps everything", reason)
            case LinkBack(after_s):
                log.info("Kafka answers again after %.0f s", after_s)
            case Waiting(topic, reason, hint):
                self._answered.set()
                cure = f" ({hint})" if hint else ""
                what = f"Kafka does not accept {topic}" if topic else "nothing has been sent yet"
                self._raise(_waiting(topic), f"{what}: {reason}{cure}")
            case Recovered(topic):
                self._clear(_waiting(topic), f"{topic or 'Kafka'} accepts records again")
            case AnotherCluster(cluster, records):
                self._tell_of_cluster(cluster, records)
                self._own.tell_again()
            case TopicLost(recalled, created_again):
                self._tell_of_topic(recalled, created_again=created_again)
            case Repeated(stream, records, reason):
                # Ends with the next batch of the stream that is taken.
                self._flowing.discard(stream)
                text = (
                    f"{records} {stream.lane} records of {stream.topic} are sent again, marked "
                    f"possibly_repeated: {reason}"
                )
                log.warning("%s", text)
                self._raise(f"kafka/{_repeated(stream)}", text)
            case _:
                # A dead letter: the log's own figures raise the alert.
                log.warning("%s", event)

    def _tell_of_cluster(self, cluster: str, records: int) -> None:
        text = (
            f"another Kafka cluster ({cluster}) answers at kafka.brokers; {records} unacknowledged "
            "records go to it, marked possibly_repeated"
        )
        log.warning("%s", text)
        data = {"cluster": cluster, "count": records}
        self._events.post(SystemEventKind.CLUSTER_CHANGED, Severity.WARNING, source=_SOURCE, text=text, data=data)

    def _tell_of_topic(self, recalled: Recalled, *, created_again: bool) -> None:
        """D15: in the journal, as an event upstream and as an alert, which ends once all that goes again is there."""
        topic = recalled.topic
        happened = (
            "was deleted and created again" if created_again else "was deleted and created again, or lost records"
        )
        what = (
            f"{recalled.records} acknowledged records are sent again from the log's history, marked possibly_repeated"
        )
        if topic == TOPIC:
            what = "the run record is sent again"
            self._own.tell_again()
        text = f"Kafka topic {topic} {happened}: {what}"
        if recalled.not_held:
            text += f"; {recalled.not_held} older records are no longer in the log and may be lost"
        log.error("%s", text)
        data = {
            "topic": topic,
            "created_again": created_again,
            "count": recalled.records,
            "not_held": recalled.not_held,
            "lanes": {stream.lane.value: records for stream, records in recalled.again.items()},
        }
        self._events.post(SystemEventKind.TOPIC_LOST, Severity.ALARM, source=_SOURCE, text=text, data=data)
        for stream in recalled.again:
            self._flowing.discard(stream)
            self._recalled.add(stream)
            self._raise(f"kafka/{_repeated(stream)}", text)

    def _end_what_waits_no_more(self) -> None:
        """A4: an earlier run may have left an alert about records that the log has since lost or given up."""
        waiting = [pending for pending in self._log.streams() if pending.records or pending.unsettled]
        possible = {f"kafka/{name}" for pending in waiting for name in (pending.topic, _repeated(pending))}
        self._alerts.end_others((_KIND,), possible | {_waiting(EVERYTHING)}, "no record is pending for it any more")

    def _goes_on(self, stream: Stream) -> bool:
        """Whether some of what its topic lost is yet to go."""
        if stream not in self._recalled:
            return False
        if any((p.lane, p.topic) == (stream.lane, stream.topic) and p.records for p in self._log.streams()):
            return True
        self._recalled.discard(stream)
        return False

    def _raise(self, alert_id: str, text: str) -> None:
        self._conditions.say(alert_id, Severity.WARNING, kind=_KIND, source=_SOURCE, text=text)

    def _clear(self, alert_id: str, text: str) -> None:
        self._conditions.say(alert_id, None, kind=_KIND, source=_SOURCE, text=text)


def _waiting(topic: str) -> str:
    return f"kafka/{topic or 'start'}"


def _repeated(stream: Stream | Pending) -> str:
    return f"repeated_{stream.lane}_{stream.topic}"


def kafka_settings(config: Config, dates: CertificateDates | None = None) -> KafkaSettings:
    """The cluster as the spoke takes it."""
    kafka = config.kafka
    return KafkaSettings(
        brokers=tuple(kafka.brokers),
        client_id=f"tidegate-{config.gateway.id}",
        create_topics=kafka.create_topics,
        delivery=kafka.delivery,
        compression=kafka.compression,
        request_timeout_s=kafka.request_timeout_s,
        security=kafka.security,
        ca_file=kafka.ca_file,
        cert_file=kafka.cert_file,
        key_file=kafka.key_file,
        sasl_mechanism=kafka.sasl_mechanism,
        username=kafka.username,
        password_file=kafka.password_file,
        dates=dates,
    )


_RESERVE_PART = 20
"""One in so many bytes of a day's budget is left for alarms, unless config says how many."""


def shipper_settings(config: Config) -> ShipperSettings:
    """The shipper as the spoke takes it."""
    kafka, budget = config.kafka, config.kafka.budget
    reserve = budget.alert_reserve_bytes
    return ShipperSettings(
        backfill_after_s=kafka.backfill_after_s,
        backfill_share=kafka.backfill_share,
        backfill_spread_s=kafka.backfill_spread_s,
        alert_ready_s=kafka.alert_ready_s,
        budget=Budget(
            bytes_per_day=budget.bytes_per_day,
            alert_reserve_bytes=(budget.bytes_per_day or 0) // _RESERVE_PART if reserve is None else reserve,
            live=_limit(budget.live),
            backfill=_limit(budget.backfill),
            bulk=_limit(budget.bulk),
            thin_backfill=budget.thin_backfill,
        ),
    )


def _limit(lane: LaneBudget) -> LaneLimit:
    return LaneLimit(lane.bytes_per_day, lane.bytes_per_second)
