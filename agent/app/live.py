"""What the brokers really grant: asked of them by `tidegate check --live`, beside a daemon that may run."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.app.certificates import CertificateDates
from agent.app.guarantee import COMPACTED
from agent.app.hub import clock_synchronised, time_floor
from agent.app.sources import mqtt_settings
from agent.app.uplink import kafka_settings
from agent.events import TOPICS
from drivers.mqtt.probes.probe import TOPIC, probe
from drivers.mqtt.probes.redelivery import redelivery
from drivers.values import Misconfigured as DriverMisconfigured
from drivers.values import NotReady as DriverNotReady
from sync.kafka import EXISTS, KafkaSink, Role, Weight
from sync.log.clock import Clock
from sync.values import ClusterChanged, Misconfigured, NotReady, Unreachable

if TYPE_CHECKING:
    from agent.config import Config
    from agent.config.schema import Mqtt
    from drivers.mqtt.probes.probe import Kept
    from drivers.mqtt.probes.redelivery import Again
    from sync.kafka import TopicAssessment

_LEAST_FILL = 5_000
_MOST_ASKED = 6
"""A coordinator that has just started loads for a moment; a broker without idempotent producers is asked thrice."""
_RIGHTS = (
    "the user needs WRITE, DESCRIBE, READ and DESCRIBE_CONFIGS on each topic it writes, READ and DESCRIBE on the "
    "fleet's, and DESCRIBE_CONFIGS on the cluster"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at: well, not well, or not known (None); `why` in whole sentences."""

    subject: str
    well: bool | None
    text: str
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BrokerPart:
    """What one broker or cluster answered."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """All of it."""

    parts: tuple[BrokerPart, ...]

    @property
    def well(self) -> bool:
        """Whether everything was asked and nothing falls short."""
        return all(line.well for part in self.parts for line in part.lines)


def ask(config: Config, *, rate_hz: float, fill: int | None) -> Live:
    """Ask Kafka and every MQTT broker of a configuration; `rate_hz` are the readings a second of a connection."""
    return asyncio.run(_ask(config, rate_hz, fill))


async def _ask(config: Config, rate_hz: float, fill: int | None) -> Live:
    kafka = await _kafka(config)
    return Live((kafka, *[await _mqtt(config, connection, rate_hz, fill) for connection in config.mqtt]))


async def _kafka(config: Config) -> BrokerPart:
    """Each question on connections of its own: a broker that closes one when asked still answers the others."""
    lines: list[Line] = []
    for ask_one in (_brokers, _producers, _assessed):
        sink = KafkaSink(kafka_settings(config, _dates(config)))
        try:
            lines += await ask_one(config, sink)
        except NotReady as fault:
            lines.append(Line("kafka", None, f"cannot check: {fault.reason}", _hints(fault.hint)))
            break
        except ClusterChanged as fault:
            hint = "kafka.brokers lists brokers of two clusters: list those of one only"
            lines.append(Line("kafka", None, f"cannot check: {fault}", _hints(hint)))
            break
        except Misconfigured as fault:
            text = f"{fault.field}: {fault.reason}" if fault.field else fault.reason
            lines.append(Line("kafka", False, text, _hints(fault.hint)))
            break
        finally:
            await sink.close()
    return BrokerPart("kafka", tuple(lines))


async def _brokers(_config: Config, sink: KafkaSink) -> list[Line]:
    """Whether every broker can be reached at the address that the cluster announces for it."""
    away = await sink.unreachable_brokers()
    if not away:
        return [Line("brokers", True, "every broker is reachable at its advertised address")]
    return [Line(f"broker {one.broker}", False, one.reason, _hints(one.hint)) for one in away]


async def _producers(_config: Config, sink: KafkaSink) -> list[Line]:
    """Whether there are idempotent producers, without which nothing is sent with `exactly_once`."""
    if not sink.idempotent:
        return []
    for attempt in range(_MOST_ASKED):
        try:
            await sink.new_producer()
        except Misconfigured as fault:
            return [Line("producers", False, f"{fault.field}: {fault.reason}", _hints(fault.hint))]
        except Unreachable:
            raise
        except NotReady as fault:
            if attempt + 1 == _MOST_ASKED:
                return [Line("producers", None, f"idempotent producers: {fault.reason}", _hints(fault.hint))]
            await asyncio.sleep(0.5)
        else:
            break
    lines = [Line("producers", True, "the brokers support idempotent producers")]
    lacking = await sink.cannot_look_up()
    if lacking:
        text = f"the outcome of a batch cannot be looked up: the brokers do not support {lacking}"
        why = (
            "without an answer it is sent again under its own id for half of the time that brokers remember ids, and "
            "later marked possibly_repeated"
        )
        lines.append(Line("look-ups", None, text, (why,)))
    return lines


async def _assessed(config: Config, sink: KafkaSink) -> list[Line]:
    """What each topic grants."""
    assessed = await sink.assess(_topics(config))
    lines = [_topic(topic, exactly_once=sink.idempotent) for topic in assessed]
    if any(finding.right for topic in assessed for finding in topic.wanting(Weight.ADVICE)):
        lines[-1] = Line(lines[-1].subject, lines[-1].well, lines[-1].text, (*lines[-1].why, _RIGHTS))
    return lines


def _dates(config: Config) -> CertificateDates:
    """As the daemon judges them; whether this command's user may read its file or not."""
    clock = Clock(config.log.clock_file)
    return CertificateDates(lambda: clock_synchronised(clock), time_floor(config))


