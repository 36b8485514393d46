"""What a broker queued while the driver was away: all of it is known, though amqtt marks it retained."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from paho.mqtt import publish as once

from drivers.mqtt import MqttDriver, SubscriptionSettings
from drivers.mqtt.readings import AGE_UNKNOWN
from tests.support.amqtt import Amqtt
from tests.support.mqtt import Hub, running, settings_for, until

pytestmark = pytest.mark.broker

LOGIN = {"username": "gateway", "password": "s3cret"}


async def send(broker, *values, retain=False):
    messages = [("farm/s/t1/temperature", str(value), 1, retain) for value in values]
    await asyncio.to_thread(once.multiple, messages, hostname=broker.host, port=broker.port, auth=LOGIN)


@pytest.mark.parametrize("restarted", [False, True], ids=["the same run", "a later run"])
async def test_what_amqtt_queued_with_retain_set_is_read_and_what_it_retains_is_not(tmp_path, restarted):
    password = tmp_path / "password"
    password.write_text(LOGIN["password"])
    hub = Hub()
    with Amqtt({LOGIN["username"]: LOGIN["password"]}) as broker:
        settings = settings_for(
            broker,
            "3.1.1",
            username=LOGIN["username"],
            password_file=password,
            subscriptions_file=tmp_path / "subscriptions",
        )
        driver = MqttDriver(settings)
        async with running(driver, hub):
            await send(broker, 1)
            await until(lambda: hub.values == [1], "received")
        await send(broker, -1, retain=True)  # queued, and from now on retained as well
        await send(broker, *range(2, 100))
        if restarted:
            driver = MqttDriver(settings)
        async with running(driver, hub):
            await until(lambda: len(hub.values) >= 100, "what was queued")
            await send(broker, 100)
            await until(lambda: 100 in hub.values, "what came after it")
            await until(lambda: of_unknown_age(hub), "what it retains, which it sends at each connection")
    assert of_unknown_age(hub) == {-1}
    assert sorted(seen.value for seen in hub.seen if problem(seen) != AGE_UNKNOWN) == [-1, *range(1, 101)]


def problem(seen):
    return seen.doubt.problem if seen.doubt else ""


def of_unknown_age(hub):
    return {seen.value for seen in hub.seen if problem(seen) == AGE_UNKNOWN}


async def test_what_is_queued_is_marked_so_also_behind_a_new_subscription(broker, tmp_path):
    settings = settings_for(broker, "5", receive_maximum=20, subscriptions_file=tmp_path / "subscriptions")
    async with running(MqttDriver(settings), Hub()):
        pass
    messages = [("farm/s/t1/temperature", str(value), 1, False) for value in range(200)]
    await asyncio.to_thread(once.multiple, messages, hostname=broker.host, port=broker.port)
    another = SubscriptionSettings("more/{tank}/{metric}")
    hub = Hub(holding=True)
    async with running(MqttDriver(replace(settings, subscriptions=(*settings.subscriptions, another))), hub):
        await until(lambda: hub.values, "the first window")
        assert len(hub.values) == 20, "the others come after the answer to the subscription"
        hub.holding = False
        hub.release()
        await until(lambda: len(hub.values) == 200, "what was queued")
    assert {problem(seen) for seen in hub.seen} == {"queued"}
