"""Connections: brokers that are away, refuse, fall silent or give the session to another; TLS; passwords."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import uvloop
from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from drivers.mqtt import MqttDriver, TlsSettings
from drivers.values import Misconfigured, NotReady
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt import PATIENCE_S, Hub, cut, keep_running, publish, running, scripted, settings_for, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.broker


async def test_a_broker_that_is_not_there_is_waited_for(tmp_path):
    broker = Mosquitto(tmp_path)
    with broker:
        broker.stop()
        hub = Hub()
        driver = MqttDriver(settings_for(broker))
        with pytest.raises(NotReady) as absent:
            await driver.run(hub.emit)
        assert str(broker.port) in absent.value.reason
        assert absent.value.hint
        task = asyncio.create_task(keep_running(driver, hub))
        with pytest.raises(NotReady):
            await driver.publish("x", b"")
        await asyncio.to_thread(broker.start)
        await until(lambda: driver.connected, "connected")
        await publish(broker, 5)
        await until(lambda: hub.values == [5], "received")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_broker_that_falls_silent_is_noticed_by_keep_alive(broker, version):
    driver = MqttDriver(settings_for(broker, version, keepalive_s=1))
    task = asyncio.create_task(driver.run(Hub().emit))
    await until(lambda: driver.connected, "connected")
    broker.pause()
    with pytest.raises(NotReady):
        await asyncio.wait_for(task, PATIENCE_S)
    assert not driver.connected


async def test_a_quiet_connection_is_kept_alive(broker, client):
    driver = MqttDriver(settings_for(broker, keepalive_s=1), client=client)
    async with running(driver, Hub()):
        await asyncio.sleep(3.5)
        assert (driver.stats.connects, driver.stats.disconnects) == (1, 0)


async def test_tls_with_a_certificate_of_our_own(tmp_path, version):
    with Mosquitto(tmp_path, tls=True, lines=["per_listener_settings false"]) as broker:
        pair = broker.certificates
        tls = TlsSettings(pair.ca_file, pair.client_cert, pair.client_key)
        hub = Hub()
        driver = MqttDriver(settings_for(broker, version, tls=tls))
        async with running(driver, hub):
            for number in range(3_000):
                await driver.publish("farm/s/t1/n", str(number).encode(), qos=0)
            await until(lambda: len(hub.seen) == 3_000, "all through TLS")
        assert hub.values == [float(number) for number in range(3_000)]


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ({"tls": TlsSettings()}, "tls.ca_file"),
        ({"tls": TlsSettings("/nowhere.pem")}, "tls.ca_file"),
        ({"tls": TlsSettings(cert_file="/nowhere.pem", insecure_skip_verify=True)}, "tls.cert_file"),
        ({"tls": TlsSettings(insecure_skip_verify=True)}, None),
    ],
)
async def test_tls_that_cannot_work_is_misconfigured(tmp_path, broken, field):
    with Mosquitto(tmp_path, tls=True) as broker:
        driver = MqttDriver(settings_for(broker, **broken))
        if field is None:
            async with running(driver, Hub()):
                return
        with pytest.raises(Misconfigured) as refused:
            await driver.run(Hub().emit)
        assert refused.value.field == field
        assert refused.value.hint


async def test_tls_to_a_port_without_it_and_the_other_way_round_say_so(tmp_path, broker):
    with pytest.raises(NotReady) as refused:
        await MqttDriver(settings_for(broker, tls=TlsSettings())).run(Hub().emit)
    assert "TLS" in refused.value.hint
    with Mosquitto(tmp_path, tls=True) as closed, pytest.raises(NotReady) as unanswered:
        await MqttDriver(settings_for(closed)).run(Hub().emit)
    assert "TLS" in unanswered.value.hint


async def test_a_password_from_its_file_lets_in_and_a_wrong_one_is_misconfigured(tmp_path, version):
    with Mosquitto(tmp_path / "broker", users={"tidegate": "right"}) as broker:
        secret = tmp_path / "password"
        secret.write_text("right\n")
        named = settings_for(broker, version, username="tidegate", password_file=secret)
        async with running(MqttDriver(named), Hub()):
            pass
        secret.write_text("wrong-one\n")
        for settings in (named, replace(named, username=None, password_file=None)):
            with pytest.raises(Misconfigured) as refused:
                await MqttDriver(settings).run(Hub().emit)
            assert refused.value.field in ("password_file", "username")
            assert "wrong-one" not in f"{refused.value.reason} {refused.value.hint} {settings}"
        secret.unlink()
        with pytest.raises(Misconfigured) as refused:
            await MqttDriver(named).run(Hub().emit)
        assert refused.value.field == "password_file"


@contextlib.contextmanager
def rival(broker: Mosquitto, version: str) -> Iterator[None]:
    """Another client under our client id, for as long as the broker lets it."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        "gateway-1",
        protocol=MQTTv5 if version == "5" else MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()


