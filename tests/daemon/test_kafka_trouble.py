"""What the daemon says and does when the cluster answers and still takes nothing: a codec, an address, a login."""

from __future__ import annotations

import socket
import subprocess
import uuid
from contextlib import ExitStack, contextmanager

import pytest
from paho.mqtt import publish as once

from sync.batches import CODECS
from tests.support.consumer import read_topic_blocking
from tests.support.daemon import EXECUTABLE, Daemon, document
from tests.support.kafka import SCRAM_LINK, ApacheKafka
from tests.support.kafka_relay import KafkaRelay
from tests.support.listener import Listener
from tests.support.proxy import Proxy

pytestmark = pytest.mark.broker

OXYGEN = [{"id": "t1_oxygen", "type": "oxygen", "unit": "mg/L", "tank": "t1", "limits": {"low": 5}}]
WAITING = "tidegate_shipper_topic_waiting"
UNSUPPORTED_COMPRESSION = 76
LONG_S = 90.0


class Gateway:
    """A daemon with a name of its own beside one mosquitto: an oxygen sensor and its limit."""

    def __init__(self, mosquitto, bootstrap, *, prefix=(), kafka=None):
        self.id = f"gw-{uuid.uuid4().hex[:8]}"
        self.mosquitto = mosquitto
        self.bootstrap = bootstrap
        self.kafka = kafka or {}
        self.daemon = Daemon(self.document, prefix=prefix)

    def document(self, folder):
        sections = {"sensors": OXYGEN, "gateway": {"id": self.id}}
        whole = document(mqtt_port=self.mosquitto.port, kafka=self.bootstrap, folder=folder, **sections)
        return whole | {"kafka": whole["kafka"] | self.kafka}

    def publish(self, count):
        """Oxygen below its limit: the first one raises an alarm."""
        messages = [("farm/s/t1/oxygen", f"{2 + number / 1_000}", 1, False) for number in range(count)]
        once.multiple(messages, hostname=self.mosquitto.host, port=self.mosquitto.port)
        taken = "tidegate_readings_total"
        self.daemon.until(lambda: self.daemon.total(taken) >= count, "taking the readings")

    def status(self):
        command = [str(EXECUTABLE), "status", "--config", str(self.daemon.config_file)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout

    def uplink(self):
        return next((line for line in self.status().splitlines() if line.startswith("uplink")), "")

    def records(self, kafka, topic):
        """Its own records of a topic, each of which stands there once."""
        ours = f"/gateways/{self.id}/"
        found = [r for r in read_topic_blocking(kafka.bootstrap, topic) if r.header("ce_source").startswith(ours)]
        assert len({record.header("ce_id") for record in found}) == len(found)
        assert not any(record.header("possibly_repeated") for record in found)
        return found


@contextmanager
def gateway(mosquitto, bootstrap, **settings):
    """A gateway that runs, and what it says on the farm's own broker."""
    made = Gateway(mosquitto, bootstrap, **settings)
    with made.daemon, Listener(mosquitto.host, mosquitto.port) as listener:
        made.daemon.start()
        made.daemon.until_ready()
        yield made, made.daemon, listener


def test_a_cluster_that_refuses_the_codec_loses_nothing_and_another_codec_sends_it_all(kafka, mosquitto):
    with KafkaRelay(kafka) as relay, gateway(mosquitto, relay.bootstrap) as (made, daemon, listener):
        relay.refused = {CODECS["zstd"]: UNSUPPORTED_COMPRESSION}
        made.publish(20)
        daemon.until(lambda: daemon.total(WAITING, topic="sensor-data", setting="kafka.compression"), "naming it")
        said = listener.wait_for_alarm("kafka/farm-alerts", timeout_s=LONG_S)[1]["text"]
        assert "UnsupportedCompressionType (76)" in said
        assert "set kafka.compression" in said
        assert "Kafka does not accept sensor-data: UnsupportedCompressionType (76)" in daemon.output
        assert "kafka.compression: UnsupportedCompressionType (76)" in made.uplink()
        assert daemon.total("tidegate_log_dead_letters") == 0
        assert daemon.total("tidegate_dropped_total", what="record") == 0

        made.kafka = {"compression": "lz4"}
        daemon.configure(made.document(daemon.folder))
        daemon.reload()
        daemon.until_drained(LONG_S)
        assert made.uplink().split() == ["uplink", "connected"]
        assert daemon.total(WAITING) == 0
        listener.wait_for_alarm("kafka/farm-alerts", "cleared")
        assert CODECS["lz4"] in relay.codecs
        assert len(made.records(kafka, "sensor-data")) == 20
        alarms = [record for record in made.records(kafka, "farm-alerts") if b"t1_oxygen" in (record.value or b"")]
        assert len(alarms) == 1
        assert not made.records(kafka, "dead-letters")


def test_an_announced_broker_that_nobody_reaches_is_named_and_taken_as_soon_as_it_is_there(kafka, mosquitto):
    bootstrap, announced = f"{kafka.host}:{kafka.behind_link_port}", f"{kafka.host}:{kafka.link_port}"
    with gateway(mosquitto, bootstrap) as (made, daemon, listener):
        made.publish(5)
        daemon.until(lambda: daemon.total(WAITING, broker=announced), "naming the address", LONG_S)
        told = (
            f"{bootstrap} announces broker 1 as {announced}, which cannot be reached: {announced}: Connection refused"
        )
        alert = listener.wait_for_alarm("kafka/start", timeout_s=LONG_S)[1]
        for text in (alert["text"], made.uplink(), daemon.output):
            assert told in text
            assert "advertised.listeners" in text
        with Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port):
            daemon.until_drained(LONG_S)
            assert daemon.total(WAITING) == 0
            assert made.uplink().split() == ["uplink", "connected"]
            listener.wait_for_alarm("kafka/start", "cleared")
            assert len(made.records(kafka, "sensor-data")) == 5


