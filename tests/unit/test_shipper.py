"""The shipper over the log and the broker in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from sync.memory import Fault, MemorySink
from sync.shipper import DeadLettered, LinkBack, LinkLost, Recovered, Shipper, Waiting
from sync.shipper.link.precedence import Precedence
from sync.values import Envelope, Lane, Misconfigured, NotReady, Refused
from tests.support.ship import FAST, Ship, append, record, until


async def test_what_was_there_and_what_comes_later_is_delivered_in_order_and_settled():
    ship = Ship()
    await append(ship.log, range(50))
    async with ship.under_way():
        for start in range(50, 100, 10):
            await append(ship.log, range(start, start + 10))
        await until(ship.stood(range(100)))
        await until(lambda: sum(ship.log.stats().depth.values()) == 0)
    assert sum(batch.count for batch in ship.delivered) == 100
    assert ship.shipper.stats().delivered[Lane.LIVE] == 100
    assert ship.shipper.waits_for() is None


async def test_each_lane_has_one_id_of_its_own_for_all_its_topics():
    """D9."""
    ship = Ship()
    async with ship.under_way():
        await append(ship.log, range(3))
        await append(ship.log, range(3), topic="camera-events")
        await append(ship.log, range(3), lane=Lane.ALERT, topic="farm-alerts")
        await until(lambda: len(ship.delivered) >= 3)
    ids = {batch.claim.stream.lane: set() for batch in ship.delivered}
    for batch in ship.delivered:
        ids[batch.claim.stream.lane].add(batch.claim.producer)
    assert all(len(of_lane) == 1 for of_lane in ids.values())
    assert ids[Lane.ALERT] != ids[Lane.LIVE]


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.ANSWER_LOST, Fault.NOT_CONNECTED])
async def test_no_fault_of_the_link_loses_or_doubles_a_record(fault):
    ship = Ship()
    ship.sink.fault = lambda _: fault if ship.sink.attempts % 2 else None
    async with ship.under_way():
        for start in range(0, 200, 5):
            await append(ship.log, range(start, start + 5))
            await asyncio.sleep(0)
        await until(lambda: len(ship.values()) >= 200)
    assert ship.values() == list(range(200))
    assert ship.shipper.stats().retries


async def test_while_the_link_is_down_nothing_is_sent_and_it_is_said_once():
    ship = Ship()
    ship.sink.reachable = False
    await append(ship.log, range(5))
    async with ship.under_way():
        await until(lambda: ship.events)
        attempts = ship.sink.attempts
        await append(ship.log, range(5, 10))
        await asyncio.sleep(0.1)
        assert ship.sink.attempts == attempts
        assert ship.shipper.waits_for() == "the link is down"
        assert ship.shipper.stats().circuit != "closed"
        ship.sink.reachable = True
        await until(ship.stood(range(10)))
    assert [type(event) for event in ship.events] == [LinkLost, LinkBack]


async def test_after_an_outage_what_is_old_goes_to_backfill_and_what_is_new_flows_beside_it():
    ship = Ship(settings=replace(FAST, backfill_after_s=0.2))
    ship.sink.reachable = False
    await append(ship.log, range(5))
    async with ship.under_way():
        await until(lambda: ship.events)
        await asyncio.sleep(0.3)
        await append(ship.log, range(5, 10))
        ship.sink.reachable = True
        await until(lambda: sorted(ship.values()) == list(range(10)))
    lanes = {batch.claim.stream.lane for batch in ship.delivered}
    assert lanes == {Lane.LIVE, Lane.BACKFILL}
    assert ship.shipper.stats().delivered[Lane.BACKFILL] == 5


async def test_a_poisoned_record_goes_to_the_dead_letters_and_all_others_arrive_in_order():
    ship = Ship()
    ship.sink.max_body_bytes = 20_000
    async with ship.under_way():
        await ship.log.append([record(number) for number in range(20)])
        poison = Envelope(Lane.LIVE, "sensor-data", b"k", incompressible(40_000), ())
        await ship.log.append([record(20), poison, record(21)])
        await append(ship.log, range(22, 30))
        await until(lambda: len(ship.values()) >= 30)
    assert ship.values() == list(range(30))
    letters = [event for event in ship.events if isinstance(event, DeadLettered)]
    assert len(letters) == 1
    assert letters[0].reason == "MessageTooLarge (10)"
    assert ship.shipper.stats().dead_letters == ship.log.stats().dead_letters == 1


def incompressible(size):
    import random  # noqa: PLC0415

    return random.Random(7).randbytes(size)


async def test_a_topic_that_is_not_there_is_waited_for_and_said_once():
    ship = Ship()
    ship.sink.missing_topics.add("sensor-data")
    await append(ship.log, range(5))
    async with ship.under_way():
        await append(ship.log, range(5), topic="camera-events")
        await until(ship.stood(range(5), "camera-events"))
        await until(lambda: ship.events)
        await asyncio.sleep(0.1)
        ship.sink.missing_topics.clear()
        await until(ship.stood(range(5)))
    assert [type(event) for event in ship.events] == [Waiting, Recovered]
    assert ship.events[0].topic == "sensor-data"


async def test_a_topic_that_is_there_again_is_said_so_though_nothing_is_pending_for_it():
    ship = Ship()
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    again = Ship(ship.log, ship.sink)
    log_end, gone = ship.sink.log_end, True

    async def asked(stream):
        if gone:
            raise NotReady("topic sensor-data: UnknownTopicOrPartition (3)")
        return await log_end(stream)

    ship.sink.log_end = asked
    async with again.under_way():
        await until(lambda: again.events)
        gone = False
        await until(lambda: len(again.events) == 2)
        assert again.shipper.waits_for() is None
    assert [type(event) for event in again.events] == [Waiting, Recovered]


AN_HOUR = 1_100
"""So many pauses are more than an hour of them."""
AT_ONCE = replace(FAST, backoff_first_s=1e-6, backoff_most_s=1e-6)


async def test_a_refusal_of_more_than_an_hour_holds_up_no_other_topic_and_is_tried_until_it_passes():
    ship = Ship(settings=AT_ONCE)
    refusals = []

    def refused(batch):
        if batch.claim.stream.topic == "sensor-data" and len(refusals) < AN_HOUR:
            refusals.append(batch)
            return Refused(29, "TopicAuthorizationFailed (29)", permanent=False)
        return None

    ship.sink.fault = refused
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
        await append(ship.log, range(5), topic="camera-events")
        await until(ship.stood(range(5), "camera-events"))
    assert len(refusals) == AN_HOUR


async def test_a_topic_that_is_not_there_for_more_than_an_hour_is_tried_until_it_is(monkeypatch):
    ship = Ship(settings=AT_ONCE)
    count, asked = ship.sink.partition_count, []

    async def partition_count(topic):
        asked.append(topic)
        if len(asked) <= AN_HOUR:
            raise NotReady(f"topic {topic}: UnknownTopicOrPartition (3)")
        return await count(topic)

    monkeypatch.setattr(ship.sink, "partition_count", partition_count)
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    assert len(asked) > AN_HOUR


async def test_a_refusal_that_may_pass_is_tried_again_until_it_passes():
    ship = Ship()
    ship.sink.fault = lambda _: Refused(29, "TopicAuthorizationFailed (29)", permanent=False)
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.events)
        ship.sink.fault = lambda _: None
        await until(ship.stood(range(5)))
        await until(lambda: len(ship.events) == 2)
    assert [type(event) for event in ship.events] == [Waiting, Recovered]


async def test_an_alert_passes_a_batch_of_the_backlog_and_no_other_begins_beside_it():
    ship = Ship()
    take = ship.sink.send
    answer = {lane: asyncio.Event() for lane in Lane}
    begun = dict.fromkeys(Lane, 0)

    async def held_back(batch):
        lane = batch.claim.stream.lane
        begun[lane] += 1
        await answer[lane].wait()
        return await take(batch)

    ship.sink.send = held_back
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: begun[Lane.LIVE] == 1)
        answer[Lane.ALERT].set()
        await append(ship.log, [0], lane=Lane.ALERT, topic="farm-alerts")
        await until(ship.stood([0], "farm-alerts"))
        answer[Lane.ALERT].clear()
        await append(ship.log, [1], lane=Lane.ALERT, topic="farm-alerts")
        await until(lambda: begun[Lane.ALERT] == 2)
        await append(ship.log, range(5, 10))
        answer[Lane.LIVE].set()
        await until(ship.stood(range(5)))
        await asyncio.sleep(0.05)
        assert begun[Lane.LIVE] == 1
        answer[Lane.ALERT].set()
        await until(ship.stood([0, 1], "farm-alerts"))
        await until(ship.stood(range(10)))


async def test_the_orderly_stop_waits_for_the_batch_in_flight_and_settles_it():
    ship = Ship()
    take = ship.sink.send
    leaving = asyncio.Event()

    async def slow(batch):
        leaving.set()
        await asyncio.sleep(0.1)
        return await take(batch)

    ship.sink.send = slow
    async with ship.under_way():
        await append(ship.log, range(5))
        await asyncio.wait_for(leaving.wait(), 10)
    assert ship.values() == list(range(5))
    await asyncio.sleep(0)
    assert await ship.log.unsettled() == []


async def test_a_batch_that_the_stop_cut_short_goes_again_in_the_next_run_under_its_own_id():
    """D9: what an earlier run leased keeps its id and goes first."""
    ship = Ship(settings=replace(FAST, stop_s=0.01))
    take = ship.sink.send
    attempts = []

    async def taken_but_never_answered(batch):
        attempts.append(batch)
        await take(batch)
        await asyncio.Event().wait()

    ship.sink.send = taken_but_never_answered
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: attempts)
    ship.sink.send = take
    again = Ship(ship.log, ship.sink)
    async with again.under_way():
        await append(ship.log, range(5, 10))
        await until(lambda: len(again.delivered) == 2)
    assert ship.values() == list(range(10))
    first, second = again.delivered
    assert first.claim == attempts[0].claim
    assert second.claim.producer != first.claim.producer


async def test_a_shipper_run_again_goes_on_where_it_was():
    ship = Ship()
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    await append(ship.log, range(5, 10))
    async with ship.under_way():
        await append(ship.log, range(10, 15))
        await until(ship.stood(range(15)))
    assert len({batch.claim.producer for batch in ship.delivered}) == 1


async def test_a_broker_without_idempotence_ends_the_run_as_misconfigured_and_nothing_is_lost():
    ship = Ship()

    async def none():
        raise Misconfigured("the broker does not support idempotent producers", "kafka.delivery")

    ship.sink.new_producer, given = none, ship.sink.new_producer
    await append(ship.log, range(5))
    with pytest.raises(Misconfigured):
        await asyncio.wait_for(ship.shipper.run(), 20)
    assert ship.log.stats().depth[Lane.LIVE] == 5
    ship.sink.new_producer = given
    async with ship.under_way():
        await until(ship.stood(range(5)))


async def test_at_least_once_sends_without_ids():
    """D13."""
    ship = Ship(sink=MemorySink(idempotent=False))
    ship.sink.fault = lambda _: Fault.ANSWER_LOST if ship.sink.attempts == 1 else None
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.delivered)
        await append(ship.log, range(5, 10))
        await until(lambda: len(ship.delivered) == 2)
    assert ship.values() == [*range(5), *range(10)], "an unanswered batch goes again, and this broker cannot tell"
    assert {batch.claim.producer.id for batch in ship.delivered} == {-1}


@pytest.mark.parametrize("backlog", [10, 40_000])
async def test_a_fresh_record_needs_the_same_few_questions_however_deep_the_backlog(backlog):
    ship = Ship(settings=replace(FAST, backfill_after_s=0.2))
    ship.sink.reachable = False
    await append(ship.log, range(backlog))
    asked = []

    def counted(name, ask):
        def noted(*arguments):
            if ship.sink.reachable:
                asked.append((name, *arguments))
            return ask(*arguments)

        return noted

    for name in ("new_producer", "log_end", "send"):
        setattr(ship.sink, name, counted(name, getattr(ship.sink, name)))
    fresh = asyncio.Event()
    ship.shipper.on_delivered = lambda batch: batch.last > backlog and fresh.set()
    async with ship.under_way():
        await until(lambda: ship.events)
        await asyncio.sleep(0.3)
        ship.sink.reachable = True
        await until(lambda: isinstance(ship.events[-1], LinkBack))
        await append(ship.log, [backlog])
        await asyncio.wait_for(fresh.wait(), 20)
    of_live = [ask for ask in asked if ask[0] != "send" or ask[1].claim.stream.lane is Lane.LIVE]
    assert len(of_live) <= 6


async def test_what_must_be_known_before_the_first_send_is_asked_again_within_a_second(monkeypatch):
    ship = Ship()
    asked = []
    pauses = []

    def drawn(shortest, longest):
        pauses.append((shortest, longest))
        return 0.0

    async def refused():
        asked.append(len(ship.values()))
        if len(asked) <= 8:
            raise NotReady("the topic has no leader")

    monkeypatch.setattr("sync.backoff.random.uniform", drawn)
    ship.shipper = Shipper(ship.log, ship.sink, before_first_send=refused)
    await append(ship.log, range(5))
    async with ship.under_way():
        await until(ship.stood(range(5)))
    assert asked == [0] * 9, "nothing leaves before"
    longest = [most for _, most in pauses[:8]]
    assert sum(longest[:3]) < 1.0
    assert longest == sorted(longest)
    assert max(longest) <= 1.0
    assert all(least > 0 for least, _ in pauses[:8]), "a cluster is not asked without a pause"


async def test_a_stop_that_also_ends_the_alert_that_others_wait_for_ends_them_too():
    precedence = Precedence()
    await precedence.enter(Lane.ALERT)
    other = asyncio.create_task(precedence.enter(Lane.LIVE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    precedence.leave(Lane.ALERT)
    other.cancel()
    await asyncio.wait([other])
    assert other.cancelled()
