"""A test session at a real broker shows what it keeps, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from drivers.mqtt.connection.client import SessionClient
from drivers.mqtt.connection.session import Session
from drivers.mqtt.probes import probe as module
from drivers.mqtt.probes.probe import Kept, probe
from drivers.mqtt.settings import MqttSettings
from drivers.values import Misconfigured, NotReady
from tests.support.granting import Granting
from tests.support.mosquitto import DEPLOYED, Mosquitto

pytestmark = pytest.mark.broker


def at(broker, **settings):
    return MqttSettings(
        **{"name": "barge", "client_id": "daemon", "site": "s", "host": broker.host, "port": broker.port} | settings
    )


def left_behind(broker):
    """Whether the broker, as it saves itself, knows anything of a test session."""
    broker.stop()
    found = broker.database.exists() and b"tidegate" in broker.database.read_bytes()
    broker.start()
    return found


@pytest.mark.parametrize(("version", "window"), [("5", 1_000), ("3.1.1", 20)])
async def test_a_broker_as_it_comes_keeps_a_thousand(mosquitto, version, window):
    assert await probe(at(mosquitto, version=version), 1_500) == Kept(1_500, 1_000, window)
    assert not left_behind(mosquitto)


async def test_the_window_is_no_larger_than_we_ask_for(mosquitto):
    assert await probe(at(mosquitto, receive_maximum=50), 300) == Kept(300, 300, 50)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_the_configuration_that_is_shipped_keeps_all_of_it(version):
    with Mosquitto(conf=DEPLOYED) as broker:
        assert await probe(at(broker, version=version), 3_000) == Kept(3_000, 3_000, 3_000)


async def test_a_broker_that_grants_little_is_filled_within_its_grant(mosquitto):
    async with Granting(mosquitto.port, 7, delay_s=0.001).listening() as relay:
        assert (await probe(replace(at(mosquitto), port=relay.port), 100)).kept == 100
        assert (relay.exceeded, relay.most) == (0, 7)


async def test_the_session_of_the_daemon_is_not_touched(mosquitto):
    arrived = []
    daemon = at(mosquitto)
    session = Session(daemon, SessionClient(daemon, set()), arrived.append)
    await session.open()
    await session.subscribe({"farm/#": 1})
    await session.leave()
    sender = Session(at(mosquitto, client_id="sensor"), SessionClient(at(mosquitto, client_id="sensor"), set()), id)
    await sender.open()
    for _ in range(7):
        await sender.publish("farm/a", b"1", qos=1, retain=False)
    await sender.leave()
    await probe(daemon, 100)
    session = Session(daemon, SessionClient(daemon, set()), arrived.append)
    assert await session.open(), "the broker has kept it"
    async with asyncio.timeout(30):
        while sum(len(received.messages) for received in arrived) < 7:
            await asyncio.sleep(0.05)
    await session.leave()


async def test_nothing_stays_of_a_probe_that_fails_half_way(mosquitto, monkeypatch):
    async def fails(settings, topic, count):
        raise NotReady("the broker is busy")

    monkeypatch.setattr(module, "_fill", fails)
    with pytest.raises(NotReady, match="busy"):
        await probe(at(mosquitto, version="3.1.1"), 10)
    assert not left_behind(mosquitto)


async def test_one_that_takes_too_long_ends(mosquitto, monkeypatch):
    monkeypatch.setattr(module, "_BOUND_S", 0.5)
    mosquitto.pause()
    try:
        with pytest.raises(NotReady):
            await probe(at(mosquitto), 10)
    finally:
        mosquitto.resume()


async def test_a_user_whom_the_broker_does_not_know_is_misconfigured(tmp_path):
    with Mosquitto(users={"gateway": "s3cret"}) as broker:
        wrong = tmp_path / "password"
        wrong.write_text("guess")
        with pytest.raises(Misconfigured):
            await probe(at(broker, username="gateway", password_file=wrong), 10)


@pytest.fixture
def restricted(tmp_path):
    rights = tmp_path / "acl"
    rights.write_text("topic readwrite farm/#\n")
    rights.chmod(0o600)
    with Mosquitto(lines=[f"acl_file {rights}"]) as broker:
        yield broker


async def test_a_user_who_may_not_use_the_topic_is_told_which(restricted):
    with pytest.raises(NotReady) as refusal:
        await probe(at(restricted), 10)
    assert "tidegate/check/" in refusal.value.hint


async def test_with_mqtt_3_nobody_says_so_and_nothing_is_kept(restricted):
    assert await probe(at(restricted, version="3.1.1"), 10) == Kept(10, 0, 0)
