"""A topic that is deleted and created again, under the real daemon: nothing of it is lost, and it is said (D15)."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.account import of_gateway
from tests.support.consumer import read_topic_blocking
from tests.support.daemon import EXECUTABLE
from tests.support.farm import TOPICS, Farm
from tests.support.kafka import ask_admin
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from tests.support.consumer import Record

pytestmark = pytest.mark.broker

TOPIC = "sensor-data"
OURS = (TOPIC, "system-events", "farm-alerts", "farm-figures", "fleet-reported", "gateway-runs", "dead-letters")


def topics(farm: Farm) -> set[str]:
    return set(ask_admin(farm.kafka.bootstrap, lambda admin: admin.list_topics()))


def delete(farm: Farm) -> None:
    ask_admin(farm.kafka.bootstrap, lambda admin: admin.delete_topics([TOPIC]))
    deadline = time.monotonic() + 30
    while TOPIC in topics(farm):
        assert time.monotonic() < deadline, "the broker does not delete the topic"
        time.sleep(0.1)


def readings(farm: Farm) -> list[tuple[int, bool]]:
    """The values that a plain consumer reads, each with whether it is marked."""
    records = of_gateway(read_topic_blocking(farm.kafka.bootstrap, TOPIC), farm.gateway)
    return [(int(json.loads(record.value or b"{}")["value"]), _marked(record)) for record in records]


def events(farm: Farm) -> list[dict[str, object]]:
    records = of_gateway(read_topic_blocking(farm.kafka.bootstrap, "system-events"), farm.gateway)
    bodies = [json.loads(record.value or b"{}") for record in records]
    return [body for body in bodies if body["event"] == "topic_lost"]


def _marked(record: Record) -> bool:
    return record.header("possibly_repeated") == "1"


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_what_was_acknowledged_in_it_goes_again_marked_and_is_told(*, running: bool) -> None:
    """The broker creates topics by itself: no request of the daemon makes it do so."""
    with (
        Farm(kafka={"create_topics": False}) as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
    ):
        for topic in OURS:
            farm.kafka.create_topic(topic)
        daemon = farm.daemon.start()
        daemon.until_ready()
        publisher.publish_evenly(0, 600, 2_000, TOPICS)
        publisher.wait_acked()
        daemon.until_drained()
        assert sorted(readings(farm)) == [(number, False) for number in range(600)]
        if not running:
            assert daemon.stop() == 0
        delete(farm)
        if running:
            publisher.publish_evenly(600, 100, 1_000, TOPICS)
            publisher.wait_acked()
            daemon.until(
                lambda: "UnknownTopicOrPartition" in daemon.status(), "saying that the topic is not there", 90
            )
            assert TOPIC not in topics(farm), "asked for again and again, and not brought back"
            farm.kafka.create_topic(TOPIC)
        else:
            farm.kafka.create_topic(TOPIC)
            daemon.start().until_ready()
            publisher.publish_evenly(600, 100, 1_000, TOPICS)
            publisher.wait_acked()
        daemon.until(
            lambda: {value for value, _ in readings(farm)} == set(range(700)), "sending all of it again", 120
        )
        daemon.until(lambda: events(farm), "telling of it", 60)
        found = readings(farm)
        assert {value for value, marked in found if not marked} >= ({*range(600, 700)} if not running else set())
        assert {value for value, marked in found if marked} >= set(range(600))
        unmarked = [value for value, marked in found if not marked]
        assert len(unmarked) == len(set(unmarked)), "none stands twice without a mark"
        (event,) = events(farm)
        assert event["severity"] == "alarm"
        assert event["data"]["topic"] == TOPIC
        assert event["data"]["count"] == 600
        said = f"Kafka topic {TOPIC} was deleted and created again"
        assert said in daemon.output
        command = [str(EXECUTABLE), "status", "--runtime-dir", str(daemon.runtime)]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
        assert f"{TOPIC} lost 600 records in Kafka since the start; they are sent again" in shown
        assert daemon.total("tidegate_shipper_lost_upstream_records_total", topic=TOPIC) == 600
        daemon.until_drained()
        assert daemon.total("tidegate_log_lost_records_total") == 0
        assert daemon.stop() == 0
