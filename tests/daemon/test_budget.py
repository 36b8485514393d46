"""A daemon on a metered link: what it says of its budget, and that a restart gives none of it back."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.support.daemon import EXECUTABLE
from tests.support.farm import TOPICS, Farm
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker

BUDGET = 70_000


def status(farm):
    command = [EXECUTABLE, "status", "--runtime-dir", str(farm.daemon.runtime)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout


def test_a_budget_is_kept_over_a_restart_and_alarms_go_on(kafka):
    with (
        Farm(kafka) as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
    ):
        document = farm.document(farm.daemon.folder)
        document["kafka"]["budget"] = {"bytes_per_day": BUDGET}
        farm.daemon.configure(document)
        daemon = farm.daemon.start()
        daemon.until_ready()
        number = 0
        while daemon.total("tidegate_shipper_lane_waiting", lane="live") == 0:
            publisher.publish_evenly(number, 20, 400, TOPICS)
            number += 20
            assert number < 20_000, "the budget is never used up"
        used = daemon.total("tidegate_link_today_bytes")
        assert BUDGET * 0.95 <= used < BUDGET
        assert "left of 68.4 KiB" in status(farm)
        assert "budget is used up" in status(farm)
        delivered = daemon.total("tidegate_log_delivered_records_total", lane="live")
        daemon.stop()
        daemon.start()
        daemon.until_ready()
        daemon.until(lambda: daemon.total("tidegate_link_today_bytes") >= used, "the count is back")
        alarms = daemon.total("tidegate_log_delivered_records_total", lane="alert")
        publisher.publish_evenly(1_000, 1, 10, ["farm/site/alarm/count"])
        daemon.until(
            lambda: daemon.total("tidegate_log_delivered_records_total", lane="alert") > alarms, "the alarm is there"
        )
        time.sleep(1)
        assert delivered > 0
        assert daemon.total("tidegate_log_delivered_records_total", lane="live") == 0, "counted since its start"
        assert daemon.health()["link"]["left_bytes"] <= BUDGET * 0.05
