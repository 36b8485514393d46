"""The MQTT driver against a real mosquitto: in both versions of the protocol, and over paho's own reading as well."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import uvloop
from paho.mqtt import publish as once
from paho.mqtt.client import Client, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from drivers.mqtt import MqttDriver, MqttSettings, PayloadSettings, SubscriptionSettings, TlsSettings
from drivers.mqtt import driver as driver_module
from drivers.mqtt.client import SessionClient
from drivers.values import Misconfigured, NotReady, Reading, Unreadable
from tests.support.mosquitto import DEPLOYED, Mosquitto
from tests.support.paho_client import PahoClient
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.broker

PATTERN = SubscriptionSettings("farm/{site}/{tank}/{metric}")
PATIENCE_S = 30.0


class Hub:
    """Takes batches, holds them until `release`, and remembers what they said."""

    def __init__(self, *, holding: bool = False) -> None:
        self.holding = holding
        self.seen: list[Reading | Unreadable] = []
        self.waiting: list[asyncio.Future[None]] = []

    def emit(self, batch) -> asyncio.Future[None]:
        self.seen += batch
        done = asyncio.get_running_loop().create_future()
        if self.holding:
            self.waiting.append(done)
        else:
            done.set_result(None)
        return done

    def release(self) -> None:
        for done in self.waiting:
            if not done.done():
                done.set_result(None)
        self.waiting.clear()

    @property
    def values(self) -> list[float]:
        return [seen.value for seen in self.seen if isinstance(seen, Reading)]


async def until(condition: Callable[[], object], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.01)


async def keep_running(driver: MqttDriver, hub: Hub) -> None:
    """As the supervisor does, without its patience."""
    while True:
        with contextlib.suppress(NotReady):
            await driver.run(hub.emit)
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(driver: MqttDriver, hub: Hub) -> AsyncIterator[asyncio.Task[None]]:
    """The driver, connected; cancelled at the end, which is an orderly stop."""
    task = asyncio.create_task(keep_running(driver, hub))
    try:
        await until(lambda: driver.connected or task.done(), "connected")
        if task.done():
            await task
        await until(lambda: len(driver._confirmed) == len(driver._routes.filters), "subscribed")
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def cut(driver: MqttDriver) -> None:
    """Close the connection under the driver, as a broken link would."""
    before = driver.stats.disconnects
    driver._session.close()
    await until(lambda: driver.stats.disconnects > before, "disconnected")


@pytest.fixture(params=["3.1.1", "5"])
def version(request) -> str:
    return request.param


@pytest.fixture(params=[SessionClient, PahoClient], ids=["ours", "paho"])
def client(request) -> type[SessionClient]:
    return request.param


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    """mosquitto on the file that is shipped for gateways."""
    with Mosquitto(conf=DEPLOYED) as broker:
        yield broker


def settings_for(broker: Mosquitto, version: str = "5", *subscriptions: SubscriptionSettings, **more) -> MqttSettings:
    return MqttSettings(
        name="barge",
        client_id="gateway-1",
        site="home",
        port=broker.port,
        version=version,
        subscriptions=subscriptions or (PATTERN,),
        **more,
    )


async def publish(broker: Mosquitto, *values: float, topic: str = "farm/s/t1/temperature", **options) -> None:
    """Publish as another device, and wait until the broker has taken it all."""
    messages = [{"topic": topic, "payload": str(value), "qos": options.get("qos", 1), **options} for value in values]
    await asyncio.to_thread(once.multiple, messages, hostname=broker.host, port=broker.port)


async def test_readings_come_through_and_are_acknowledged(broker, version, client):
    hub = Hub()
    driver = MqttDriver(settings_for(broker, version), client=client)
    async with running(driver, hub):
        await publish(broker, 21.5, 21.6)
        await publish(broker, 21.7, qos=0)
        await publish(broker, 21.8, qos=2)
        await until(
            lambda: len(hub.seen) == 4 and driver.stats.acknowledged == 3, "4 readings, 3 of them acknowledged"
        )
    assert hub.values == [21.5, 21.6, 21.7, 21.8]
    assert {reading.sensor_id for reading in hub.seen} == {"t1_temperature"}
    assert driver.stats.received == [1, 3, 0]
    assert driver.by_subscription() == {PATTERN.topic: (4, 0)}
    assert (driver.stats.outstanding, driver.stats.disconnects) == (0, 1)


async def test_nothing_is_acknowledged_before_it_may_be_forgotten(broker, version, client):
    hub = Hub(holding=True)
    driver = MqttDriver(settings_for(broker, version), client=client)
    async with running(driver, hub):
        await publish(broker, 1, 2, 3)
        await until(lambda: hub.values == [1, 2, 3], "received")
        assert driver.stats.acknowledged == 0
        assert driver.stats.outstanding == 3
        await cut(driver)
        await until(lambda: hub.values == [1, 2, 3] * 2, "delivered again")
        assert driver.stats.redelivered == 3
        hub.release()
        await until(lambda: driver.stats.outstanding == 0, "released")
        # Those of the first connection belong to it and are dropped.
        assert driver.stats.acknowledged == 3
        await cut(driver)
        await until(lambda: driver.connected, "connected again")
        await publish(broker, 4)
        await until(lambda: len(hub.waiting) > 0, "the next one")
        assert hub.values == [1, 2, 3] * 2 + [4]
        hub.release()


async def test_what_was_published_meanwhile_is_there_after_a_restart(broker, version, client):
    hub = Hub()
    async with running(MqttDriver(settings_for(broker, version), client=client), hub):
        await publish(broker, 1)
        await until(lambda: hub.values == [1], "received")
    await publish(broker, *range(2, 2_000))
    again = MqttDriver(settings_for(broker, version), client=client)
    async with running(again, hub):
        await until(lambda: len(hub.seen) >= 1_999, "what was kept")
    assert hub.values == [float(value) for value in range(1, 2_000)]
    assert again.stats.redelivered == 0


async def test_an_orderly_stop_acknowledges_what_gets_to_disk_in_time(broker, version):
    hub = Hub(holding=True)
    driver = MqttDriver(settings_for(broker, version))
    async with running(driver, hub) as task:
        await publish(broker, 1, 2)
        await until(lambda: hub.values == [1, 2], "received")
        task.cancel()
        await asyncio.sleep(0.1)
        hub.release()
        await asyncio.gather(task, return_exceptions=True)
    assert driver.stats.acknowledged == 2
    again = Hub()
    async with running(MqttDriver(settings_for(broker, version)), again):
        await publish(broker, 3)
        await until(lambda: 3 in again.values, "received")
    assert again.values == [3]


async def test_acknowledgements_leave_in_the_order_of_arrival(broker, version, client):
    upward = bytearray()
    with Proxy(broker.host, broker.port, tap=lambda up, data: upward.extend(data) if up else None) as proxy:
        hub = Hub(holding=True)
        driver = MqttDriver(replace(settings_for(broker, version), port=proxy.port), client=client)
        async with running(driver, hub):
            for number in range(4):
                await publish(broker, number if number != 2 else "Online")
                await until(lambda number=number: len(hub.waiting) > number, "a batch")
            upward.clear()
            for batch in (3, 1, 2):
                hub.waiting[batch].set_result(None)
                await asyncio.sleep(0.05)
            assert driver.stats.acknowledged == 0
            hub.waiting[0].set_result(None)
            await until(lambda: len(upward) >= 16, "four acknowledgements")
            packets = [bytes(upward[at : at + 4]) for at in range(0, 16, 4)]
            assert [packet[:2] for packet in packets] == [b"\x40\x02"] * 4
            assert packets == sorted(packets)
            assert (driver.stats.readings, driver.stats.unreadable) == (3, 1)


async def test_a_batch_that_is_cancelled_is_not_acknowledged_and_comes_again(broker):
    hub = Hub(holding=True)
    driver = MqttDriver(settings_for(broker))
    async with running(driver, hub):
        await publish(broker, 1)
        await until(lambda: hub.waiting, "received")
        hub.waiting.pop().cancel()
        await publish(broker, 2)
        await until(lambda: hub.waiting, "received")
        hub.release()
        await until(lambda: driver.stats.acknowledged == 1, "the second")
        await cut(driver)
        await until(lambda: hub.waiting, "the first again")
        hub.release()
    assert hub.values == [1, 2, 1]


async def test_a_failure_of_the_hub_ends_the_run_with_it(broker):
    async def emit(batch) -> None:
        raise ZeroDivisionError("a bug")

    driver = MqttDriver(settings_for(broker))
    task = asyncio.create_task(driver.run(emit))
    await until(lambda: driver.connected, "connected")
    await publish(broker, 1)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(task, PATIENCE_S)
    hub = Hub()
    async with running(driver, hub):
        await until(lambda: hub.values == [1], "delivered again")


async def test_twenty_thousand_messages_arrive_in_order(broker, version, client):
    hub = Hub()
    driver = MqttDriver(settings_for(broker, version), client=client)

    def send() -> int:
        with Publisher(broker.host, broker.port) as device:
            for number in range(20_000):
                device.publish(number, f"farm/s/t{number % 7}/n", str(number))
            return len(device.wait_acked())

    async with running(driver, hub):
        assert await asyncio.to_thread(send) == 20_000
        await until(lambda: driver.stats.acknowledged >= 20_000, "all of them")
    assert hub.values == [float(number) for number in range(20_000)]
    assert driver.stats.redelivered == 0


async def test_an_orderly_restart_of_the_broker_loses_nothing(broker, version):
    hub = Hub()
    driver = MqttDriver(settings_for(broker, version))
    with Publisher(broker.host, broker.port) as device:
        async with running(driver, hub):
            sending = asyncio.create_task(
                asyncio.to_thread(device.publish_evenly, 0, 3_000, 1_000.0, ["farm/s/t1/n"])
            )
            await until(lambda: len(hub.seen) > 500, "the first")
            await asyncio.to_thread(broker.restart)
            await sending
            acked = await asyncio.to_thread(device.wait_acked)
            await until(lambda: acked <= {int(value) for value in hub.values}, "all that the broker took")
    assert len(acked) == 3_000
    assert driver.stats.connects >= 2
    assert driver.stats.sessions_lost == 0


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
    async def answer(reader, writer) -> None:
        await reader.readuntil(b"gateway-1")
        writer.write(b"\x20\x03\x00\x00\x00")  # CONNACK
        await reader.readuntil(b"farm/+/+/+")
        writer.write(b"\x90\x04\x00\x01\x00\x01\xe0\x02\x8e\x00")  # SUBACK; DISCONNECT, session taken over
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Misconfigured) as taken:
            await asyncio.wait_for(MqttDriver(replace(settings_for(broker), port=port)).run(Hub().emit), PATIENCE_S)
    assert taken.value.field == "client_id"
    assert "gateway-1" in taken.value.reason


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


async def test_a_changed_subscription_costs_the_others_nothing(broker, version, client):
    settings = settings_for(
        broker, version, SubscriptionSettings("a/{tank}/{metric}"), SubscriptionSettings("b/{tank}/{metric}")
    )
    hub = Hub()
    driver = MqttDriver(settings, client=client)
    with Publisher(broker.host, broker.port) as device:
        async with running(driver, hub):
            sending = asyncio.create_task(asyncio.to_thread(device.publish_evenly, 0, 3_000, 2_000.0, ["a/t/n"]))
            await until(lambda: len(hub.seen) > 300, "the first")
            kept, _ = settings.subscriptions
            added = SubscriptionSettings("c/{tank}/{metric}", unit="pH")
            assert await driver.reconfigure(replace(settings, subscriptions=(kept, added)))
            await publish(broker, -1, topic="c/t/ph")
            await publish(broker, -2, topic="b/t/ph")
            assert await sending == 3_000
            await until(lambda: len(hub.seen) >= 3_001, "all of the one that stayed, and the new one")
            await publish(broker, -3, topic="c/t/ph")
            await until(lambda: -3 in hub.values, "the last")
    assert [value for value in hub.values if value >= 0] == [float(number) for number in range(3_000)]
    assert [value for value in hub.values if value < 0] == [-1, -3]
    assert driver.stats.unreadable == 0
    assert (driver.stats.connects, driver.stats.redelivered) == (1, 0)
    assert driver.by_subscription()["a/{tank}/{metric}"] == (3_000, 0)


async def test_a_changed_payload_of_the_same_topic_holds_from_the_next_message(broker):
    settings = settings_for(broker, "5", SubscriptionSettings("a/{tank}/{metric}"))
    hub = Hub()
    driver = MqttDriver(settings)
    async with running(driver, hub):
        as_json = SubscriptionSettings("a/{tank}/{metric}", payload=PayloadSettings("json", "v"))
        assert await driver.reconfigure(replace(settings, subscriptions=(as_json,)))
        await publish(broker, '{"v": 4}', topic="a/t/ph")
        await until(lambda: hub.values == [4], "read as JSON")


async def test_what_needs_another_connection_is_left_to_a_restart(broker):
    settings = settings_for(broker)
    driver = MqttDriver(settings)
    for change in (
        {"host": "x"},
        {"client_id": "x"},
        {"version": "3.1.1"},
        {"keepalive_s": 60},
        {"tls": TlsSettings()},
    ):
        assert not await driver.reconfigure(replace(settings, **change))
    with pytest.raises(Misconfigured):
        await driver.reconfigure(replace(settings, subscriptions=(SubscriptionSettings("a/#/b"),)))
    hub = Hub()
    async with running(driver, hub):
        await publish(broker, 1)
        await until(lambda: hub.values == [1], "all as before")


async def test_a_change_while_disconnected_holds_at_the_next_connect(broker):
    settings = settings_for(broker, "5", SubscriptionSettings("a/{tank}/{metric}"))
    hub = Hub()
    driver = MqttDriver(settings)
    async with running(driver, hub):
        pass
    assert await driver.reconfigure(replace(settings, subscriptions=(SubscriptionSettings("b/{tank}/{metric}"),)))
    async with running(driver, hub):
        await publish(broker, 1, topic="a/t/n")
        await publish(broker, 2, topic="b/t/n")
        await until(lambda: hub.seen, "received")
    assert hub.values == [2]


async def test_a_topic_removed_while_the_daemon_was_stopped_is_unsubscribed(broker, version, tmp_path):
    file = tmp_path / "subscriptions"
    both = settings_for(
        broker, version, SubscriptionSettings("a/{tank}/{metric}"), SubscriptionSettings("b/{tank}/{metric}"),
        subscriptions_file=file,
    )  # fmt: skip
    async with running(MqttDriver(both), Hub()):
        pass
    hub = Hub()
    driver = MqttDriver(replace(both, subscriptions=both.subscriptions[:1]))
    async with running(driver, hub):
        await until(lambda: b'"b/' not in file.read_bytes(), "unsubscribed")
        await publish(broker, 1, topic="b/t/n")
        await publish(broker, 2, topic="a/t/n")
        await until(lambda: hub.seen, "received")
    assert hub.values == [2]
    assert driver.stats.unreadable == 0


async def test_a_damaged_or_unwritable_subscriptions_file_costs_nothing_else(broker, tmp_path):
    file = tmp_path / "subscriptions"
    for damage in (
        b"\xff",
        b"[]",
        b'{"session": 1}',
        b'{"session": "gateway-1@127.0.0.1:%d", "filters": 3}' % broker.port,
    ):
        file.write_bytes(damage)
        async with running(MqttDriver(settings_for(broker, subscriptions_file=file)), Hub()):
            pass
    hub = Hub()
    nowhere = settings_for(broker, subscriptions_file=tmp_path / "no" / "folder" / "file")
    async with running(MqttDriver(nowhere), hub):
        await publish(broker, 1)
        await until(lambda: hub.values == [1], "received")


async def test_publishing_is_done_when_the_broker_has_it(broker, version, client):
    heard = Hub()
    speaker = MqttDriver(settings_for(broker, version), client=client)
    listener = MqttDriver(replace(settings_for(broker, version), client_id="gateway-2"), client=client)
    up: list[bool] = []
    speaker.on_connect = lambda: up.append(speaker.connected)
    async with running(speaker, Hub()), running(listener, heard):
        await asyncio.gather(*(speaker.publish("farm/s/t/n", str(number).encode()) for number in range(200)))
        await speaker.publish("farm/s/t/n", b"200", qos=0)
        await until(lambda: len(heard.seen) == 201, "all of it")
    assert heard.values == [float(number) for number in range(201)]
    assert up == [True]


async def test_publishing_to_nobody_or_into_a_dying_connection_is_not_ready(broker):
    driver = MqttDriver(settings_for(broker))
    with pytest.raises(NotReady):
        await driver.publish("x", b"1")
    async with running(driver, Hub()):
        broker.pause()
        waiting = asyncio.create_task(driver.publish("x", b"1"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await asyncio.to_thread(broker.kill)
        with pytest.raises(NotReady):
            await asyncio.wait_for(waiting, PATIENCE_S)


async def test_a_huge_message_is_told_of_and_what_follows_is_read(broker):
    hub = Hub()
    async with running(MqttDriver(settings_for(broker)), hub):
        await publish(broker, "9" * 2_000_000, 2)
        await until(lambda: len(hub.seen) == 2, "both")
    assert isinstance(hub.seen[0], Unreadable)
    assert "larger than" in hub.seen[0].reason
    assert hub.values == [2]


async def test_a_retained_message_is_not_repeated_at_a_reconnect(broker, version):
    await publish(broker, 20, retain=True)
    hub = Hub()
    driver = MqttDriver(settings_for(broker, version))
    async with running(driver, hub):
        await until(lambda: hub.seen, "the retained one")
        await cut(driver)
        await until(lambda: driver.connected, "connected again")
        await publish(broker, 21, retain=True)
        await until(lambda: hub.values == [21], "a fresh one, which is a reading")
    assert [type(seen) for seen in hub.seen] == [Unreadable, Reading]


async def test_a_flood_of_qos_0_stops_the_reading_until_the_disk_has_caught_up(broker, monkeypatch):
    monkeypatch.setattr(driver_module, "MOST_OUTSTANDING", 50)
    hub = Hub(holding=True)
    driver = MqttDriver(settings_for(broker))
    async with running(driver, hub):
        await publish(broker, *range(60), qos=0)
        await until(lambda: driver._session.paused, "paused")
        hub.holding = False
        hub.release()
        await until(lambda: not driver._session.paused, "resumed")
        await publish(broker, 1000)
        await until(lambda: 1000 in hub.values, "reading again")
    assert driver.stats.pauses >= 1
    assert driver.stats.outstanding == 0


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
