"""What happens to a batch between a driver and the log, over the log in memory and a local broker that listens."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

import drivers
from agent.events import Encoder
from agent.farm.limits import Limits
from agent.pipeline import Alerts, FrameSlots, Intake, LogWatch, ModelRunner, Outbox, SensorLimits
from agent.pipeline.unreadable import UnreadableSampler
from drivers import Frame, Reading, Receipted, SharedImage, Unreadable
from sync.log import LogSettings, MemoryLog
from sync.values import Lane

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def reading(value, sensor="tank_001_oxygen"):
    return Reading(sensor, "oxygen", value, "mg/L", "tank_001", "site_001", AT, False, 0)


def unreadable(reason="no number", topic="farm/x"):
    return Unreadable("barge", topic, reason, "Online", AT)


class Listener:
    """Keeps what is published, as the local broker would; `up` False is a broker that is away."""

    def __init__(self):
        self.heard = []
        self.up = True

    async def publish(self, topic, payload, *, qos=1, retain=False):
        if not self.up:
            raise drivers.NotReady("not connected")
        assert (qos, retain) == (1, True)
        self.heard.append((topic, json.loads(payload)["state"]))


class Hub:
    def __init__(self):
        self.log = MemoryLog(LogSettings(path="unused", gateway_id="gw-1"))
        encoder = Encoder("gw-1", "site_001")
        self.outbox = Outbox(self.log)
        self.alerts = Alerts(self.outbox, encoder)
        self.alerts.local = self.local = Listener()
        self.acks = []
        self.intake = Intake(self.outbox, self.alerts, encoder, lambda seconds, count: self.acks.append(count))
        self.watch = LogWatch(self.log, self.outbox, self.alerts, encoder, "site_001")

    def depth(self, lane):
        return self.log.stats().depth[lane]


@asynccontextmanager
async def a_hub(**limits):
    hub = Hub()
    if limits:
        hub.intake.reconfigure([SensorLimits("tank_001_oxygen", Limits(**limits))])
    publishing = asyncio.create_task(hub.alerts.run())
    try:
        yield hub
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


async def turn():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_batch_is_in_the_log_when_its_awaitable_is_done_and_is_observed_once():
    async with a_hub() as hub:
        await hub.intake.take([reading(8.0), reading(8.1), reading(8.2, "other")])
        assert hub.depth(Lane.LIVE) == 3
        assert hub.acks == [3]
        assert hub.intake.stats.readings == 3


async def test_an_alarm_sounds_before_the_log_has_the_reading_and_goes_upstream_too():
    async with a_hub(low=6.0) as hub:
        posted = hub.intake.take([reading(7.0), reading(5.0)])
        assert [alert.alert_id for alert in hub.alerts.active()] == ["tank_001_oxygen/low"]
        assert not posted.done()
        await posted
        await turn()
        assert hub.local.heard[-1] == ("tidegate/alerts/tank_001_oxygen/low", "raised")
        assert hub.depth(Lane.ALERT) == 1


async def test_an_alarm_that_is_over_within_its_batch_is_told_upstream_only():
    """A1."""
    async with a_hub(low=6.0) as hub:
        await hub.intake.take([reading(7.0)])
        await turn()
        before = len(hub.local.heard)
        await hub.intake.take([reading(5.0), reading(7.0)])
        await turn()
        assert hub.local.heard[before:] == [("tidegate/alerts/tank_001_oxygen/low", "cleared")]
        assert hub.depth(Lane.ALERT) == 2


async def test_what_an_earlier_run_has_logged_may_still_sound_and_is_not_logged_again():
    async with a_hub(low=6.0) as hub:
        await hub.intake.take(Receipted([], earlier=[reading(5.0)]))
        await turn()
        assert [state for _, state in hub.local.heard] == ["raised"]
        assert (hub.depth(Lane.LIVE), hub.intake.stats.readings) == (0, 0)


async def test_receipts_go_into_the_log_with_the_next_record_where_their_own_batch_brings_none():
    async with a_hub() as hub:
        await hub.intake.take(Receipted([], ("mqtt", b"1")))
        assert await hub.log.receipts("mqtt") == []
        await hub.intake.take(Receipted([reading(7.0)], ("mqtt", b"2")))
        assert await hub.log.receipts("mqtt") == [b"12"]


async def test_a_first_look_that_finds_all_well_ends_old_alarms_on_the_farm_and_says_nothing_upstream():
    """A3."""
    async with a_hub(low=6.0, high=12.0) as hub:
        await hub.intake.take([reading(8.0)])
        await turn()
        assert hub.local.heard == [
            ("tidegate/alerts/tank_001_oxygen/low", "cleared"),
            ("tidegate/alerts/tank_001_oxygen/high", "cleared"),
        ]
        assert hub.depth(Lane.ALERT) == 0


async def test_what_was_raised_while_the_local_broker_was_away_sounds_when_it_is_back():
    """A2."""
    async with a_hub(low=6.0) as hub:
        hub.local.up = False
        await hub.intake.take([reading(5.0)])
        await turn()
        assert (hub.local.heard, hub.alerts.publish_failures) == ([], 1)
        hub.local.up = True
        hub.alerts.connected()
        await turn()
        assert hub.local.heard == [("tidegate/alerts/tank_001_oxygen/low", "raised")]


async def test_an_alarm_counts_as_unpublished_while_the_local_connection_is_not_even_there():
    async with a_hub(low=6.0) as hub:
        hub.alerts.local = None
        await hub.intake.take([reading(5.0)])
        await turn()
        assert hub.alerts.publish_failures == 1
        hub.alerts.local = hub.local
        hub.alerts.connected()
        await turn()
        assert hub.local.heard == [("tidegate/alerts/tank_001_oxygen/low", "raised")]


async def test_an_alarm_ends_when_its_limit_is_taken_away_and_stays_while_others_change():
    async with a_hub(low=6.0) as hub:
        await hub.intake.take([reading(5.0)])
        hub.intake.reconfigure(
            [SensorLimits("tank_001_oxygen", Limits(low=6.0)), SensorLimits("other", Limits(high=1.0))]
        )
        assert len(hub.alerts.active()) == 1
        hub.intake.reconfigure([])
        assert hub.alerts.active() == []


async def test_unreadable_messages_are_all_counted_and_shown_once_a_minute():
    now = 0.0
    sampler = UnreadableSampler(lambda: now)
    shown = [sampler.see(unreadable()) for _ in range(5)]
    assert [event is not None for event in shown] == [True, False, False, False, False]
    now = 61.0
    assert sampler.see(unreadable()).data["count"] == 5
    assert sampler.counts == {("barge", "no number"): 6}
    assert sampler.see(unreadable("another reason")) is not None


async def test_a_flood_of_different_reasons_is_bounded():
    sampler = UnreadableSampler()
    for number in range(1000):
        sampler.see(unreadable(f"reason {number}"))
    assert len(sampler.counts) < 300
    assert sum(sampler.counts.values()) == 1000


async def test_an_unreadable_message_may_be_acknowledged_like_any_other():
    async with a_hub() as hub:
        await hub.intake.take([unreadable(), unreadable()])
        await hub.intake.take([unreadable()])
        assert hub.depth(Lane.LIVE) == 1


async def test_what_an_earlier_run_left_raised_about_the_log_ends_on_the_farm_and_old_dead_letters_alarm_nobody():
    async with a_hub() as hub:
        stats = hub.log.stats()
        hub.watch.look(replace(stats, log_id="", dead_letters=0))
        hub.watch.look(replace(stats, dead_letters=3))
        await turn()
        assert hub.local.heard == [
            ("tidegate/alerts/log/stalled", "cleared"),
            ("tidegate/alerts/log/waits", "cleared"),
            ("tidegate/alerts/log/dead_letters", "cleared"),
        ]
        assert hub.depth(Lane.ALERT) == 0
        hub.watch.look(replace(stats, dead_letters=4))
        await turn()
        assert hub.local.heard[-1] == ("tidegate/alerts/log/dead_letters", "raised")
        assert hub.depth(Lane.ALERT) == 1


async def test_a_quarantined_log_is_told_once_and_losses_are_left_to_the_logs_own_ledger():
    async with a_hub() as hub:
        damaged = replace(hub.log.stats(), quarantined=1, lost={"corrupt": 5})
        hub.watch.look(damaged)
        hub.watch.look(damaged)
        await turn()
        assert hub.depth(Lane.ALERT) == 1


@pytest.mark.parametrize("cameras", [1, 3])
async def test_a_newer_frame_replaces_an_older_one_of_its_camera_and_cameras_take_turns(cameras):
    released = []
    slots = FrameSlots()

    def frame(camera, number):
        return Frame(
            f"cam-{camera}", "t", "s", number, AT, 0, SharedImage(0, 0, 1, 1), lambda: released.append(number)
        )

    for number in range(3):
        for camera in range(cameras):
            await slots.put([frame(camera, number)])
    taken = [await slots.take() for _ in range(cameras)]
    assert [(seen.camera_id, seen.number) for seen in taken] == [(f"cam-{camera}", 2) for camera in range(cameras)]
    assert sum(slots.dropped.values()) == len(released) == 2 * cameras


async def test_a_model_whose_unit_ends_while_it_loads_is_closed_again():
    begun, go_on, closed = threading.Event(), threading.Event(), threading.Event()

    class Slow:
        def close(self):
            closed.set()

    def load():
        begun.set()
        assert go_on.wait(10)
        return Slow()

    async with a_hub() as hub:
        runner = ModelRunner(load, FrameSlots(), hub.outbox, Encoder("gw-1", "s"), lambda _: None)
        running = asyncio.create_task(runner.run())
        assert await asyncio.to_thread(begun.wait, 10)
        running.cancel()
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(running, return_exceptions=True)
        assert closed.is_set()
