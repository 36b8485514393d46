"""A topic that is deleted and created again: what it had acknowledged is reported, and goes again (D15)."""

from __future__ import annotations

import pytest

from sync.memory import Fault
from sync.shipper import TopicLost
from sync.values import Lane
from tests.support.ship import Ship, append, until

TOPIC = "sensor-data"


def empty(ship):
    return lambda: not sum(ship.log.stats().depth.values())


def told(ship):
    return [event for event in ship.events if isinstance(event, TopicLost)]


async def shipped(ship, numbers):
    await append(ship.log, numbers)
    await until(lambda: set(numbers) <= set(ship.values()))
    await until(empty(ship))


@pytest.mark.parametrize("tells_ids", [True, False], ids=["ids", "no ids"])
@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
async def test_all_that_was_acknowledged_goes_again_marked_and_is_told(running, tells_ids):
    ship = Ship()
    ship.sink.tells_topic_ids = tells_ids
    async with ship.under_way():
        for start in range(0, 50, 10):
            await shipped(ship, range(start, start + 10))
        if running:
            ship.sink.create_again(TOPIC)
            await shipped(ship, range(50, 60))
            await until(lambda: told(ship))
            await until(empty(ship))
    if not running:
        ship.sink.create_again(TOPIC)
        ship = Ship(ship.log, ship.sink)
        async with ship.under_way():
            await shipped(ship, range(50, 60))
            await until(lambda: told(ship))
            await until(empty(ship))
    assert sorted(ship.values()) == list(range(60))
    assert sorted(ship.marked()) == list(range(50))
    (event,) = told(ship)
    assert (event.recalled.topic, event.recalled.records, event.recalled.not_held) == (TOPIC, 50, 0)
    stats = ship.shipper.stats()
    assert (stats.lost_upstream, stats.repeated[Lane.BACKFILL]) == ({TOPIC: 50}, 50)
    assert ship.log.stats().lost == {}


async def test_a_topic_that_others_have_filled_again_is_known_by_its_id():
    """No offset goes back: only the id tells."""
    ship = Ship()
    async with ship.under_way():
        await shipped(ship, range(10))
    ship.sink.create_again(TOPIC)
    other = Ship(sink=ship.sink)
    async with other.under_way():
        await shipped(other, range(1_000, 1_100))
    ship = Ship(ship.log, ship.sink)
    async with ship.under_way():
        await until(lambda: told(ship))
        await until(empty(ship))
    (event,) = told(ship)
    assert event.created_again
    assert sorted(number for number in ship.values() if number < 1_000) == list(range(10))


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.REQUEST_LOST])
async def test_a_batch_under_way_as_the_topic_goes_stands_there_once_or_marked(fault):
    ship = Ship()
    async with ship.under_way():
        await shipped(ship, range(10))
        ship.sink.fault = lambda _: fault
        await append(ship.log, range(10, 20))
        await until(lambda: ship.shipper.stats().retries)
        ship.sink.create_again(TOPIC)
        ship.sink.fault = lambda _: None
        await until(lambda: told(ship))
        await until(empty(ship))
    values, marked = ship.values(), set(ship.marked())
    assert set(values) == set(range(20))
    assert {number for number in values if values.count(number) > 1} <= marked
