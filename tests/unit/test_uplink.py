"""The shipper's unit: what it stands and falls with."""

from __future__ import annotations

import asyncio
import json

import pytest

from agent.app.uplink import Uplink, UplinkSettings
from agent.events import Encoder
from agent.pipeline import Alerts, Outbox
from sync.kafka import KafkaSettings
from sync.log import LogSettings, MemoryLog
from sync.shipper import AnotherCluster, ShipperSettings
from sync.values import Envelope, Lane
from tests.support.log import drain


class Own:
    """Whose log it is is never known."""

    def __init__(self) -> None:
        self.told_again = 0

    async def before_first_send(self, *_: object) -> None:
        await asyncio.Event().wait()

    def tell_again(self) -> None:
        self.told_again += 1


def uplink_of(folder):
    log = MemoryLog(LogSettings(folder / "log.sqlite", "gw-1", "site-a"))
    outbox, encoder = Outbox(log), Encoder("gw-1", "site-a")
    return log, Uplink(log, outbox, Alerts(outbox, encoder), encoder=encoder, own=Own(), site_id="site-a")


async def test_a_count_of_bytes_that_fails_ends_the_unit_and_is_not_passed_over(tmp_path):
    _, uplink = uplink_of(tmp_path)
    kafka = KafkaSettings(("127.0.0.1:1",), client_id="tidegate-gw-1")
    part = uplink._shipper(UplinkSettings(kafka, ShipperSettings(), "wait"))

    async def fails(_):
        raise RuntimeError("the count does not fit")

    uplink.meter.run = fails
    with pytest.raises(RuntimeError, match="does not fit"):
        await asyncio.wait_for(part.unit.run(), 10)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_another_cluster_is_told_upstream_with_how_much_goes_to_it_marked(tmp_path):
    log, uplink = uplink_of(tmp_path)
    uplink._reported(AnotherCluster("q8Yc", 7))
    await log.cursor("nothing")  # behind it
    (event,) = [json.loads(value) for value in (await drain(log))[Lane.LIVE, "system-events"]]
    assert (event["event"], event["severity"]) == ("cluster_changed", "warning")
    assert event["data"] == {"cluster": "q8Yc", "count": 7}
    assert uplink._own.told_again == 1


async def test_a4_an_alert_of_an_earlier_run_ends_if_no_record_waits_for_it_any_more(tmp_path):
    log, uplink = uplink_of(tmp_path)
    for name in ("sensor-data", "repeated_live_camera-events", "start"):
        uplink._raise(f"kafka/{name}", "an earlier run said so")
    await uplink._outbox.written(10)
    await log.append([Envelope(Lane.LIVE, "sensor-data", b"k", b"v", ())])
    part = uplink._shipper(
        UplinkSettings(KafkaSettings(("127.0.0.1:1",), client_id="tidegate-gw-1"), ShipperSettings(), "wait")
    )
    running = asyncio.create_task(part.unit.run())
    try:
        async with asyncio.timeout(20):
            while len(uplink._alerts.active()) > 2:
                await asyncio.sleep(0.01)
        assert [alert.alert_id for alert in uplink._alerts.active()] == ["kafka/sensor-data", "kafka/start"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
