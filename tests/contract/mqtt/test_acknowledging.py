"""Messages against mosquitto: what is acknowledged, when, in which order, and what comes again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from drivers.mqtt import MqttDriver, PayloadSettings, SubscriptionSettings
from drivers.mqtt import driver as driver_module
from drivers.mqtt.topics.sources import Tally
from tests.support.mqtt import PATIENCE_S, PATTERN, Hub, cut, publish, running, settings_for, until
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker


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
    assert driver.by_subscription() == {PATTERN.topic: Tally(4)}
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
        await until(lambda: driver.stats.redelivered == 3, "delivered again")
        # Handed over already, so known again; acknowledged once what was handed over may be forgotten.
        assert driver.stats.recognised == 3
        assert hub.earlier == []
        assert driver.stats.acknowledged == 0
        hub.release()
        await until(lambda: driver.stats.outstanding == 0, "released")
        # Those of the first connection belong to it and are dropped.
        assert driver.stats.acknowledged == 3
        await cut(driver)
        await until(lambda: driver.connected, "connected again")
        await publish(broker, 4)
        await until(lambda: len(hub.waiting) > 0, "the next one")
        assert hub.values == [1, 2, 3, 4]
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


async def test_what_may_have_waited_at_the_broker_says_so_until_nothing_has_come_for_a_while(broker, version):
    hub = Hub()
    async with running(MqttDriver(settings_for(broker, version)), hub):
        await publish(broker, 1)
        await until(lambda: hub.values == [1], "received")
    await publish(broker, 2, 3)
    again = MqttDriver(settings_for(broker, version))
    async with running(again, hub):
        await until(lambda: len(hub.seen) >= 3, "what was kept")
        await asyncio.sleep(2.5)
        await publish(broker, 4)
        await until(lambda: len(hub.seen) >= 4, "what is new")
    said = {seen.value: seen.doubt.problem if seen.doubt else "" for seen in hub.seen}
    assert said == {1: "", 2: "queued", 3: "queued", 4: ""}


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


async def test_a_repetition_is_not_acknowledged_where_what_it_repeats_was_not_taken(broker):
    hub = Hub(holding=True)
    driver = MqttDriver(settings_for(broker))
    async with running(driver, hub):
        await publish(broker, 1)
        await until(lambda: hub.waiting, "received")
        await cut(driver)
        await until(lambda: driver.stats.recognised == 1, "known again")
        hub.waiting.pop().cancel()
        await until(lambda: driver.stats.outstanding == 0, "given up")
        assert driver.stats.acknowledged == 0
        await cut(driver)
        await until(lambda: hub.waiting, "taken as new")
        hub.release()
    assert hub.values == [1, 1]


async def test_an_earlier_run_s_receipts_tell_what_comes_again_from_what_is_new(broker, version, client, tmp_path):
    settings = replace(settings_for(broker, version), subscriptions_file=tmp_path / "subscriptions")
    hub = Hub(holding=True)
    async with running(MqttDriver(settings, client=client), hub) as task:
        await publish(broker, 7, 7)
        await until(lambda: hub.values == [7, 7], "received")
        task.cancel()  # as a kill: nothing of it was acknowledged
    kept = [batch.receipt for batch in hub.batches]
    assert {name for name, _ in kept} == {f"gateway-1@{broker.host}:{broker.port}"}

    async def receipts(name: str) -> list[bytes]:
        return [receipt for by, receipt in kept if by == name]

    await publish(broker, 7)
    hub = Hub()
    again = MqttDriver(settings, client=client, receipts=receipts)
    async with running(again, hub):
        await until(lambda: again.stats.acknowledged == 3, "all acknowledged")
    assert (hub.values, again.stats.redelivered, again.stats.recognised) == ([7], 2, 2)
    assert [reading.value for reading in hub.earlier] == [7, 7]


async def test_a_payload_with_its_own_time_stands_once_whoever_sends_it_again(broker, version):
    timed = SubscriptionSettings(PATTERN.topic, payload=PayloadSettings("json", at="at"))
    hub = Hub()
    driver = MqttDriver(settings_for(broker, version, timed))
    async with running(driver, hub):
        for at in (1_772_366_400, 1_772_366_400, 1_772_366_401):
            await publish(broker, f'{{"value": 7, "at": {at}}}')
        await until(lambda: driver.stats.acknowledged == 3, "all of them")
    assert hub.values == [7, 7]
    assert (driver.stats.redelivered, driver.stats.recognised) == (0, 1)


async def test_a_session_that_was_lost_takes_what_was_known_of_it_along(broker, tmp_path):
    settings = replace(settings_for(broker), subscriptions_file=tmp_path / "subscriptions", session_expiry_s=0)
    hub = Hub(holding=True)
    kept: list[bytes] = []

    async def receipts(_name: str) -> list[bytes]:
        return kept

    for _ in range(3):
        driver = MqttDriver(settings, receipts=receipts)
        async with running(driver, hub) as task:
            await publish(broker, 7)
            await until(lambda: hub.waiting, "received")
            task.cancel()
        kept += [batch.receipt[1] for batch in hub.batches]
        hub.batches.clear()
        hub.waiting.clear()
        assert driver.stats.recognised == 0
    # Three times the same topic, payload and packet id, and three messages.
    assert hub.values == [7, 7, 7]
    assert len({receipt[4:] for receipt in kept}) == 1


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


async def test_what_trickles_in_is_gathered_and_none_is_left_behind(broker, version):
    hub = Hub()
    driver = MqttDriver(replace(settings_for(broker, version), gather_s=0.05))
    with Publisher(broker.host, broker.port) as device:
        async with running(driver, hub):
            await asyncio.to_thread(device.publish_evenly, 0, 200, 200.0, ["farm/s/t1/n"])
            await until(lambda: driver.stats.acknowledged == 200, "all of them")
            assert driver.stats.batches < 100
            await cut(driver)
            await until(lambda: driver.connected, "connected again")
            await asyncio.to_thread(device.publish_evenly, 200, 20, 200.0, ["farm/s/t1/n"])
            await until(lambda: driver.stats.acknowledged == 220, "all of them")
            driver._session.pause()
            await asyncio.to_thread(device.publish_evenly, 220, 2, 200.0, ["farm/s/t1/n"])
            await asyncio.sleep(0.2)
            assert driver.stats.acknowledged == 220
            driver._session.resume()
            await until(lambda: driver.stats.acknowledged == 222, "the rest")
    assert hub.values == [float(number) for number in range(222)]


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
