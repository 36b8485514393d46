"""A Kafka that is built anew under its old address, under the real daemon: it is told upstream (D6)."""

from __future__ import annotations

import json

import pytest

from sync.log.inspect.reader import LogReader
from tests.support.account import of_gateway
from tests.support.consumer import read_topic_blocking
from tests.support.farm import TOPICS, Farm
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker


def records(farm, topic):
    return of_gateway(read_topic_blocking(farm.kafka.bootstrap, topic), farm.gateway)


def told(farm):
    bodies = [json.loads(record.value) for record in records(farm, "system-events")]
    return [body["data"] for body in bodies if body["event"] == "cluster_changed"]


def test_it_is_told_by_its_id_with_how_many_records_go_to_it_marked():
    with Farm() as farm, Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        farm.daemon.start().until_ready()
        publisher.publish_evenly(0, 50, 1_000, TOPICS)
        publisher.wait_acked()
        farm.daemon.until_drained()
        farm.kafka.pause()
        publisher.publish_evenly(50, 50, 1_000, TOPICS)
        publisher.wait_acked()
        farm.daemon.until(
            lambda: any(stream.leased for stream in LogReader(farm.log_file).depth()), "sending to nobody"
        )
        farm.kafka.rebuild()
        farm.daemon.until(lambda: told(farm), "telling of the new cluster", 120)
        farm.daemon.until_drained(120)
        (data,) = told(farm)
        topics = ("sensor-data", "system-events")
        marked = [record for topic in topics for record in records(farm, topic) if _marked(record)]
        assert data["count"] == len(marked) > 0
        assert len(data["cluster"]) == 22, "the id that Apache Kafka gives a cluster"
        assert not farm.arrival().missing(set(range(50, 100)))


def _marked(record):
    return dict(record.headers).get("possibly_repeated") == b"1"
