"""Connections: brokers that are away, refuse, fall silent or give the session to another; TLS; passwords."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import uvloop
from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from drivers.mqtt import MqttDriver, TlsSettings
from drivers.mqtt.connection import lifetimes, sockets
from drivers.values import Misconfigured, NotReady
from tests.support.certificates import issue
from tests.support.granting import Granting
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


async def test_tls_to_a_port_without_it_and_the_other_way_round_say_so(tmp_path, broker, version):
    with pytest.raises(NotReady) as refused:
        await MqttDriver(settings_for(broker, version, tls=TlsSettings())).run(Hub().emit)
    assert "during the TLS handshake" in refused.value.reason
    assert "remove tls" in refused.value.hint
    with Mosquitto(tmp_path, tls=True) as closed, pytest.raises(Misconfigured) as unanswered:
        await MqttDriver(settings_for(closed, version)).run(Hub().emit)
    assert unanswered.value.field == "tls"
    assert "speaks TLS" in unanswered.value.reason
    alert = b"\x15\x03\x01\x00\x02\x02\x46"  # some servers answer plain text with an alert of TLS, in the clear
    async with scripted((b"\x00", alert)) as port:
        with pytest.raises(Misconfigured) as unanswered:
            await MqttDriver(replace(settings_for(broker, version), port=port)).run(Hub().emit)
    assert unanswered.value.field == "tls"


async def test_a_certificate_for_another_name_is_named(tmp_path):
    pair = issue(tmp_path / "named", names="DNS:barge.local,DNS:feeder.local")
    with Mosquitto(tmp_path / "broker", tls=pair) as broker:
        for verified in ({"host": "127.0.0.1"}, {"host": "localhost"}):
            settings = replace(settings_for(broker, tls=TlsSettings(pair.ca_file)), **verified)
            with pytest.raises(Misconfigured) as refused:
                await MqttDriver(settings).run(Hub().emit)
            assert refused.value.field == "host"
            assert f"not for {verified['host']} but for barge.local, feeder.local" in refused.value.reason


@pytest.mark.parametrize("tls_version", ["tlsv1.2", "tlsv1.3"])
async def test_a_broker_that_wants_a_client_certificate_says_which_file_is_wrong(tmp_path, tls_version):
    lines = ["require_certificate true", f"tls_version {tls_version}"]
    other = issue(tmp_path / "other")
    with Mosquitto(tmp_path / "broker", tls=True, late=lines) as broker:
        pair = broker.certificates
        async with running(
            MqttDriver(settings_for(broker, tls=TlsSettings(pair.ca_file, pair.client_cert, pair.client_key))), Hub()
        ):
            pass
        for tls, words in (
            (TlsSettings(pair.ca_file), "wants a client certificate, and none is configured"),
            (TlsSettings(pair.ca_file, other.client_cert, other.client_key), "does not know the authority"),
        ):
            with pytest.raises(Misconfigured) as refused:
                await MqttDriver(settings_for(broker, tls=tls)).run(Hub().emit)
            assert refused.value.field == "tls.cert_file"
            assert words in refused.value.reason


async def test_a_dead_address_first_costs_a_moment_only(broker, monkeypatch):
    """An address that swallows what is sent to it, as IPv6 without a way there does, before one that answers."""
    with contextlib.ExitStack() as held:
        hole = held.enter_context(socket.socket())
        hole.bind(("127.0.0.2", broker.port))
        hole.listen(0)
        for _ in range(4):
            one = held.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", broker.port))

        async def both(host, port, **_):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (at, port)) for at in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
        async with running(MqttDriver(replace(settings_for(broker), host="broker.test")), Hub()):
            pass
        monkeypatch.setattr(sockets, "_EACH_S", 0.2)
        broker.stop()
        with pytest.raises(NotReady) as absent:
            await MqttDriver(replace(settings_for(broker), host="broker.test")).run(Hub().emit)
    assert "127.0.0.2: does not answer" in absent.value.reason
    assert "127.0.0.1: connection refused" in absent.value.reason


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
        secret.write_bytes(b"\xef\xbb\xbfright\r\n")
        async with running(MqttDriver(named), Hub()):
            pass
        secret.write_text("right\u00a0\n")
        with pytest.raises(Misconfigured) as refused:
            await MqttDriver(named).run(Hub().emit)
        assert "no-break space, U+00A0" in refused.value.hint
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
        ("3.1.1", b"\x20\x02\x00\x04", "username"),
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


async def test_connections_that_end_soon_again_and_again_are_said_to_and_tried_on(broker, version, monkeypatch):
    """A take-over that the broker does not name looks like a broker in a crash loop: neither ends the trying."""
    driver = MqttDriver(settings_for(broker, version))
    ends: list[str] = []
    for _ in range(8):
        task = asyncio.create_task(driver.run(Hub().emit))
        await until(lambda: driver.connected, "connected")
        with rival(broker, version), pytest.raises(NotReady) as end:
            await asyncio.wait_for(task, PATIENCE_S)
        ends.append(end.value.reason)
    assert "again and again" not in ends[1]
    assert all("again and again" in reason for reason in ends[lifetimes.IN_A_ROW :])
    assert "the client id gateway-1" in end.value.reason
    async with running(driver, Hub()):
        assert driver.unsteady
        monkeypatch.setattr(lifetimes, "SHORT_S", 0.2)
        await until(lambda: not driver.unsteady, "well as soon as a connection lasts")


async def test_no_more_is_under_way_than_the_broker_grants(broker):
    async with Granting(broker.port, 3).listening() as relay:
        driver = MqttDriver(replace(settings_for(broker), port=relay.port))
        hub = Hub()
        async with running(driver, hub):
            await asyncio.gather(*(driver.publish("farm/s/t1/n", str(number).encode()) for number in range(60)))
            await until(lambda: len(hub.values) == 60, "all of them")
        assert hub.values == [float(number) for number in range(60)], "in the order in which they were given"
        assert (relay.exceeded, relay.most) == (0, 3)


async def test_publishes_that_wait_for_their_turn_end_with_the_connection(broker):
    async with Granting(broker.port, 2, delay_s=PATIENCE_S).listening() as relay:
        driver = MqttDriver(replace(settings_for(broker), port=relay.port))
        async with running(driver, Hub()):
            waiting = [asyncio.ensure_future(driver.publish("x", b"1")) for _ in range(30)]
            await until(lambda: relay.most == 2, "under way")
            await cut(driver)
            for done in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(done, NotReady)


@pytest.mark.parametrize(
    ("version", "connack", "codes"),
    [("5", b"\x20\x03\x00\x00\x00", (145, 145, 1)), ("3.1.1", b"\x20\x02\x01\x00", (128, 1))],
)
async def test_a_packet_id_that_is_in_use_is_no_refusal(broker, version, connack, codes):
    """mochi compares our ids with those of its own messages; MQTT 3.1.1 has no word for it."""
    topic = b"farm/+/+/+"
    nothing = b"\x00" if version == "5" else b""  # no properties
    ids = []

    def answer(code: int):
        def suback(asked: bytes) -> bytes:
            at = asked.index(topic) - 4 - len(nothing)
            ids.append(asked[at : at + 2])
            body = ids[-1] + nothing + bytes((code,))
            return bytes((0x90, len(body))) + body

        return suback

    steps = ((b"gateway-1", connack), *((topic, answer(code)) for code in codes))
    async with scripted(*steps) as port:
        driver = MqttDriver(replace(settings_for(broker, version), port=port))
        async with running(driver, Hub()):
            assert driver.stats.refused == ()
    assert len(set(ids)) == len(codes)


async def test_a_session_that_was_lost_while_the_daemon_was_away_is_noticed(broker, version, tmp_path):
    settings = settings_for(broker, version, subscriptions_file=tmp_path / "subscriptions")
    told = []
    for lost in (0, 0, 1):
        if lost:
            broker.kill()
            broker.database.unlink(missing_ok=True)
            await asyncio.to_thread(broker.start)
        driver = MqttDriver(settings)
        driver.on_session_lost = lambda: told.append(1)
        async with running(driver, Hub()):
            assert (driver.stats.sessions_lost, len(told)) == (lost, lost)
    moved = MqttDriver(replace(settings, client_id="gateway-2"))
    async with running(moved, Hub()):
        assert moved.stats.sessions_lost == 0, "another session was never there"


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
    async def report() -> list[float]:
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

    assert uvloop.run(report()) == [1, 2]
