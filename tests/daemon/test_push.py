"""Documents pushed over Kafka: one that adds a subscription, one that cannot be, one that config.yaml forbids."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
import yaml
from aiokafka import AIOKafkaProducer

from tests.support.account import of_gateway
from tests.support.consumer import read_topic_blocking
from tests.support.farm import TOPICS, Farm
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker

KNOWN = {"topic": "farm/{site}/{tank}/{metric}", "unit": "1"}
NUL_TOPIC = [{"name": "barge", "local": True, "subscriptions": [{"topic": "a\0b/{tank}/{metric}"}]}]
"""Valid by the schema; what refuses it is the driver."""
MORE = {"topic": "more/{tank}/{metric}", "unit": "1"}


def _push(farm: Farm, document: bytes) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=farm.kafka.bootstrap)
        await producer.start()
        try:
            await producer.send_and_wait("fleet-desired", document, key=farm.gateway.encode(), partition=0)
        finally:
            await producer.stop()

    asyncio.run(send())


def _reports(farm: Farm, outcome: str, source: str = "push"):
    records = of_gateway(read_topic_blocking(farm.kafka.bootstrap, "fleet-reported"), farm.gateway)
    said = [json.loads(record.value) for record in records]
    return [report for report in said if (report["source"], report["outcome"]) == (source, outcome)]


def _reported(farm: Farm, outcome: str, timeout_s: float = 30.0, source: str = "push", count: int = 1):
    deadline = time.monotonic() + timeout_s
    while True:
        found = _reports(farm, outcome, source)
        if len(found) >= count:
            return found[-1]
        assert time.monotonic() < deadline, f"not reported as {outcome}; the journal:\n{farm.daemon.output[-3_000:]}"
        time.sleep(0.3)


@pytest.fixture
def farm(kafka):
    kafka.create_topic("fleet-desired", configs={"cleanup.policy": "compact"})
    with Farm(kafka, fleet={"partition": 0, "poll_interval_s": 0.5}) as farm:
        farm.daemon.start().until_ready()
        yield farm


def test_a_push_adds_a_subscription_and_no_reading_of_the_others_is_lost(farm):
    with Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        sending = threading.Thread(target=publisher.publish_evenly, args=(0, 5_000, 1_000, TOPICS), daemon=True)
        sending.start()
        document = farm.document(farm.daemon.folder)
        document["mqtt"][0]["subscriptions"] = [KNOWN, MORE]
        _push(farm, yaml.safe_dump(document).encode())
        report = _reported(farm, "applied")
        assert report["changed_units"] == ["mqtt:barge"], "nothing else was touched"
        publisher.publish(9_000, "more/tank-1/count", "9000")
        sending.join()
        acknowledged = set(publisher.wait_acked())
        assert len(acknowledged) == 5_001
        there = farm.until_arrived(acknowledged)
        assert not there.missing(acknowledged)
        assert there.repeated_ce_ids == 0
        assert farm.daemon.total("tidegate_mqtt_disconnects_total") == 0


def test_a_pushed_document_outlives_a_restart(farm):
    document = farm.document(farm.daemon.folder)
    document["mqtt"][0]["subscriptions"] = [KNOWN, MORE]
    _push(farm, yaml.safe_dump(document).encode())
    _reported(farm, "applied")
    farm.daemon.kill()
    farm.daemon.start().until_ready()
    assert farm.daemon.health()["config"]["source"] == "push"
    with Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        publisher.publish(9_001, "more/tank-1/count", "9001")
        publisher.wait_acked()
        assert not farm.until_arrived({9_001}).missing({9_001})


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("an unknown key", {"surprise": 1}),
        ("no local broker", {"mqtt": [{"name": "barge"}]}),
        ("another gateway's", {"gateway": {"id": "gw-other", "site": "site"}}),
        ("not YAML", None),
        ("a topic that no broker can have", {"mqtt": NUL_TOPIC}),
    ],
)
def test_an_invalid_push_is_refused_and_reported_and_the_old_document_goes_on(farm, kind, change):
    document = {**farm.document(farm.daemon.folder), **(change or {})}
    _push(farm, yaml.safe_dump(document).encode() if change is not None else b"mqtt: [")
    report = _reported(farm, "refused")
    assert report["problems"], kind
    with Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        publisher.publish_evenly(0, 100, 1_000, TOPICS)
        acknowledged = set(publisher.wait_acked())
        assert not farm.until_arrived(acknowledged).missing(acknowledged)
    assert farm.daemon.health()["config"]["source"] == "file"
    assert farm.daemon.total("tidegate_unit_crashes_total") == 0
    assert "Traceback" not in farm.daemon.output


def test_a_push_that_would_have_a_password_sent_elsewhere_is_refused_once_and_what_runs_goes_on(farm):
    """P1."""
    secret = farm.daemon.folder / "mqtt-password"
    secret.write_text("hunter2\n")
    good = farm.document(farm.daemon.folder)
    thefts = {
        "kafka.brokers": {"brokers": ["127.0.0.1:1"]},
        "kafka.security": {"security": "sasl_plaintext", "sasl_mechanism": "PLAIN", "username": "gw"},
        "kafka.password_file": {"password_file": str(secret)},
    }
    for number, (key, change) in enumerate(thefts.items(), start=1):
        _push(farm, yaml.safe_dump(good | {"kafka": good["kafka"] | change}).encode())
        report = _reported(farm, "refused", count=number)
        assert any(f" {key}: a push may not change this key" in problem for problem in report["problems"]), report
        assert "hunter2" not in json.dumps(report)
    with Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        publisher.publish_evenly(0, 100, 1_000, TOPICS)
        acknowledged = set(publisher.wait_acked())
        assert not farm.until_arrived(acknowledged).missing(acknowledged)
    farm.daemon.kill()
    farm.daemon.start().until_ready()
    good["mqtt"][0]["subscriptions"] = [KNOWN, MORE]
    _push(farm, yaml.safe_dump(good).encode())
    _reported(farm, "applied")
    assert len(_reports(farm, "refused")) == len(thefts), "neither the restart nor the next push tells them again"


def test_a_push_may_change_what_config_yaml_leaves_to_it(farm):
    """P2."""
    fleet = {**farm.sections["fleet"], "may_change": ["kafka.brokers"]}
    farm.reconfigure(fleet=fleet)
    farm.daemon.reload()
    _reported(farm, "applied", source="file", count=2)
    document = farm.document(farm.daemon.folder, fleet=fleet)
    document["kafka"]["brokers"] = [f"localhost:{farm.kafka.port}"]
    _push(farm, yaml.safe_dump(document).encode())
    assert "shipper" in _reported(farm, "applied")["changed_units"]
    with Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        publisher.publish_evenly(0, 100, 1_000, TOPICS)
        acknowledged = set(publisher.wait_acked())
        assert not farm.until_arrived(acknowledged).missing(acknowledged)
