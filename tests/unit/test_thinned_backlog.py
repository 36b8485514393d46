"""A backlog that no day's budget would carry, thinned by the log itself at the shipper's word."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from agent.events import Minutes
from sync.log import LogSettings, MemoryLog, SqliteLog
from sync.memory import MemorySink
from sync.shipper import Shipper, ShipperSettings
from sync.shipper.link.budget import Budget, LaneLimit
from sync.shipper.link.meter import Meter
from sync.values import Lane, Stream
from tests.support.days import Centre, MovedClock, live_through
from tests.support.log import claim, running, until

if TYPE_CHECKING:
    from pathlib import Path

    from sync.shipper.sending.thinning import Thinning

DELIVERED, BODIES, ON_THE_WIRE = 100_000, 500_000, 600_000


def thinning(log: MemoryLog | SqliteLog, budget: Budget) -> Thinning:
    """Of a shipper that has delivered before: five bytes of body a record, a fifth more on the wire."""
    meter = Meter(lambda: {Lane.LIVE: ON_THE_WIRE})
    shipper = Shipper(log, MemorySink(), ShipperSettings(budget=budget), meter=meter)
    meter.look()
    shipper.thinning._tally.delivered[Lane.LIVE] = DELIVERED
    shipper.thinning._tally.body_bytes[Lane.LIVE] = BODIES
    return shipper.thinning


@pytest.mark.parametrize("kind", [MemoryLog, SqliteLog])
async def test_a_real_backlog_is_thinned_to_what_a_day_carries_and_every_number_is_accounted_for(
    tmp_path: Path, kind: type[MemoryLog | SqliteLog]
) -> None:
    clock = MovedClock()
    log = kind(LogSettings(tmp_path / "log.sqlite", "gw-1", "site-a", commit_interval_s=0.0, fold=Minutes()), clock)
    async with running(log) if isinstance(log, SqliteLog) else nullcontext():
        alerts = await live_through(log, clock, days=0.04, every_s=60, per_commit=100)
        await log.hand_to_backfill(0)
        backlog = log.stats().depth[Lane.BACKFILL]
        fresh = log.stats().depth[Lane.LIVE]  # what was taken in the very millisecond of the hand-over
        a_day = backlog * BODIES // DELIVERED // 4
        found = thinning(log, Budget(backfill=LaneLimit(bytes_per_day=a_day)))
        gone = await asyncio.wait_for(found.look(), 60)
        assert backlog / 3 < gone <= backlog
        centre = Centre(log.stats().log_id)
        for _ in range(3):
            for pending in log.streams():
                stream = Stream(pending.lane, pending.topic, await log.assign_partition(pending.topic, 1))
                while (batch := await log.lease(claim(stream, log.stats().next_seq, 99), 1 << 20)) is not None:
                    centre.take(batch)
                    log.settle(batch, 0)
            clock.at = clock.at.replace(year=clock.at.year + 1)  # what goes while it is told is told in its turn
            await log.cursor("nothing")
        await until(lambda: not log._figures.trim_more)
        assert sum(minute["count"] for minute in centre.minutes) == gone
        assert len(centre.readings) == backlog + fresh - gone
        assert len(centre.alerts) == alerts
        assert centre.unexplained(log.stats().next_seq - 1) == []


async def test_a_backlog_that_a_day_carries_stays_whole(tmp_path: Path) -> None:
    clock = MovedClock()
    log = MemoryLog(LogSettings(tmp_path / "log.sqlite", "gw-1", "site-a", fold=Minutes()), clock)
    await live_through(log, clock, days=0.01, every_s=60, per_commit=200)
    await log.hand_to_backfill(0)
    assert await thinning(log, Budget(backfill=LaneLimit(bytes_per_day=10**9))).look() == 0
    assert log.stats().lost == {}
