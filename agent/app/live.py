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
            lines.append(Line("kafka", None, f"cannot be asked: {fault.reason}", _hints(fault.hint)))
            break
        except ClusterChanged as fault:
            hint = "kafka.brokers lead to two clusters: name the brokers of one"
            lines.append(Line("kafka", None, f"cannot be asked: {fault}", _hints(hint)))
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
        return [Line("brokers", True, "every broker is reached at the address that the cluster announces")]
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
    lines = [Line("producers", True, "the brokers have idempotent producers")]
    lacking = await sink.cannot_look_up()
    if lacking:
        text = f"what became of a batch cannot be asked: the brokers do not answer {lacking}"
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
    if config.fleet is not None:
        topics[config.fleet.topic] = Role.READ
    return topics


def _topic(topic: TopicAssessment, *, exactly_once: bool) -> Line:
    why = tuple(finding.text for finding in topic.findings if not finding.holds)
    promise = {
        Role.RECORDS: "exactly once" if exactly_once else "at least once, as configured",
        Role.NEWEST: "its newest record of each key",
        Role.READ: "what the fleet sends",
    }[topic.role]
    if any(finding.name == EXISTS for finding in topic.findings):
        return Line(topic.topic, False, f"{topic.topic}: {why[0]}")
    if topic.falls_short:
        return Line(topic.topic, False, f"{topic.topic}: {promise} cannot be relied on", why)
    if any(finding.weight is Weight.GUARANTEE for finding in topic.unknown):
        return Line(topic.topic, None, f"{topic.topic}: {promise}, as far as it can be asked", why)
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
        return BrokerPart(name, (Line(name, None, f"cannot be asked: {fault.reason}", _hints(fault.hint)),))
    except DriverMisconfigured as fault:
        return BrokerPart(name, (Line(name, False, f"{fault.field}: {fault.reason}", _hints(fault.hint)),))
    told = all(item.payload.at or item.payload.counter for item in connection.subscriptions if item.qos)
    lines = [_queue(kept, rate_hz), _window(kept, config.log.log_stall_s, rate_hz), *again_lines(again, told=told)]
    return BrokerPart(name, tuple(lines))


def _queue(kept: Kept, rate_hz: float) -> Line:
    text = f"keeps {kept.kept:,} of {kept.offered:,} messages for a subscriber that is away"
    if kept.kept >= kept.offered:
        return Line("queue", True, f"{text}: {kept.offered / rate_hz:.0f} s at {rate_hz:g} a second, or more")
    if kept.kept == 0:
        return Line("queue", False, text, (f"does it keep sessions, and may this user write and read {TOPIC}#?",))
    why = (
        f"at {rate_hz:g} a second it is full after {kept.kept / rate_hz:.0f} s, and what comes then is lost",
        "raise the broker's bound (mosquitto: max_queued_messages and max_queued_bytes; deploy/mosquitto has them)",
    )
    return Line("queue", False, text, why)


def _window(kept: Kept, log_stall_s: float, rate_hz: float) -> Line:
    needed = math.ceil(log_stall_s * rate_hz)
    if kept.kept == 0:
        return Line("window", None, "nothing came that could stand unacknowledged")
    at_least = kept.window == kept.kept
    text = f"lets {'at least ' if at_least else ''}{kept.window:,} messages stand unacknowledged"
    ceiling = kept.ceiling_per_s
    if ceiling is not None:
        text += f", which lets {ceiling:,.0f} a second through beside the log's own time"
    if ceiling is not None and ceiling < rate_hz:
        why = f"{rate_hz:g} a second were asked for: the rest waits at the broker"
        return Line(
            "window", False, text, (why, "raise the broker's limit of messages in flight, or use another broker")
        )
    if kept.window >= needed:
        return Line("window", True, f"{text}; {needed:,} are needed")
    why = f"log_stall_s times {rate_hz:g} readings a second are {needed:,}"
    if at_least:
        return Line("window", None, text, (f"{why}; it was offered too few to tell",))
    waits_s = log_stall_s - kept.window / rate_hz
    cure = (
        "raise mqtt.receive_maximum, use MQTT 5, or raise the broker's own bound (mosquitto: max_inflight_messages)"
    )
    return Line("window", False, text, (f"{why}: while the disk hangs an alarm could wait {waits_s:.1f} s", cure))


def again_lines(found: Again, *, told: bool) -> list[Line]:
    """What came again after a lost connection. `told`: every payload says its own time or counter."""
    lines = [_again(found, told=told)]
    if found.retained:
        text = f"sets RETAIN on what it has queued ({found.retained} of {found.queued} messages)"
        why = "the gateway takes it as queued: in a session that was kept, before it subscribes again"
        lines.append(Line("retain", True, text, (why,)))
    return lines


def _again(found: Again, *, told: bool) -> Line:
    if not found.kept:
        text = "does not keep the session of a subscriber whose connection is lost"
        return Line("again", False, text, ("what comes meanwhile is lost: does it keep sessions for this user?",))
    if found.taken == 0:
        return Line("again", None, "no message came, so none could be sent again")
    if found.again < found.taken:
        text = f"sends only {found.again} of {found.taken} messages again that were not acknowledged"
        why = "what is under way when the link or the gateway fails can be lost: use another broker"
        return Line("again", False, text, (why,))
    return _repeats(found, told=told)


def _repeats(found: Again, *, told: bool) -> Line:
    marked, same = found.marked >= found.again, found.same_ids >= found.again
    text = (
        f"sends again what was not acknowledged, {'marked' if marked else 'without'} DUP,"
        f" under {'the same' if same else 'new'} ids, in {'order' if found.in_order else 'another order'}"
    )
    if found.marked_new:
        text += "; it also marks what it has never sent"
    if told:
        return Line("again", True, f"{text}: every payload has a time or counter, so each reading is stored once")
    cure = "set payload.at or payload.counter in every subscription, or use another broker"
    if not same:
        return Line("again", False, text, ("after a lost link readings are stored twice", cure))
    if not marked:
        why = "recognised only while the gateway runs, after eight different readings came again; else stored twice"
        return Line("again", False, text, (why, cure))
    return Line("again", True, f"{text}: each reading is stored once")


def _hints(hint: str) -> tuple[str, ...]:
    return (hint,) if hint else ()
