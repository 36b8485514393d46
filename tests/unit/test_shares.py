"""Who goes first on a link that is behind: `backfill`, `bulk`, a returning fleet (W4, W5)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from sync.shipper.link.meter import Meter
from sync.shipper.link.shares import Shares
from sync.values import Lane, Pending


def pending(lane, age_s=0.0, records=1):
    return Pending(
        lane, "sensor-data", 0, records, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(age_s * 1e9), unsettled=True
    )


class Gate:
    """Shares over figures that the test sets."""

    def __init__(self, share=0.25, spread_s=0.0):
        self.moved, self.streams = Counter(), []
        self.shares = Shares(Meter(lambda: dict(self.moved)), lambda: self.streams, share, spread_s)

    async def open_for(self, lane):
        try:
            await asyncio.wait_for(self.shares.wait(lane), 0.02)
        except TimeoutError:
            return False
        return True


async def test_w4_backfill_has_its_share_and_no_more_while_live_flows_and_is_behind():
    gate = Gate(share=0.25)
    gate.streams = [pending(Lane.LIVE, age_s=60), pending(Lane.BACKFILL, age_s=600)]
    carried = Counter()
    for _ in range(400):
        gate.moved[Lane.LIVE] += 1_000
        carried[Lane.LIVE] += 1_000
        if gate.shares._hold(Lane.BACKFILL) is None:
            gate.moved[Lane.BACKFILL] += 1_000
            carried[Lane.BACKFILL] += 1_000
    assert 0.2 < carried[Lane.BACKFILL] / carried.total() < 0.3


async def test_w4_backfill_is_free_where_live_keeps_up_or_does_not_flow():
    gate = Gate(share=0.0)
    gate.moved.update({Lane.LIVE: 1_000, Lane.BACKFILL: 1_000_000})
    gate.streams = [pending(Lane.LIVE, age_s=1)]
    assert await gate.open_for(Lane.BACKFILL)
    gate.streams = [pending(Lane.LIVE, age_s=60)]
    assert await gate.open_for(Lane.BACKFILL), "it just flowed, and begins to count now"
    gate.moved.update({Lane.LIVE: 1_000, Lane.BACKFILL: 1_000})
    assert not await gate.open_for(Lane.BACKFILL)
    gate.shares._flow[Lane.LIVE] = (gate.moved[Lane.LIVE], 0.0)
    assert await gate.open_for(Lane.BACKFILL), "a topic that is missing holds up live, not the link"


async def test_w4_bulk_is_last():
    gate = Gate()
    for lane in (Lane.LIVE, Lane.BACKFILL):
        gate.streams = [pending(lane, age_s=60)]
        gate.moved[lane] += 1_000
        assert not await gate.open_for(Lane.BULK)
    gate.streams = [pending(Lane.LIVE), pending(Lane.BACKFILL)]
    assert await gate.open_for(Lane.BULK)


async def test_w5_after_an_outage_backfill_begins_once_live_has():
    gate = Gate()
    gate.streams = [pending(Lane.LIVE), pending(Lane.BACKFILL, age_s=600)]
    gate.shares.link_back(300.0)
    assert not await gate.open_for(Lane.BACKFILL)
    assert await gate.open_for(Lane.LIVE)
    gate.moved[Lane.LIVE] += 500
    assert await gate.open_for(Lane.BACKFILL)
    gate.shares.link_back(300.0)
    gate.streams = [pending(Lane.BACKFILL, age_s=600)]
    assert await gate.open_for(Lane.BACKFILL), "there is nothing fresh to wait for"


async def test_w5_after_an_outage_the_backlog_of_a_fleet_is_spread_and_what_is_fresh_is_not(monkeypatch):
    drawn = []
    monkeypatch.setattr("random.uniform", lambda low, high: drawn.append((low, high)) or high)
    gate = Gate(spread_s=60.0)
    gate.shares.link_back(300.0)
    assert not await gate.open_for(Lane.BACKFILL)
    assert not await gate.open_for(Lane.BULK)
    assert await gate.open_for(Lane.LIVE)
    assert await gate.open_for(Lane.ALERT)
    gate.shares.link_back(86_400.0)
    assert drawn == [(0.0, 30.0), (0.0, 60.0)], "a tenth of the outage, and bounded"
