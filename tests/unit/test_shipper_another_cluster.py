"""Another cluster under the same addresses: nothing that it says of our ids is believed (D6)."""

from __future__ import annotations

import asyncio

import pytest

from sync.memory import Fault, MemorySink
from sync.shipper import AnotherCluster, Repeated
from sync.values import Claim, Lane, Stream
from tests.support.ship import Ship, append, until

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
    assert anew.events.count(AnotherCluster("another")) == 1
    assert sum(event.records for event in anew.events if isinstance(event, Repeated)) == 10


async def rebuilt(sink):
    sink.fault = lambda _: None
    sink.rebuild("another")
    others = MemorySink()
    others.rebuild("another")
    await give_ids_to_others(others)
    sink._logs, sink._next_id = others._logs, others._next_id
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