async def test_a_session_taken_over_is_misconfigured_where_the_broker_says_so(broker):
    connack, suback, taken_over = b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x01", b"\xe0\x02\x8e\x00"
    async with scripted((b"gateway-1", connack), (b"farm/+/+/+", suback + taken_over)) as port:
        with pytest.raises(Misconfigured) as taken:
            await asyncio.wait_for(MqttDriver(replace(settings_for(broker), port=port)).run(Hub().emit), PATIENCE_S)
    assert taken.value.field == "client_id"
    assert "gateway-1" in taken.value.reason


@pytest.mark.parametrize(
    ("version", "connack", "field"),
    [
        ("5", b"\x20\x02\x00\x01", "version"),  # a broker of MQTT 3.1.1 only, in its own words
        ("5", b"\x20\x03\x00\x84\x00", "version"),
        ("5", b"\x20\x03\x00\x85\x00", "client_id"),
        ("5", b"\x20\x03\x00\x87\x00", "username"),
        ("5", b"\x20\x03\x00\x88\x00", None),
        ("5", b"\x20\x03\x00\x97\x00", None),
        ("5", b"\x20\x03\x00\x02\x00", None),
        ("5", b"HTTP/1.1 400 Bad Request\r\n\r\n", None),
        ("3.1.1", b"\x20\x02\x00\x02", "client_id"),
        ("3.1.1", b"\x20\x02\x00\x03", None),
        ("3.1.1", b"\x20\x02\x00\x04", "password_file"),
        ("3.1.1", b"\x20\x02\x00\x05", "username"),
    ],
)
async def test_a_refusal_names_the_field_that_helps_or_waits(broker, version, connack, field):
    async with scripted((b"gateway-1", connack)) as port:
        driver = MqttDriver(replace(settings_for(broker, version), port=port))
        with pytest.raises(NotReady if field is None else Misconfigured) as refused:
            await asyncio.wait_for(driver.run(Hub().emit), PATIENCE_S)
    assert refused.value.reason
    assert getattr(refused.value, "field", None) == field


async def test_a_take_over_loop_is_misconfigured_after_some_rounds(broker, version):
    driver = MqttDriver(settings_for(broker, version))
    ends: list[Exception] = []
    while len(ends) < 20 and not (ends and isinstance(ends[-1], Misconfigured)):
        task = asyncio.create_task(driver.run(Hub().emit))
        await until(lambda: driver.connected, "connected")
        with rival(broker, version), pytest.raises((NotReady, Misconfigured)) as end:
            await asyncio.wait_for(task, PATIENCE_S)
        ends.append(end.value)
    assert len(ends) == 5
    assert ends[-1].field == "client_id"


async def test_a_session_that_the_broker_lost_is_noticed(tmp_path):
    with Mosquitto(tmp_path, lines=["autosave_interval 1800"]) as broker:
        hub = Hub()
        driver = MqttDriver(settings_for(broker))
        async with running(driver, hub):
            broker.kill()
            broker.database.unlink(missing_ok=True)
            await asyncio.to_thread(broker.start)
            await until(lambda: driver.stats.sessions_lost == 1, "noticed")
            await publish(broker, 3)
            await until(lambda: hub.values == [3], "subscribed anew")


def test_it_runs_on_uvloop_too(broker, version, client):
    async def story() -> list[float]:
        hub = Hub()
        driver = MqttDriver(settings_for(broker, version), client=client)
        async with running(driver, hub):
            await publish(broker, 1)
            await until(lambda: hub.values == [1], "received")
            await cut(driver)
            await until(lambda: driver.connected, "connected again")
            await driver.publish("farm/s/t1/n", b"2")
            await until(lambda: len(hub.values) == 2, "its own")
        return hub.values

    assert uvloop.run(story()) == [1, 2]