def test_a_refused_login_is_not_called_connected_and_names_who_refuses_whom(mosquitto, tmp_path):
    password = tmp_path / "password"
    password.write_text("guess")
    with ExitStack() as stack:
        kafka = stack.enter_context(ApacheKafka(config=SCRAM_LINK, scram={"gw": "s3cret"}))
        stack.enter_context(Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port))
        where = f"{kafka.host}:{kafka.link_port}"
        login = {"security": "sasl_plaintext", "username": "gw", "password_file": str(password)}
        made, daemon, listener = stack.enter_context(gateway(mosquitto, where, kafka=login))
        daemon.until(lambda: daemon.total(WAITING, broker=where, setting="kafka.password_file"), "naming it")
        told = f"kafka.password_file: {where} refuses user 'gw'"
        assert told in made.uplink()
        assert "not connected" in made.uplink()
        assert told in daemon.output
        assert told in listener.wait_for_alarm("unit/shipper")[1]["text"]
        password.write_text("s3cret")  # found without a reload
        daemon.until(lambda: "refuses" not in made.uplink(), "let in")
        listener.wait_for_alarm("unit/shipper", "cleared", timeout_s=LONG_S)


@contextmanager
def swallowing(port):
    """An address, ::1, at which SYNs get no answer: its queue of connections is full, and nobody accepts."""
    with ExitStack() as stack:
        hole = stack.enter_context(socket.socket(socket.AF_INET6))
        hole.bind(("::1", port))
        hole.listen(0)
        for _ in range(6):
            one = stack.enter_context(socket.socket(socket.AF_INET6))
            one.setblocking(False)
            one.connect_ex(("::1", port))
        yield


def may_mount():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="a hosts file of its own needs root; tests/unit has the addresses")
def test_a_name_whose_first_address_is_dead_is_connected_to(mosquitto, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("::1 broker.test\n127.0.0.1 broker.test localhost\n")
    mount = f'mount --make-rprivate / && mount --bind {hosts} /etc/hosts && exec "$@"'
    with ApacheKafka() as kafka, swallowing(kafka.port):
        prefix = ["unshare", "-m", "sh", "-c", mount, "sh"]
        with gateway(mosquitto, f"broker.test:{kafka.port}", prefix=prefix) as (made, daemon, _):
            made.publish(3)
            daemon.until_drained(LONG_S)
            assert len(made.records(kafka, "sensor-data")) == 3
