"""What the shipper says while a topic waits, and what it leaves behind; over the log and the broker in memory."""

from __future__ import annotations

import asyncio

from sync.shipper import Recovered, Waiting
from sync.values import NotReady, Refused
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