def _topics(config: Config) -> dict[str, Role]:
    """What this gateway writes and reads."""
    topics = dict.fromkeys(TOPICS, Role.RECORDS) | dict.fromkeys(COMPACTED, Role.NEWEST)
    if not config.cameras:
        del topics["camera-events"]
    if not config.derived:
        del topics["derived-data"]
    if config.farm is None:
        del topics["farm-figures"]
    if config.metrics.upstream_every_s == 0:
        del topics["gateway-metrics"]
    if config.fleet is not None:
        topics[config.fleet.topic] = Role.READ
    return topics


def _topic(topic: TopicAssessment, *, exactly_once: bool) -> Line:
    why = tuple(finding.text for finding in topic.findings if not finding.holds)
    promise = {
        Role.RECORDS: "exactly once" if exactly_once else "at least once, as configured",
        Role.NEWEST: "newest record of each key kept",
        Role.READ: "pushes can be read",
    }[topic.role]
    if any(finding.name == EXISTS for finding in topic.findings):
        return Line(topic.topic, False, f"{topic.topic}: {why[0]}")
    if topic.falls_short:
        return Line(topic.topic, False, f"{topic.topic}: not guaranteed: {promise}", why)
    if any(finding.weight is Weight.GUARANTEE for finding in topic.unknown):
        return Line(topic.topic, None, f"{topic.topic}: {promise}, as far as can be checked", why)
    return Line(topic.topic, True, f"{topic.topic}: {promise}", why)


async def _mqtt(config: Config, connection: Mqtt, rate_hz: float, fill: int | None) -> BrokerPart:
    name = f"mqtt:{connection.name}"
    window_needed = math.ceil(config.log.log_stall_s * rate_hz)
    count = fill or max(_LEAST_FILL, 2 * window_needed)
    try:
        settings = mqtt_settings(connection, config, _dates(config))
        kept = await probe(settings, count)
        again = await redelivery(settings)
    except DriverNotReady as fault:
        return BrokerPart(name, (Line(name, None, f"cannot check: {fault.reason}", _hints(fault.hint)),))
    except DriverMisconfigured as fault:
        return BrokerPart(name, (Line(name, False, f"{fault.field}: {fault.reason}", _hints(fault.hint)),))
    told = all(item.payload.at or item.payload.counter for item in connection.subscriptions if item.qos)
    lines = [_queue(kept, rate_hz), _window(kept, config.log.log_stall_s, rate_hz), *again_lines(again, told=told)]
    return BrokerPart(name, tuple(lines))


