"""The farm's figures, end to end: events over MQTT, over the socket and from a file; each counts once, over kills."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt import publish as once
from prometheus_client.parser import text_string_to_metric_families

from tests.support.account import of_gateway
from tests.support.consumer import read_topic_blocking
from tests.support.daemon import EXECUTABLE
from tests.support.farm import Farm
from tests.support.kafka import ApacheKafka
from tests.support.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.broker

NOW = datetime.now(UTC)
SENSORS = [
    {"id": "t1_oxygen", "type": "oxygen", "unit": "mg/L", "tank": "t1"},
    {"id": "t1_temperature", "type": "temperature", "unit": "degC", "tank": "t1"},
    {"id": "t1_ph", "type": "ph", "unit": "pH", "tank": "t1", "limits": {"high": 8.5}},
]
SATURATION = {
    "id": "t1_saturation",
    "kind": "oxygen_saturation",
    "tank": "t1",
    "oxygen": "t1_oxygen",
    "temperature": "t1_temperature",
    "salinity_psu": 33,
    "pressure_hpa": 1005,
    "every_s": 1,
    "limits": {"low": 70},
}
PROBE = {"sensor": "t1_ph", "points": [[6.8, 7.0], [9.7, 10.0]], "done": "2020-01-01", "valid_days": 30, "by": "Ida"}


def event(name: str, kind: str, hours_ago: float, **fields: Any) -> dict[str, Any]:
    at = (NOW - timedelta(hours=hours_ago)).isoformat()
    return {"id": name, "kind": kind, "at": at, "tank_id": "t1", **fields}


STOCKING = event("s1", "stocking", 3, count=1000, mean_weight_g=100.0, species="atlantic_salmon")
DEAD = event("d1", "mortality", 2, count=7)


@pytest.fixture
def farm() -> Iterator[Farm]:
    with (
        ApacheKafka() as kafka,
        Farm(kafka, sensors=SENSORS, derived=[SATURATION], calibrations=[PROBE], farm={}) as one,
    ):
        yield one


def until_ready(farm: Farm) -> None:
    farm.daemon.until_ready()
    units = ("farm", "farm-events", "derived")
    farm.daemon.until(
        lambda: all(one["state"] == "running" for one in farm.daemon.health()["units"] if one["name"] in units),
        "the farm's units run",
    )


def publish(farm: Farm, topic: str, payload: Any) -> None:
    once.single(topic, json.dumps(payload), qos=1, hostname=farm.mosquitto.host, port=farm.mosquitto.port)


def figure(farm: Farm, name: str) -> Any:
    tanks = json.loads(farm.daemon.request("GET", "/stock")[1])["tanks"]
    return next(
        (one["value"] for tank in tanks if tank["tank_id"] == "t1" for one in tank["figures"] if one["name"] == name),
        None,
    )


def tidegate(farm: Farm, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([EXECUTABLE, *words], input=given, text=True, capture_output=True, timeout=60, check=False)


def upstream(farm: Farm, topic: str, kind: str) -> list[dict[str, Any]]:
    records = of_gateway(read_topic_blocking(farm.kafka.bootstrap, topic), farm.gateway)
    return [json.loads(record.value or b"") for record in records if record.header("ce_type").endswith(kind)]


def test_g5_events_count_once_over_kills_repetitions_and_an_import(farm):
    daemon = farm.daemon.start()
    until_ready(farm)
    config = ["--config", str(daemon.config_file)]
    with Listener(farm.mosquitto.host, farm.mosquitto.port, "tidegate/farm/answers") as answers:
        publish(farm, "tidegate/farm/events", STOCKING)
        publish(farm, "tidegate/farm/events", [STOCKING, DEAD, {"id": "bad", "kind": "stocking"}])
        daemon.until(lambda: figure(farm, "stock_fish") == 993, "both events counted")
        daemon.until(lambda: len(answers.heard) >= 4, "answered")
    heard = [json.loads(payload) for _, _, payload in answers.heard]
    assert [(one["id"], one["outcome"]) for one in heard] == [
        ("s1", "recorded"),
        ("s1", "known"),
        ("d1", "recorded"),
        ("bad", "refused"),
    ]
    daemon.kill()
    daemon.start()
    until_ready(farm)
    daemon.until(lambda: figure(farm, "stock_fish") == 993, "the same after a kill")
    exported = tidegate(farm, "stock", *config, "export")
    assert len(exported.stdout.splitlines()) == 2
    again = tidegate(farm, "stock", *config, "import", given=exported.stdout)
    assert again.stdout == "0 recorded, 2 known already, 0 refused\n", again.stderr
    other = tidegate(farm, "stock", *config, "add", given=json.dumps({**DEAD, "count": 8}))
    assert other.returncode == 2
    assert "is that of another event" in other.stderr
    void = {"id": "v1", "kind": "void", "at": NOW.isoformat(), "voids": "d1"}
    assert tidegate(farm, "stock", *config, "add", given=json.dumps(void)).returncode == 0
    daemon.until(lambda: figure(farm, "stock_fish") == 1000, "the void counts")
    explained = tidegate(farm, "explain", "stock_fish", *config)
    assert "stock_fish of t1: 1,000 fish" in explained.stdout
    assert "formula" in explained.stdout
    assert tidegate(farm, "explain", "nothing", *config).returncode == 2
    assert "stock_fish" in tidegate(farm, "stock", *config).stdout
    page = daemon.request("GET", "/business-metrics")[1].decode()
    assert 'business_stock_fish{site="site",species="atlantic_salmon",tank="t1"} 1000.0' in page
    assert "tidegate_" not in page
    daemon.until_drained()
    assert daemon.stop() == 0
    assert [one["id"] for one in upstream(farm, "farm-figures", ".event")] == ["s1", "d1", "v1"]
    (changed,) = upstream(farm, "farm-figures", ".recomputed")
    assert changed["changed"]["stock_fish"] == [993.0, 1000.0]
    assert all(line.missing == line.duplicated == 0 for line in farm.account())


def test_u1_a_calibrated_probe_and_a_derived_quantity_are_judged_and_told(farm):
    """U3: the derived quantity goes upstream with a value or a reason, and its limit raises an alarm."""
    daemon = farm.daemon.start()
    until_ready(farm)
    with Listener(farm.mosquitto.host, farm.mosquitto.port) as alarms:
        publish(farm, "farm/site/t1/temperature", 12.0)
        publish(farm, "farm/site/t1/oxygen", 5.0)
        publish(farm, "farm/site/t1/ph", 8.4)
        alarms.wait_for_alarm("t1_saturation/low", "raised")
        # 8.4 is within the limit of 8.5; the calibrated value, 8.655, is not.
        alarms.wait_for_alarm("t1_ph/high", "raised")
    daemon.until(lambda: daemon.total("tidegate_derived_value", id="t1_saturation") > 57, "in the metrics")
    assert daemon.total("tidegate_calibrations_overdue") == 1
    explained = tidegate(farm, "explain", "t1_saturation", "--config", str(daemon.config_file)).stdout
    assert "Benson & Krause" in explained
    assert "t1_oxygen" in explained
    daemon.until_drained()
    assert daemon.stop() == 0
    (ph,) = [one for one in upstream(farm, "sensor-data", ".v1") if one["sensor_id"] == "t1_ph"]
    assert ph["value"] == 8.4
    assert ph["calibrated"] == pytest.approx(8.65517, abs=1e-5)
    assert (ph["calibrated_on"], ph["calibration_overdue"]) == ("2020-01-01", True)
    derived = upstream(farm, "derived-data", ".v1")
    missing, there = derived[0], derived[-1]
    assert missing["value"] is None
    assert "has sent nothing since the start" in missing["reason"]
    assert there["value"] == pytest.approx(57.57, abs=0.01)
    assert [one["origin"] for one in there["inputs"]] == ["t1_oxygen", "t1_temperature", "config", "config"]


def test_metrics_reach_a_prometheus_that_cannot_reach_the_gateway(farm):
    farm.reconfigure(metrics={"upstream_every_s": 1})
    daemon = farm.daemon.start()
    daemon.until_ready()
    publish(farm, "farm/site/t1/temperature", 12.0)
    daemon.until(lambda: daemon.total("tidegate_log_delivered_records_total", lane="bulk") > 1, "metrics sent")
    asked = tidegate(farm, "fleet-metrics", "--brokers", farm.kafka.bootstrap)
    assert asked.returncode == 0, asked.stderr
    samples = {
        (sample.name, sample.labels.get("sensor_type")): sample
        for family in text_string_to_metric_families(asked.stdout)
        for sample in family.samples
    }
    readings = samples["tidegate_readings_total", "temperature"]
    assert readings.labels == {"gateway": farm.gateway, "site": "site", "sensor_type": "temperature"}
    assert ("tidegate_ack_latency_seconds_bucket", None) in samples
    assert samples["process_open_fds", None].value > 0
    assert "_created" not in asked.stdout
    (size,) = {len(json.dumps(one)) // 20_000 for one in upstream(farm, "gateway-metrics", ".v1")}
    assert size == 0, "a document is below 20 kB before compression"
    assert daemon.stop() == 0
