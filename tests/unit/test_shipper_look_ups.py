"""D4, D6 and D7 over the log and the broker in memory: what may have been taken is looked up before it goes again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sync.log import MemoryLog
from sync.memory import Fault, MemorySink
from sync.shipper import DeadLettered, Recovered, Repeated, Waiting
from sync.values import Lane, Producer, Refused
from tests.support.batches import batch_of
from tests.support.log import SetClock
from tests.support.ship import FAST, Ship, append, until
from tests.support.sinks import accepted

TOO_LARGE = Refused(10, "MessageTooLarge (10)", permanent=True)


async def broken_off(fault, clock=None):
    """A log with records 0 to 9 delivered and a batch of 10 to 14 that met a fault before the run ended."""
    ship = Ship(log=MemoryLog(clock=clock), settings=replace(FAST, stop_s=0.01))
    async with ship.under_way():
        for start in (0, 5):
            await append(ship.log, range(start, start + 5))
            await until(ship.stood(range(start + 5)))
        take, attempted = ship.sink.send, asyncio.Event()

        async def unanswered(batch):
            ship.sink.fault = lambda _: fault
            await take(batch)
            attempted.set()
            await asyncio.Event().wait()

        ship.sink.send = unanswered
        await append(ship.log, range(10, 15))
        await asyncio.wait_for(attempted.wait(), 20)
    ship.sink.send, ship.sink.fault = take, lambda _: None
    (left,) = await ship.log.unsettled()
    again = Ship(ship.log, ship.sink)
    await append(ship.log, range(15, 20))
    return again, left


async def delivered(ship, marked=()):
    """Run until all is settled; nothing lost, doubled or reordered, and nothing marked but what must be."""
    async with ship.under_way():
        await until(lambda: ship.values()[-1:] == [19] and not ship.log.stats().depth[Lane.LIVE])
    assert ship.marked() == list(marked)
    assert ship.shipper.stats().repeated[Lane.LIVE] == len(marked)


async def test_what_was_taken_before_the_run_ended_is_settled_and_not_sent_again():
    """D6."""
    ship, _ = await broken_off(Fault.ANSWER_LOST)
    attempts = ship.sink.attempts
    await delivered(ship)
    assert ship.values() == list(range(20))
    assert ship.sink.attempts == attempts + 1
    stats = ship.shipper.stats()
    assert (stats.looked_up[Lane.LIVE], stats.read_back[Lane.LIVE]) == (1, 0)
    assert ship.events == []


async def test_what_was_not_taken_goes_again_under_its_own_id_and_sequence():
    """D6."""
    ship, left = await broken_off(Fault.REQUEST_LOST)
    await delivered(ship)
    assert ship.values() == list(range(20))
    assert (ship.delivered[0].claim, ship.delivered[0].count) == (left.claim, 5)
    assert ship.delivered[1].claim.producer != left.claim.producer


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.REQUEST_LOST])
async def test_of_a_forgotten_id_the_records_are_read_back(fault):
    ship, left = await broken_off(fault)
    ship.sink.forget(left.claim.producer)
    await delivered(ship)
    assert ship.values() == list(range(20))
    assert ship.shipper.stats().read_back[Lane.LIVE] == 1


@pytest.mark.parametrize("fault", [Fault.ANSWER_LOST, Fault.REQUEST_LOST])
async def test_where_the_partition_no_longer_reaches_so_far_back_it_goes_marked_counted_and_told(fault):
    ship, left = await broken_off(fault)
    ship.sink.forget(left.claim.producer)
    others = batch_of([b"0"], topic="sensor-data", producer=Producer(10**6, 0), base_sequence=0)
    await accepted(ship.sink, others)
    ship.sink.move_start("sensor-data", await ship.sink.log_end(left.claim.stream))
    await delivered(ship, marked=range(10, 15))
    assert ship.values() == [*range(10, 20)], "what stood there has aged out"
    (event,) = ship.events
    assert isinstance(event, Repeated)
    assert (event.records, event.stream) == (5, left.claim.stream)
    assert len({left.claim.producer, *(batch.claim.producer for batch in ship.delivered)}) == 2


@pytest.mark.parametrize(("within", "synced", "marked"), [(0.9, True, 0), (1.1, True, 5), (0.1, False, 5)])
async def test_without_the_right_to_read_it_goes_unmarked_only_while_its_id_is_certainly_remembered(
    within, synced, marked
):
    """D5, D6: what an untrusted clock leased may have left without a time, and its id be forgotten at once."""
    clock = SetClock(synced=synced)
    clock.ahead_ms = -int(within * 1_800_000)
    ship, _ = await broken_off(Fault.ANSWER_LOST, clock)
    ship.sink.may_read = False
    ship.sink.expiration_s = 3_600.0
    await delivered(ship, marked=range(10, 10 + marked))
    assert ship.values() == [*range(15), *range(10, 10 + marked), *range(15, 20)]


async def test_what_a_broker_lost_goes_again_marked_with_what_history_holds_of_it():
    """D7."""
    ship = Ship()
    async with ship.under_way():
        for start in range(0, 10, 2):
            await append(ship.log, range(start, start + 2))
            await until(ship.stood(range(start + 2)))
        ship.sink.lose_tail("sensor-data", batches=3)
        await append(ship.log, range(10, 20))
        await until(ship.stood(range(20)))
        await until(lambda: not ship.log.stats().depth[Lane.LIVE])
    assert ship.marked() == list(range(4, 20))
    assert ship.shipper.stats().repeated[Lane.LIVE] == 16
    assert len([event for event in ship.events if isinstance(event, Repeated)]) == 1
    assert ship.log.stats().lost == {}


@pytest.mark.parametrize(("fault", "lost"), [(Fault.REQUEST_LOST, 1), (Fault.ANSWER_LOST, 2)])
async def test_a_loss_that_only_a_look_up_shows_is_made_good_as_well(fault, lost):
    ship, _ = await broken_off(fault)
    ship.sink.lose_tail("sensor-data", batches=lost)
    await delivered(ship, marked=range(5, 15))
    assert ship.values() == list(range(20))


async def test_where_the_partition_ends_before_the_lease_absence_proves_nothing():
    ship, _ = await broken_off(Fault.REQUEST_LOST)
    ship.sink.lose_tail("sensor-data", batches=2)
    async with ship.under_way():
        await until(lambda: set(ship.values()) == set(range(20)) and not sum(ship.log.stats().depth.values()))
    # What it goes to stands lower than what was acknowledged before: that is lost, too, and goes again (D15).
    assert (sorted(ship.values()), sorted(ship.marked())) == (list(range(20)), list(range(15)))


async def test_a_refusal_after_no_answer_cuts_nothing_that_was_taken():
    ship = Ship()
    seen = []

    def fault(batch):
        seen.append(batch)
        return {1: Fault.ANSWER_LOST, 2: TOO_LARGE}.get(len(seen))

    ship.sink.fault = fault
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.delivered)
        await append(ship.log, range(5, 10))
        await until(ship.stood(range(10)))
    assert ship.log.stats().dead_letters == 0
    assert ship.shipper.stats().looked_up[Lane.LIVE] == 1


async def test_a_refusal_after_no_answer_cuts_what_was_not_taken():
    ship = Ship()
    seen = []

    def fault(batch):
        seen.append(batch)
        return Fault.REQUEST_LOST if len(seen) == 1 else TOO_LARGE if batch.count > 2 else None

    ship.sink.fault = fault
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    assert ship.marked() == []
    assert not [event for event in ship.events if isinstance(event, DeadLettered)]


async def test_what_has_had_no_answer_for_long_is_looked_up_between_attempts():
    """D6."""
    ship = Ship(settings=replace(FAST, look_up_after_s=0.0))
    ship.sink.fault = lambda _: Fault.ANSWER_LOST
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.delivered)
    assert ship.sink.attempts == 1
    assert ship.values() == list(range(5))


async def test_where_brokers_forget_soon_it_is_looked_up_as_soon():
    ship = Ship()
    ship.sink.fault = lambda _: Fault.ANSWER_LOST
    ship.sink.expiration_s = 0.0
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.delivered)
    assert ship.sink.attempts == 1
    assert ship.values() == list(range(5))


@pytest.mark.parametrize(("lost", "attempts"), [(Fault.ANSWER_LOST, 1), (Fault.REQUEST_LOST, 2)])
async def test_what_went_without_a_time_is_looked_up_at_once(lost, attempts):
    """F4: on a topic with CreateTime the broker may forget it at any moment."""
    ship = Ship()
    ship.sink.has_time = False
    ship.sink.fault = lambda _: lost if ship.sink.attempts == 1 else None
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.delivered)
    assert ship.sink.attempts == attempts
    assert ship.shipper.stats().looked_up[Lane.LIVE] == 1
    assert ship.values() == list(range(5))


async def test_who_may_not_read_sends_what_went_without_a_time_again_marked():
    """D6: the broker may have forgotten its id by now, so that it would take the batch twice."""
    ship = Ship()
    ship.sink.has_time = ship.sink.may_read = False
    ship.sink.fault = lambda _: Fault.ANSWER_LOST if ship.sink.attempts == 1 else None
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.delivered)
    assert (ship.values(), ship.marked()) == ([*range(5), *range(5)], list(range(5)))


async def test_a_look_up_that_is_not_answered_waits_says_so_once_and_holds_up_no_other_stream():
    ship, _ = await broken_off(Fault.ANSWER_LOST)
    look_up, asked = ship.sink.look_up, []

    async def counted(batch):
        asked.append(batch)
        return await look_up(batch)

    ship.sink.look_up = counted
    ship.sink.replicated = False
    async with ship.under_way():
        await append(ship.log, range(5), topic="camera-events")
        await append(ship.log, range(5), lane=Lane.ALERT, topic="farm-alerts")
        await until(ship.stood(range(5), "camera-events"))
        await until(ship.stood(range(5), "farm-alerts"))
        await until(lambda: ship.events)
        assert len(asked) > 1
        ship.sink.replicated = True
        await until(ship.stood(range(20)))
        await until(lambda: len(ship.events) == 2)
    assert [type(event) for event in ship.events] == [Waiting, Recovered]
    assert "high watermark" in ship.events[0].reason


async def test_while_the_link_is_down_a_look_up_waits_for_it():
    ship, _ = await broken_off(Fault.ANSWER_LOST)
    ship.sink.reachable = False
    async with ship.under_way():
        await until(lambda: ship.shipper.waits_for() == "the link is down")
        await asyncio.sleep(0.05)
        ship.sink.reachable = True
        await until(ship.stood(range(20)))
    assert ship.shipper.stats().looked_up[Lane.LIVE] == 1


@pytest.mark.parametrize("phase", ["look_up", "read_back", "again"])
async def test_a_run_that_ends_in_the_middle_goes_on_where_it_was(phase):
    ship, left = await broken_off(Fault.ANSWER_LOST)
    ship.sink.forget(left.claim.producer)
    if phase == "again":
        ship.sink.move_start("sensor-data", await ship.sink.log_end(left.claim.stream))
    where = ship.log if phase == "again" else ship.sink
    ask, asked, go_on = getattr(where, phase), asyncio.Event(), asyncio.Event()

    async def slow(*arguments):
        asked.set()
        await go_on.wait()
        return await ask(*arguments)

    setattr(where, phase, slow)
    async with ship.under_way():
        await asyncio.wait_for(asked.wait(), 20)
    go_on.set()
    await delivered(ship, marked=range(10, 15) if phase == "again" else ())
    assert ship.values()[-10:] == list(range(10, 20))


async def test_without_ids_nothing_is_looked_up():
    ship = Ship(sink=MemorySink(idempotent=False))
    ship.sink.fault = lambda _: Fault.REQUEST_LOST if ship.sink.attempts == 1 else None
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    assert ship.shipper.stats().looked_up[Lane.LIVE] == 0
