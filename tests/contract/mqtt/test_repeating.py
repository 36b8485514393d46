"""What brokers of other kinds send again, made of mosquitto by a relay; a stop that leaves nothing to send again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from drivers.mqtt import MqttDriver, PayloadSettings, SubscriptionSettings
from tests.support.mqtt import PATTERN, Hub, publish, running, settings_for, until
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher
from tests.support.unlike import AEDES, ARTEMIS, MOCHI, MOQUETTE, MOSQUITTO, RUMQTTD, Unlike

pytestmark = pytest.mark.broker

COUNTED = SubscriptionSettings(PATTERN.topic, payload=PayloadSettings("json", counter="n"))


async def cut_with_forty_unacknowledged(broker, kind, *subscriptions, say=str):
    """Readings 0 to 19 acknowledged, 20 to 59 taken and not, then the link is cut; what the hub has at the end."""
    hub = Hub()
    with Proxy(broker.host, broker.port, tap=Unlike(kind)) as proxy:
        driver = MqttDriver(replace(settings_for(broker, "3.1.1", *subscriptions), port=proxy.port))
        async with running(driver, hub):
            await publish(broker, *map(say, range(20)))
            await until(lambda: driver.stats.acknowledged == 20, "acknowledged")
            hub.holding = True
            await publish(broker, *map(say, range(20, 60)))
            await until(lambda: sum(driver.stats.received) == 60, "taken")
            await asyncio.to_thread(proxy.cut)
            await publish(broker, *map(say, range(60, 70)))
            await until(lambda: driver.connected and sum(driver.stats.received) == 110, "all of it again, and more")
            hub.release()
            await until(lambda: driver.stats.outstanding == 0, "acknowledged")
    return hub.values, driver.stats


@pytest.mark.parametrize("kind", [MOSQUITTO, MOQUETTE, MOCHI, AEDES], ids=lambda kind: kind.name)
async def test_what_comes_again_under_its_own_id_stands_once(broker, kind):
    values, stats = await cut_with_forty_unacknowledged(broker, kind)
    assert sorted(values) == [float(number) for number in range(70)]
    assert (stats.recognised, stats.suspected) == (40, 0)


@pytest.mark.parametrize("kind", [ARTEMIS, RUMQTTD], ids=lambda kind: kind.name)
async def test_what_comes_again_without_a_mark_under_another_id_is_kept_and_counted(broker, kind):
    values, stats = await cut_with_forty_unacknowledged(broker, kind)
    assert set(values) == {float(number) for number in range(70)}
    assert len(values) == 110
    assert (stats.recognised, stats.suspected) == (0, 40)


@pytest.mark.parametrize("kind", [ARTEMIS, RUMQTTD], ids=lambda kind: kind.name)
async def test_a_counter_in_the_payload_has_it_stand_once_there_as_well(broker, kind):
    say = '{{"value": {0}, "n": {0}}}'.format
    values, _ = await cut_with_forty_unacknowledged(broker, kind, COUNTED, say=say)
    assert sorted(values) == [float(number) for number in range(70)]


async def test_a_broker_without_marks_is_not_believed_where_values_repeat(broker):
    """Seven values that come round: another message may say the same as the one whose id it has."""
    values, stats = await cut_with_forty_unacknowledged(broker, AEDES, say=lambda number: str(number % 7))
    assert len(values) == 110
    assert (stats.recognised, stats.suspected) == (0, 40)


async def test_an_orderly_stop_leaves_nothing_taken_and_unacknowledged(broker, version):
    """Commits of 50 ms under a steady publisher: what is read while the driver stops would stand twice."""
    hub = Hub(holding=True)

    async def commit() -> None:
        while True:
            await asyncio.sleep(0.05)
            hub.release()

    async with running(MqttDriver(settings_for(broker, version)), hub):
        pass  # it has a session from here on
    committing = asyncio.create_task(commit())
    with Publisher(broker.host, broker.port) as device:
        sending = asyncio.create_task(asyncio.to_thread(device.publish_evenly, 0, 1_000, 500.0, ["farm/s/t1/n"]))
        stops = 0
        while not sending.done():
            # A driver that knows nothing of the one before: whatever comes again would be taken as new.
            driver = MqttDriver(settings_for(broker, version))
            async with running(driver, hub):
                before = len(hub.values)
                await until(lambda before=before: len(hub.values) > before + 50 or sending.done(), "some of it")
            assert driver.stats.outstanding == 0
            stops += 1
        acked = await asyncio.to_thread(device.wait_acked)
    async with running(MqttDriver(settings_for(broker, version)), hub):
        await until(lambda: set(hub.values) == {float(number) for number in acked}, "the rest")
    committing.cancel()
    assert stops > 3
    assert sorted(hub.values) == [float(number) for number in range(1_000)]
