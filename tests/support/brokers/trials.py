"""One broker's row: `tidegate check --live`, then each disturbance with a broker and a gateway of its own."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.app.guarantee import COMPACTED
from agent.events import TOPICS as KAFKA_TOPICS
from tests.support.brokers.disturbance import (
    Disturb,
    Disturbance,
    Gateway,
    Outcome,
    Sensors,
    away,
    counted,
    cuts,
    publish,
)
from tests.support.brokers.packages import ROOT
from tests.support.daemon import Daemon, DaemonError
from tests.support.mosquitto import DEPLOYED, Mosquitto
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from tests.support.broker import Broker
    from tests.support.brokers.disturbance import Size
    from tests.support.brokers.kinds import KafkaKind, MqttKind

_COMPACTED = {"cleanup.policy": "compact"}
_STAMPED = {"message.timestamp.type": "LogAppendTime"}
_BACK_S = 1.0
"""Until a gateway that was away is back, with what its broker kept: part of the time for which messages queue."""
_RECONNECTS_S = 5.0
"""The longest wait of a gateway before it connects again after a cut."""


@dataclass(slots=True)
class Row:
    """What one broker showed: the lines of the check, and an outcome for each disturbance."""

    title: str
    version: str
    check: list[dict[str, Any]] = field(default_factory=list)
    outcomes: dict[Disturbance, Outcome] = field(default_factory=dict)
    failed: dict[Disturbance, str] = field(default_factory=dict)


def tree() -> str:
    """The commit of this tree, with a + if the gateway's own files differ from it."""

    def ask(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout.strip()

    commit = ask("rev-parse", "--short=7", "HEAD") or "unknown"
    return commit + ("+" if ask("status", "--porcelain", "--", "agent", "drivers", "models", "sync") else "")


def mqtt_row(kind: MqttKind, size: Size, kafka: str) -> Row:
    """The daemon killed, stopped and cut off, beside one MQTT broker.

    Raises:
        BrokerError: the broker cannot be had, or does not start.
    """
    row = Row(kind.title, kind.version)
    for how in Disturbance:
        with ExitStack() as stack:
            broker = stack.enter_context(kind.make())
            link = stack.enter_context(Proxy(broker.host, broker.port))
            gateway = Gateway(mqtt=_connection(kind, broker, link.port, stack), kafka=kafka)
            daemon = stack.enter_context(gateway.daemon)
            if not row.check:
                row.check = [part for part in gateway.check(size.per_second) if part["name"] != "kafka"]
            rated = _rated(kind, size)
            try:
                disturb = _to_gateway(how, rated, _away_s(kind, rated), daemon, link)
                row.outcomes[how] = _beside(broker, kind, rated, gateway, disturb, kafka)
            except DaemonError as error:
                row.failed[how] = str(error).splitlines()[0]
            if daemon.running:
                daemon.stop()
    return row


def _connection(kind: MqttKind, broker: Broker, port: int, stack: ExitStack) -> dict[str, Any]:
    subscription = {"topic": "farm/{site}/{tank}/{metric}", "unit": "1"}
    if kind.counter:
        subscription["payload"] = {"format": "json", "value": "value", "counter": "n"}
    found = {"port": port, "version": kind.version, "subscriptions": [subscription]}
    login = getattr(broker, "login", None)
    if login is not None:
        password = broker.folder / "password"
        password.write_text(login[1])
        password.chmod(0o600)
        found |= {"username": login[0], "password_file": str(password)}
    return found


def _away_s(kind: MqttKind, size: Size) -> float:
    """How long the daemon stays away: less where it is to be back before this broker's queue is half full."""
    if kind.kept is None:
        return size.away_s
    return min(size.away_s, kind.kept / size.per_second / 2 - _BACK_S)


def _rated(kind: MqttKind, size: Size) -> Size:
    """As many readings a second as fill half of this broker's queue until a gateway that was cut off is back."""
    if kind.kept is None:
        return size
    return replace(size, per_second=min(size.per_second, kind.kept / 2 / _RECONNECTS_S))


def _to_gateway(how: Disturbance, size: Size, away_s: float, daemon: Daemon, link: Proxy) -> Disturb:
    if how is Disturbance.CUT:
        return cuts(link.cut, size.cuts)
    return away(daemon.kill if how is Disturbance.KILLED else daemon.stop, daemon.start, away_s)


def _beside(  # noqa: PLR0917 - what a run is made of
    broker: Broker, kind: MqttKind, size: Size, gateway: Gateway, disturb: Disturb, kafka: str
) -> Outcome:
    port = getattr(broker, "sensor_port", broker.port)
    gateway.started()
    with Sensors(broker.host, port, "sensors", login=getattr(broker, "login", None)) as sensors:
        sensors.counting = kind.counter
        published = publish(sensors, size, disturb)
    return counted(kafka, gateway, published, gateway.stand_still(size, published.ended))


def kafka_row(kind: KafkaKind, size: Size) -> Row:
    """Kafka killed, stopped and cut off, with mosquitto on the configuration of deploy/ at the other end.

    Raises:
        BrokerError: the broker cannot be had, or does not start.
    """
    row = Row(kind.title, "")
    for how in Disturbance:
        with ExitStack() as stack:
            mosquitto = stack.enter_context(Mosquitto(conf=DEPLOYED))
            kafka: Any = stack.enter_context(kind.make())
            link = stack.enter_context(Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port))
            for topic in KAFKA_TOPICS:
                kafka.create_topic(topic, 1, _COMPACTED if topic in COMPACTED else _STAMPED)
            address = f"{kafka.host}:{kafka.link_port}"
            gateway = Gateway(mqtt={"port": mosquitto.port}, kafka=address, uplink=dict(kind.section))
            daemon = stack.enter_context(gateway.daemon)
            if not row.check:
                row.check = [part for part in gateway.check(size.per_second) if part["name"] in ("kafka", "check")]
            disturb = {
                Disturbance.KILLED: away(kafka.kill, kafka.start, size.away_s),
                Disturbance.STOPPED: away(kafka.stop, kafka.start, size.away_s),
                Disturbance.CUT: cuts(link.cut, size.cuts),
            }[how]
            gateway.started()
            try:
                with Sensors(mosquitto.host, mosquitto.port, "sensors") as sensors:
                    published = publish(sensors, size, disturb)
                last = gateway.stand_still(replace(size, quiet_s=2 * size.quiet_s), published.ended)
                row.outcomes[how] = counted(kafka.bootstrap, gateway, published, last)
            except DaemonError as error:
                row.failed[how] = str(error).splitlines()[0]
            if daemon.running:
                daemon.stop()
    return row
