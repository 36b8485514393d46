"""A broker with a small window: once the driver has seen where it stops, no commit waits for its interval there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.pipeline import Outbox
from drivers.mqtt import MqttDriver
from drivers.mqtt.probes.probe import probe
from sync.log import LogSettings, SqliteLog
from sync.values import Envelope, Lane
from tests.support.log import running as log_running
from tests.support.mqtt import Hub, running, settings_for, until
from tests.support.narrow import narrow
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker

MESSAGES = 1_000
"""At ten for each interval of half a second they would take 50 s, and `until` waits for less."""


class Logged(Hub):
    """A hub that has each batch on disk before it may be forgotten."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, batch) -> asyncio.Future[None]:
        self.seen += batch
        return self._outbox.post([Envelope(Lane.LIVE, "t", b"k", b"v", ()) for _ in batch])


async def test_behind_a_window_of_ten_readings_come_as_fast_as_the_disk_takes_them(broker, tmp_path):
    log = SqliteLog(LogSettings(path=tmp_path / "log.sqlite", gateway_id="gw-1", commit_interval_s=0.5))
    outbox = Outbox(log)
    hub = Logged(outbox)
    async with narrow(broker.host, broker.port, 10) as port, log_running(log):
        settings = replace(settings_for(broker, "3.1.1"), port=port, gather_s=0.012)
        driver = MqttDriver(settings, hurry=outbox.hurry)
        async with running(driver, hub):
            with Publisher(broker.host, broker.port) as device:
                sending = asyncio.to_thread(device.publish_evenly, 0, MESSAGES, 2_000.0, ["farm/s/t1/n"])
                await asyncio.gather(sending, until(lambda: len(hub.seen) == MESSAGES, "all of them"))
            assert driver.window.size == 10
            assert driver.window.ceiling_per_s > 2 * 10 / 0.5
            await until(lambda: driver.stats.acknowledged == MESSAGES, "acknowledged")
    assert hub.values == [float(number) for number in range(MESSAGES)]


async def test_the_probe_measures_what_comes_through_it(broker):
    async with narrow(broker.host, broker.port, 10) as port:
        kept = await probe(replace(settings_for(broker, "3.1.1"), port=port, gather_s=0.012), 300)
    assert (kept.kept, kept.window) == (300, 10)
    assert 10 < kept.ceiling_per_s < 10 / 0.012
