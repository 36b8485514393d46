"""A metered link: the shipper within a budget (W1 to W3 of sync/shipper/link/shares.py), its day over kills."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace

import pytest

from sync.log import MemoryLog
from sync.memory import MemorySink
from sync.shipper import Shipper, ShipperSettings
from sync.shipper.link.budget import DAY_S, Budget, LaneLimit
from sync.shipper.link.meter import CONTROL, Meter
from sync.values import Envelope, Lane

FAST = ShipperSettings(retry_s=(0.01, 0.02), backoff_first_s=0.005, backoff_most_s=0.02, stop_s=1.0)
ENVELOPE = 300


async def until(condition, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Clock:
    """Both clocks of a gateway, as the test sets them."""

    def __init__(self):
        self.wall_s = 20_000 * DAY_S + 43_200.0
        self.mono_s = 1_000.0

    def passes(self, seconds):
        self.wall_s += seconds
        self.mono_s += seconds


class Ship:
    """A shipper on a metered link: what it sends is counted as its bytes and an envelope."""

    def __init__(self, budget, log=None):
        self.log, self.sink, self.clock = log or MemoryLog(), MemorySink(), Clock()
        self.moved = Counter()
        take = self.sink.send

        async def counted(batch):
            self.moved[batch.claim.stream.lane] += len(batch.body) + ENVELOPE
            return await take(batch)

        self.sink.send = counted
        self.meter = Meter(lambda: dict(self.moved), lambda: self.clock.wall_s, lambda: self.clock.mono_s)
        self.shipper = Shipper(self.log, self.sink, replace(FAST, budget=budget), meter=self.meter)

    @contextlib.asynccontextmanager
    async def under_way(self):
        await self.meter.turn(self.log)
        task = asyncio.create_task(self.shipper.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            await self.meter.keep(self.log)

    async def append(self, lane, topic, size=2_000):
        import random  # noqa: PLC0415

        await self.log.append([Envelope(lane, topic, b"k", random.Random(self.moved.total()).randbytes(size), ())])

    def depth(self, lane):
        return self.log.stats().depth[lane]


async def test_w2_once_the_budget_is_used_up_only_alarms_go_and_all_else_waits_for_the_next_day():
    ship = Ship(Budget(bytes_per_day=30_000, alert_reserve_bytes=5_000))
    async with ship.under_way():
        await ship.append(Lane.LIVE, "sensor-data")
        while not ship.shipper.stats().holds:
            await ship.append(Lane.LIVE, "sensor-data")
            await asyncio.sleep(0.005)
        for _ in range(5):
            await ship.append(Lane.LIVE, "sensor-data")
        assert 25_000 <= ship.moved[Lane.LIVE] < 25_000 + 2_000 + 2 * ENVELOPE + 200
        assert "budget is used up" in ship.shipper.stats().holds[Lane.LIVE]
        assert not any(stream.unsettled for stream in ship.log.streams()), "what waits for a day is not leased"
        await ship.append(Lane.ALERT, "farm-alerts", size=20)
        await until(lambda: ship.shipper.stats().delivered[Lane.ALERT] == 1)
        assert ship.depth(Lane.LIVE) >= 5
        assert "budget is used up" in ship.shipper.waits_for()
        ship.clock.passes(DAY_S / 2)
        await until(lambda: ship.depth(Lane.LIVE) == 0)
        assert ship.shipper.waits_for() is None


async def test_a_lane_that_stood_ready_waits_too_once_another_has_used_up_the_budget():
    ship = Ship(Budget(bytes_per_day=10_000))
    async with ship.under_way():
        await ship.append(Lane.LIVE, "sensor-data", size=50)
        await until(lambda: ship.shipper.stats().delivered[Lane.LIVE] == 1)
        await ship.append(Lane.BULK, "pictures", size=12_000)
        await until(lambda: ship.shipper.stats().delivered[Lane.BULK] == 1)
        await ship.append(Lane.LIVE, "sensor-data", size=50)
        await until(lambda: Lane.LIVE in ship.shipper.stats().holds)
        assert ship.shipper.stats().delivered[Lane.LIVE] == 1


async def test_w1_alarms_go_past_the_reserve_too():
    ship = Ship(Budget(bytes_per_day=1_000, alert_reserve_bytes=500))
    async with ship.under_way():
        for _ in range(5):
            await ship.append(Lane.ALERT, "farm-alerts")
            await until(lambda: ship.depth(Lane.ALERT) == 0)
    assert ship.meter.stats().left < 0


async def test_w2_a_lane_whose_own_budget_is_used_up_waits_alone():
    ship = Ship(Budget(bulk=LaneLimit(bytes_per_day=3_000)))
    async with ship.under_way():
        while Lane.BULK not in ship.shipper.stats().holds:
            await ship.append(Lane.BULK, "pictures")
            await asyncio.sleep(0.005)
        await ship.append(Lane.BULK, "pictures")
        await ship.append(Lane.LIVE, "sensor-data")
        await until(lambda: ship.depth(Lane.LIVE) == 0)
        assert "lane's budget" in ship.shipper.stats().holds[Lane.BULK]
        assert ship.depth(Lane.BULK) >= 1


async def test_w3_a_lane_with_a_rate_sends_fewer_and_larger_batches_and_the_same_records():
    batches = {}
    for rate in (None, 20_000.0):
        ship = Ship(Budget(live=LaneLimit(bytes_per_s=rate)))
        async with ship.under_way():
            for _ in range(150):
                await ship.append(Lane.LIVE, "sensor-data", size=300)
                await asyncio.sleep(0.004)
            await until(lambda ship=ship: ship.depth(Lane.LIVE) == 0)
        assert len(ship.sink.records("sensor-data")) == 150
        batches[rate] = ship.shipper.stats().batches[Lane.LIVE]
    assert batches[20_000.0] < batches[None] / 2


async def test_the_return_of_the_link_draws_the_moment_for_the_backlog(monkeypatch):
    ship, told = Ship(Budget()), []
    monkeypatch.setattr(ship.shipper.shares, "link_back", told.append)
    async with ship.under_way():
        await until(lambda: told)
        ship.sink.reachable = False
        await ship.append(Lane.LIVE, "sensor-data")
        await until(lambda: ship.shipper.stats().circuit != "closed")
        await asyncio.sleep(0.1)
        ship.sink.reachable = True
        await until(lambda: ship.depth(Lane.LIVE) == 0)
    assert len(told) == 2
    assert told[1] >= 0.05


class Gateway:
    """One box with a log that stays, and a meter for each start."""

    def __init__(self, budget=10_000_000):
        self.log, self.clock, self.budget = MemoryLog(), Clock(), Budget(bytes_per_day=budget)
        self.writes = 0
        put = self.log.set_cursor

        def counted(name, value):
            self.writes += name == f"moved:{CONTROL}"
            return put(name, value)

        self.log.set_cursor = counted

    async def start(self):
        self.moved = Counter()
        self.meter = Meter(lambda: dict(self.moved), lambda: self.clock.wall_s, lambda: self.clock.mono_s)
        self.meter.budget = self.budget
        await self.meter.turn(self.log)
        return self.meter

    async def passes(self, seconds, bytes_per_s):
        for _ in range(int(seconds)):
            self.clock.passes(1)
            self.moved[Lane.LIVE] += bytes_per_s
            await self.meter.turn(self.log)


async def test_the_count_survives_an_orderly_restart_exactly():
    box = Gateway()
    meter = await box.start()
    await box.passes(100, 777)
    await meter.keep(box.log)
    assert (await box.start()).stats().today[Lane.LIVE] == 77_700
    assert box.meter.stats().left == 10_000_000 - 77_700


async def test_what_moved_before_the_count_was_read_is_counted_too():
    box = Gateway()
    meter = await box.start()
    await box.passes(100, 777)
    await meter.keep(box.log)
    meter = Meter(lambda: {Lane.LIVE: 300}, lambda: box.clock.wall_s, lambda: box.clock.mono_s)
    meter.budget = box.budget
    await meter.turn(box.log)
    assert meter.stats().today[Lane.LIVE] == 78_000


async def test_a_kill_gives_no_budget_back_and_takes_little():
    box = Gateway()
    await box.start()
    await box.passes(1_000, 500)
    left = (await box.start()).stats().left
    assert 10_000_000 * 0.97 - 500_000 < left <= 10_000_000 - 500_000


async def test_what_an_idle_day_takes_is_said_after_an_hour_with_a_broker_and_counts_no_try_without_one():
    moved, clock, linked = Counter(), Clock(), False
    meter = Meter(lambda: dict(moved), lambda: clock.wall_s, lambda: clock.mono_s, lambda: linked)

    def passes(seconds, bytes_per_s):
        for _ in range(seconds):
            clock.passes(1)
            moved[CONTROL] += bytes_per_s
            meter.look()

    passes(7_200, 512)  # nobody answers: each try counts as a fixed sum
    assert meter.stats().idle_bytes_per_day is None
    assert meter.stats().idle_missing == "measured for 0 of 60 min so far"
    linked = True
    passes(300, 100)  # what a start asks
    passes(1_800, 2)
    assert meter.stats().idle_missing == "measured for 30 of 60 min so far"
    linked = False
    passes(600, 512)
    linked = True
    passes(300, 100)
    passes(1_801, 2)
    assert meter.stats().idle_bytes_per_day == pytest.approx(2 * 86_400, rel=0.01)
    assert meter.stats().idle_missing == ""


async def test_a_gateway_that_starts_over_and_over_does_not_use_up_its_day_by_starting():
    box = Gateway()
    for _ in range(100):
        await box.start()
        await box.passes(5, 500)
    used = 10_000_000 - box.meter.stats().left
    assert 100 * 2_500 <= used <= 100 * 20_000


@pytest.mark.parametrize("bytes_per_s", [0, 20, 115, 5_000])
async def test_the_count_is_written_at_most_once_a_minute_but_for_a_few(bytes_per_s):
    box = Gateway()
    await box.start()
    await box.passes(1_800, bytes_per_s)
    assert box.writes <= 30 + 10
    assert box.writes or not bytes_per_s


async def test_without_a_budget_nothing_is_written():
    box = Gateway(budget=None)
    await box.start()
    await box.passes(7_200, 100)
    await box.meter.keep(box.log)
    assert box.writes == 0


async def test_what_is_left_and_when_it_runs_out():
    box = Gateway(budget=1_000_000)
    await box.start()
    await box.passes(1_800, 100)
    stats = box.meter.stats()
    assert stats.left == 820_000
    assert stats.runs_out_s == pytest.approx(8_200, rel=0.05)
    await box.passes(1_800, 1)
    assert box.meter.stats().runs_out_s is None, "at this rate it lasts until midnight"


async def test_a_day_away_and_the_midnight_after_it_both_bring_a_fresh_budget():
    box = Gateway(budget=1_000_000)
    await box.start()
    await box.passes(100, 5_000)
    box.clock.wall_s += 2 * DAY_S
    await box.start()
    assert box.meter.stats().left == 1_000_000
    await box.passes(100, 5_000)
    box.clock.passes(DAY_S / 2)
    assert box.meter.stats().left == 1_000_000


class ThinLog(MemoryLog):
    """Notes what it is asked to thin to."""

    def __init__(self):
        super().__init__()
        self.asked = []

    async def thin_backfill(self, to_bytes):
        self.asked.append(to_bytes)
        return 1


async def backlog(budget, seconds_of_live):
    """1,000 records delivered in so long, and 1,000 more of an outage that wait; the shipper and its log."""
    ship = Ship(budget, ThinLog())
    await ship.log.append([Envelope(Lane.LIVE, "sensor-data", b"k", b"%d" % number, ()) for number in range(1_000)])
    async with ship.under_way():
        ship.clock.passes(seconds_of_live)
        await until(lambda: ship.depth(Lane.LIVE) == 0)
        ship.meter.look()
    await ship.log.append([Envelope(Lane.LIVE, "sensor-data", b"k", b"%d" % number, ()) for number in range(1_000)])
    await ship.log.hand_to_backfill(-1.0)
    return ship


async def test_a_backlog_that_fits_into_a_day_is_left_whole():
    ship = await backlog(Budget(bytes_per_day=50_000_000), 3_600)
    await ship.shipper.thinning.look()
    assert ship.log.asked == []


@pytest.mark.parametrize("whole", [True, False], ids=["of the link", "of the lane"])
async def test_a_backlog_that_does_not_is_thinned_to_what_does(whole):
    small = 1_000 if whole else None
    ship = await backlog(Budget(bytes_per_day=small, backfill=LaneLimit(bytes_per_day=None if whole else 1_000)), 1e9)
    await ship.shipper.thinning.look()
    assert len(ship.log.asked) == 1
    assert 0 < ship.log.asked[0] < 1_000, "bodies, without their envelopes"


async def test_nothing_is_thinned_where_config_says_no():
    ship = await backlog(Budget(bytes_per_day=1_000, thin_backfill=False), 1e9)
    await ship.shipper.thinning.look()
    assert ship.log.asked == []
