"""Two questions at once: both answers, or the first failure, and nothing that goes on."""

from __future__ import annotations

import asyncio

import pytest

from sync.side_by_side import both
from sync.values import NotReady


async def value(answer):
    await asyncio.sleep(0)
    return answer


async def fails(gate=None):
    if gate is not None:
        await gate.wait()
    raise NotReady("no leader")


def left():
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_both_answers_come_in_their_order():
    assert await both(value(1), value(2)) == (1, 2)


async def test_the_first_that_fails_ends_the_other():
    with pytest.raises(NotReady):
        await both(asyncio.sleep(3_600), fails())
    assert not left()


@pytest.mark.parametrize("failing_first", [False, True])
async def test_a_cancellation_in_the_moment_of_a_failure_is_not_forgotten(failing_first):
    gate = asyncio.Event()
    asked = asyncio.create_task(both(fails(gate), asyncio.sleep(3_600)))
    await asyncio.sleep(0.01)
    steps = [gate.set, asked.cancel] if failing_first else [asked.cancel, gate.set]
    for step in steps:
        step()
    await asyncio.wait({asked})
    assert asked.cancelled()
    assert not left()