def _queue(kept: Kept, rate_hz: float) -> Line:
    text = f"keeps {kept.kept:,} of {kept.offered:,} messages for a disconnected subscriber"
    if kept.kept >= kept.offered:
        return Line("queue", True, f"{text}: {kept.offered / rate_hz:.0f} s at {rate_hz:g} a second, or more")
    if kept.kept == 0:
        return Line(
            "queue",
            False,
            text,
            (f"check that the broker keeps sessions and that this user may write and read {TOPIC}#",),
        )
    why = (
        (
            f"at {rate_hz:g} messages a second the queue is full after {kept.kept / rate_hz:.0f} s; "
            "later messages are lost"
        ),
        (
            "raise the broker's queue limit (mosquitto: max_queued_messages and max_queued_bytes, as "
            "in deploy/mosquitto)"
        ),
    )
    return Line("queue", False, text, why)


def _window(kept: Kept, log_stall_s: float, rate_hz: float) -> Line:
    needed = math.ceil(log_stall_s * rate_hz)
    if kept.kept == 0:
        return Line("window", None, "no message arrived, so the window could not be measured")
    at_least = kept.window == kept.kept
    text = f"allows {'at least ' if at_least else ''}{kept.window:,} unacknowledged messages"
    ceiling = kept.ceiling_per_s
    if ceiling is not None:
        text += f": at most {ceiling:,.0f} messages a second"
    if ceiling is not None and ceiling < rate_hz:
        why = f"the rate is {rate_hz:g} a second: the rest queues at the broker"
        return Line(
            "window", False, text, (why, "raise the broker's limit of messages in flight, or use another broker")
        )
    if kept.window >= needed:
        return Line("window", True, f"{text}; {needed:,} needed")
    why = f"log_stall_s times {rate_hz:g} readings a second is {needed:,}"
    if at_least:
        return Line("window", None, text, (f"{why}; raise --fill to test that many",))
    waits_s = log_stall_s - kept.window / rate_hz
    cure = (
        "raise mqtt.receive_maximum, use MQTT 5, or raise the broker's own limit (mosquitto: max_inflight_messages)"
    )
    return Line(
        "window", False, text, (f"{why}: if the disk hangs, an alarm can be delayed by {waits_s:.1f} s", cure)
    )


def again_lines(found: Again, *, told: bool) -> list[Line]:
    """What came again after a lost connection. `told`: every payload says its own time or counter."""
    lines = [_again(found, told=told)]
    if found.retained:
        text = f"sets RETAIN on queued messages ({found.retained} of {found.queued} messages)"
        why = "no harm: the gateway treats them as queued if they arrive in a kept session before it subscribes again"
        lines.append(Line("retain", True, text, (why,)))
    return lines


def _again(found: Again, *, told: bool) -> Line:
    if not found.kept:
        text = "does not keep the session of a subscriber that loses its connection"
        return Line(
            "again",
            False,
            text,
            ("messages published meanwhile are lost: let the broker keep sessions for this user",),
        )
    if found.taken == 0:
        return Line("again", None, "no message arrived, so redelivery could not be tested")
    if found.again < found.taken:
        text = f"redelivers only {found.again} of {found.taken} unacknowledged messages"
        why = "messages in flight when the link or the gateway fails can be lost: use another broker"
        return Line("again", False, text, (why,))
    return _repeats(found, told=told)


def _repeats(found: Again, *, told: bool) -> Line:
    marked, same = found.marked >= found.again, found.same_ids >= found.again
    text = (
        f"redelivers unacknowledged messages {'with' if marked else 'without'} DUP,"
        f" under {'the same' if same else 'new'} ids, in {'order' if found.in_order else 'another order'}"
    )
    if found.marked_new:
        text += "; it also sets DUP on messages that it never sent"
    if told:
        return Line("again", True, f"{text}: every payload has a time or counter, so each reading is stored once")
    cure = "set payload.at or payload.counter in every subscription, or use another broker"
    if not same:
        return Line("again", False, text, ("after a lost connection readings are stored twice", cure))
    if not marked:
        why = (
            "repeats are recognised only while the gateway runs, from the ninth repeated reading on; "
            "before that, readings are stored twice"
        )
        return Line("again", False, text, (why, cure))
    return Line("again", True, f"{text}: each reading is stored once")


def _hints(hint: str) -> tuple[str, ...]:
    return (hint,) if hint else ()
