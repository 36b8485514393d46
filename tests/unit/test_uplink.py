"""The shipper's unit: what it stands and falls with."""

from __future__ import annotations

import asyncio

import pytest

from agent.app.uplink import Uplink, UplinkSettings
from agent.events import Encoder
from agent.pipeline import Alerts, Outbox
from sync.kafka import KafkaSettings
from sync.log import LogSettings, MemoryLog
from sync.shipper import ShipperSettings


class Own:
    """Whose log it is is never known."""

    async def before_first_send(self, *_: object) -> None:
        await asyncio.Event().wait()


async def test_a_count_of_bytes_that_fails_ends_the_unit_and_is_not_passed_over(tmp_path):
    log = MemoryLog(LogSettings(tmp_path / "log.sqlite", "gw-1", "site-a"))
    outbox, encoder = Outbox(log), Encoder("gw-1", "site-a")
    uplink = Uplink(log, outbox, Alerts(outbox, encoder), encoder=encoder, own=Own(), site_id="site-a")
    kafka = KafkaSettings(("127.0.0.1:1",), client_id="tidegate-gw-1")
    part = uplink._shipper(UplinkSettings(kafka, ShipperSettings(), "wait"))

    async def fails(_):
        raise RuntimeError("the count does not fit")

    uplink.meter.run = fails
    with pytest.raises(RuntimeError, match="does not fit"):
        await asyncio.wait_for(part.unit.run(), 10)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
