"""What the shipper says while a topic waits, and what it leaves behind; over the log and the broker in memory."""

from __future__ import annotations

import asyncio

import pytest

from sync.kafka.errors.answers import outcome_of
from sync.shipper import DeadLettered, Recovered, Waiting
from sync.shipper.link import waits
from sync.shipper.link.batch_size import FIRST_BYTES
from sync.shipper.link.waits import Patience
from sync.values import BrokerUnreachable, Misconfigured, NotReady, Refused, Trouble, Unknown, Unreachable
from tests.support.ship import Ship, append, until


async def test_a_question_that_nobody_waits_for_any_more_does_not_go_on(monkeypatch):
    """Where one of two asked at once fails, the other is not left behind."""
    ship = Ship()
    asked, went_on = asyncio.Event(), []

    async def slow():
        asked.set()
        await asyncio.sleep(3_600)
        went_on.append(True)

    async def no_leader(_stream):
        raise NotReady("no leader")

    monkeypatch.setattr(ship.sink, "new_producer", slow)
    monkeypatch.setattr(ship.sink, "log_end", no_leader)
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.shipper.stats().last_error)
        assert asked.is_set()
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert sum(name in {"one", "other"} for name in names) <= 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_topic_that_waits_for_another_reason_than_was_said_says_so_once_more():
    ship = Ship()
    reasons = iter(["gone"] * 10 + ["smaller"] * 10)
    ship.sink.fault = lambda _: Refused(3, next(reasons, ""), permanent=False) if ship.sink.attempts <= 20 else None
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    assert [event.reason for event in ship.events if isinstance(event, Waiting)] == ["gone", "smaller"]
    assert isinstance(ship.events[-1], Recovered)


async def test_a_refused_codec_keeps_its_id_and_sequence_and_makes_no_dead_letter():
    """D2, D4; the wait says which setting, also in the figures."""
    ship = Ship()
    sent = []

    def refused(batch):
        sent.append((batch.claim, batch.first, batch.count))
        return outcome_of(76, -1) if len(sent) <= 10 else None

    ship.sink.fault = refused
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(lambda: ship.shipper.stats().waiting)
        assert ship.shipper.stats().waiting["sensor-data"].setting == "kafka.compression"
        assert "set kafka.compression" in ship.shipper.waits_for()
        await until(ship.stood(range(5)))
    assert len(set(sent)) == 1
    assert [event for event in ship.events if isinstance(event, DeadLettered)] == []
    assert ship.log.stats().dead_letters == 0
    assert [event.setting for event in ship.events if isinstance(event, Waiting)] == ["kafka.compression"]
    assert ship.shipper.stats().waiting == {}


AWAY = BrokerUnreachable("kafka:9092 announces broker 1 as 10.0.0.5:9092", "cure", "10.0.0.5:9092", others=True)


async def test_one_broker_that_cannot_be_reached_does_not_open_the_circuit_and_is_named(monkeypatch):
    monkeypatch.setattr(waits, "_AWAY_S", 0.05)
    ship = Ship()
    left = Unknown(AWAY.reason, left=False, broker=AWAY.broker, hint=AWAY.hint)
    ship.sink.fault = lambda _: left if ship.sink.attempts <= 20 else None
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    (waiting,) = [event for event in ship.events if isinstance(event, Waiting)]
    assert (waiting.topic, waiting.broker, waiting.hint) == ("sensor-data", "10.0.0.5:9092", "cure")
    assert {type(event) for event in ship.events} == {Waiting, Recovered}, "the link was never called down"


async def test_what_holds_up_everything_is_said_as_well(monkeypatch):
    monkeypatch.setattr(waits, "_AWAY_S", 0.05)
    ship, asked = Ship(), []

    async def before_first_send():
        asked.append(1)
        if len(asked) < 20:
            raise AWAY

    ship.shipper._before_first_send = before_first_send
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    told = [event for event in ship.events if isinstance(event, Waiting | Recovered)]
    assert [event.topic for event in told] == ["", ""]
    assert told[0].broker == "10.0.0.5:9092"


async def test_a_question_that_one_node_never_answers_is_said_though_the_circuit_opens_each_time(monkeypatch):
    """The link is up: the circuit is closed again before the next attempt."""
    ship, asked = Ship(), []
    answered = ship.sink.log_end

    async def log_end(stream):
        asked.append(1)
        if len(asked) < 20:
            raise Unreachable("kafka:9092: no progress for 30 s")
        return await answered(stream)

    monkeypatch.setattr(ship.sink, "log_end", log_end)
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    assert [event.reason for event in ship.events if isinstance(event, Waiting)] == [
        "kafka:9092: no progress for 30 s"
    ]


async def test_credentials_that_are_refused_are_a_fault_until_they_are_taken(monkeypatch):
    ship = Ship()
    taken = ship.sink.cluster_id

    async def refused(**_):
        raise Misconfigured("kafka:9092 refuses user 'gw'", "kafka.password_file", "cure", "kafka:9092")

    monkeypatch.setattr(ship.sink, "cluster_id", refused)
    with pytest.raises(Misconfigured):
        await ship.shipper.run()
    assert ship.shipper.stats().fault == Trouble(
        "kafka:9092 refuses user 'gw'", "cure", "kafka.password_file", "kafka:9092"
    )
    monkeypatch.setattr(ship.sink, "cluster_id", taken)
    async with ship.under_way():
        await until(lambda: ship.shipper.stats().fault is None)


async def test_a_batch_is_as_large_as_what_leaves_of_it(monkeypatch):
    """D14: in a codec that takes ten times the room, a tenth of the bytes of the log."""
    asked = []
    ship = Ship()
    monkeypatch.setattr(type(ship.sink), "expansion", 2.0)
    offer = ship.log.offer
    monkeypatch.setattr(ship.log, "offer", lambda claim, most: asked.append(most) or offer(claim, most))
    async with ship.under_way():
        await append(ship.log, range(5))
        await until(ship.stood(range(5)))
    assert asked[0] == FIRST_BYTES // 2


def test_what_only_a_setting_helps_is_tried_less_and_less_often():
    patience = Patience(0.1)
    for _ in range(100):
        pause_s = patience.failed(Trouble("codec", setting="kafka.compression"), 60.0)
    assert 30 <= pause_s <= 60
    patience.over()
    assert patience.failed(Trouble("codec"), 60.0) <= 0.1
