"""Another cluster under the same addresses: nothing that it says of our ids is believed (D6)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sync.memory import Fault, MemorySink
from sync.shipper import AnotherCluster, Recovered, Repeated
from sync.values import Claim, Lane, Producer, Stream
from tests.support.batches import batch_of
from tests.support.ship import FAST, Ship, append, until

LIVE = Stream(Lane.LIVE, "sensor-data", 0)


async def give_ids_to_others(sink):
    """Another gateway writes to the same partition, under the first ids of the cluster."""
    other = Ship()
    await append(other.log, range(1_000, 1_500))
    await other.log.assign_partition(LIVE.topic, 1)
    for _ in range(3):
        producer = await sink.new_producer()
        batch = await other.log.lease(Claim(LIVE, producer, 0), 1 << 20)
        await sink.send(batch)
        other.log.settle(batch, 0)
        await append(other.log, range(1_000, 1_500))


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_is_unsettled_goes_to_it_marked_whatever_it_remembers_of_our_id(restarted):
    """D6."""
    ship = Ship()
    async with ship.under_way():
        await append(ship.log, range(10))
        await until(lambda: sum(ship.log.stats().depth.values()) == 0)
        ship.sink.fault = lambda _: Fault.ANSWER_LOST
        await append(ship.log, range(10, 20))
        await until(lambda: ship.shipper.stats().retries)
        if not restarted:
            ship.sink.reachable = False
            await rebuilt(ship.sink)
            await until(lambda: any(isinstance(event, Repeated) for event in ship.events))
            await until(lambda: sum(ship.log.stats().depth.values()) == 0)
    anew = ship
    if restarted:
        anew = Ship(ship.log, MemorySink())
        await rebuilt(anew.sink)
    async with anew.under_way():
        await append(anew.log, range(20, 30))
        await until(lambda: sum(anew.log.stats().depth.values()) == 0)
    assert [number for number in anew.values() if number < 1_000] == list(range(10, 30))
    assert anew.marked() == list(range(10, 20))
    assert anew.events.count(AnotherCluster("another", 10)) == 1
    assert sum(event.records for event in anew.events if isinstance(event, Repeated)) == 10


async def test_an_offset_of_the_old_cluster_bounds_no_read_back():
    """D1, D6: the new one's log may have grown past it with what others wrote."""
    ship = Ship()
    async with ship.under_way():
        await append(ship.log, range(1_000))
        await until(lambda: sum(ship.log.stats().depth.values()) == 0)
    sink = MemorySink()
    sink.rebuild("another")
    anew = Ship(ship.log, sink)
    async with anew.under_way():
        await until(lambda: anew.events)
        sink.fault = lambda _: Fault.ANSWER_LOST
        await append(anew.log, range(5_000, 5_005))
        await until(lambda: anew.shipper.stats().retries)
        sink.reachable = False
    sink.reachable = True
    sink.fault = lambda _: None
    sink.forget(anew.shipper.stats().producers[Lane.LIVE])
    others = await sink.new_producer()
    await sink.send(batch_of([b"7"] * 1_500, topic=LIVE.topic, producer=others, base_sequence=0))
    again = Ship(ship.log, sink)
    async with again.under_way():
        await until(lambda: sum(again.log.stats().depth.values()) == 0)
    found = [number for number in again.values() if number >= 5_000]
    assert found == list(range(5_000, 5_005)), (found, again.marked())


async def test_what_the_old_one_lacked_is_not_said_of_the_new_one():
    ship = Ship()
    ship.sink.missing_topics.add("camera-events")
    async with ship.under_way():
        await append(ship.log, range(10))
        await append(ship.log, range(10), topic="camera-events")
        await until(ship.shipper.waits_for)
        ship.sink.missing_topics.clear()
        ship.sink.rebuild("another")
        await append(ship.log, range(10))
        await until(lambda: any(isinstance(event, AnotherCluster) for event in ship.events))
        assert ship.shipper.waits_for() is None
    assert ship.events.count(Recovered("camera-events")) == 1


async def test_a_lease_that_nobody_waited_for_is_not_marked():
    """D6: nothing of it left."""
    ship = Ship()
    await ship.log.goes_to("one")
    await append(ship.log, range(10))
    await ship.log.assign_partition(LIVE.topic, 1)
    leasing = ship.log.lease(Claim(LIVE, Producer(1, 0), 0), 1 << 20)
    leasing.cancel()
    assert await ship.log.goes_to("another") == {}
    batch = await ship.log.lease(Claim(LIVE, Producer(2, 0), 0), 1 << 20)
    assert batch.count == 10


async def test_two_clusters_that_answer_in_turn_are_not_run_after():
    """Each change costs commits and an event: after the first it waits, longer each time."""
    ship = Ship(settings=replace(FAST, retry_s=(30.0, 30.0)))

    def report(event):
        ship.events.append(event)
        if isinstance(event, AnotherCluster):
            ship.sink.rebuild(f"{len(ship.events)}")

    ship.shipper.on_event = report
    async with ship.under_way():
        await append(ship.log, range(10))
        await until(lambda: sum(ship.log.stats().depth.values()) == 0)
        ship.sink.rebuild("another")
        await append(ship.log, range(10))
        await until(lambda: ship.events)
        await asyncio.sleep(0.2)
        changes = [event for event in ship.events if isinstance(event, AnotherCluster)]
    assert len(changes) == 1


async def rebuilt(sink):
    sink.fault = lambda _: None
    others = MemorySink()
    await give_ids_to_others(others)
    sink.rebuild("another", like=others)
    sink.reachable = True


async def test_where_the_same_cluster_answers_again_nothing_is_marked():
    ship = Ship()
    for _ in range(2):
        async with ship.under_way():
            ship.sink.reachable = False
            await append(ship.log, range(5))
            await asyncio.sleep(0.05)
            ship.sink.reachable = True
            await until(lambda: sum(ship.log.stats().depth.values()) == 0)
    assert ship.marked() == []
    assert not [event for event in ship.events if isinstance(event, AnotherCluster)]
