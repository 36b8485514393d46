"""Subscriptions and publishing: changes while it runs, topics that went, messages out."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from drivers.mqtt import MqttDriver, PayloadSettings, SubscriptionSettings, TlsSettings
from drivers.mqtt.readings import AGE_UNKNOWN
from drivers.mqtt.topics.sources import Tally
from drivers.values import Misconfigured, NotReady, Unreadable
from tests.support.mosquitto import Mosquitto
from tests.support.mqtt import PATIENCE_S, Hub, cut, publish, running, scripted, settings_for, until
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker


async def test_a_subscription_that_the_broker_refuses_costs_the_others_nothing(broker):
    settings = settings_for(
        broker, "3.1.1", SubscriptionSettings("a/{tank}/{metric}"), SubscriptionSettings("b/{tank}/{metric}")
    )
    reading = b"\x32\x0a\x00\x05a/t/n\x00\x017"
    async with scripted(
        (b"gateway-1", b"\x20\x02\x00\x00"), (b"b/+/+", b"\x90\x04\x00\x01\x01\x80" + reading)
    ) as port:
        hub = Hub()
        driver = MqttDriver(replace(settings, port=port))
        task = asyncio.create_task(driver.run(hub.emit))
        await until(lambda: hub.values == [7] and driver.stats.refused, "a reading")
        assert driver.stats.refused == ("b/+/+",)
        assert driver.connected
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_shared_subscription_is_matched_without_its_group(broker, version):
    settings = settings_for(broker, version, SubscriptionSettings("$share/farm/farm/{site}/{tank}/{metric}"))
    hub, other = Hub(), Hub()
    async with (
        running(MqttDriver(settings), hub),
        running(MqttDriver(replace(settings, client_id="gateway-2")), other),
    ):
        await publish(broker, *range(20))
        await until(lambda: len(hub.seen) + len(other.seen) == 20, "each once, at one of both")
    assert sorted(hub.values + other.values) == list(range(20))


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
    assert driver.by_subscription()["a/{tank}/{metric}"] == Tally(3_000)


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


async def test_a_broker_that_keeps_no_retained_messages_hears_them_all_the_same():
    # Of one that says so in its CONNACK; told to retain, mosquitto would end the connection each time.
    with Mosquitto(lines=["retain_available false", "max_qos 0"]) as broker:
        heard = Hub()
        speaker = MqttDriver(settings_for(broker))
        listener = MqttDriver(replace(settings_for(broker), client_id="gateway-2"))
        async with running(speaker, Hub()), running(listener, heard):
            await speaker.publish("farm/s/t/n", b"1", retain=True)
            await until(lambda: heard.values == [1], "heard")
            assert speaker.stats.disconnects == 0


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
        await until(lambda: hub.values[1:] == [21], "a fresh one")
    assert [seen.value for seen in hub.seen] == [20, 21]
    assert [seen.doubt is not None and seen.doubt.problem == AGE_UNKNOWN for seen in hub.seen] == [True, False]
