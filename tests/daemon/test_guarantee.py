"""The daemon says upstream where the cluster falls short of what exactly once needs: once for each change (D12)."""

from __future__ import annotations

import json

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tests.support.consumer import read_topic_blocking
from tests.support.farm import Farm
from tests.support.kafka import ask_admin

pytestmark = pytest.mark.broker

TOPIC = "system-events"


def said(farm):
    """The events of this gateway about the guarantee, oldest first."""
    records = read_topic_blocking(farm.kafka.bootstrap, TOPIC)
    events = [json.loads(record.value) for record in records if farm.gateway.encode() in (record.key or b"")]
    return [event for event in events if event["event"] == "guarantee_changed"]


def configure(farm, **configs):
    resource = ConfigResource(ConfigResourceType.TOPIC, TOPIC, {k.replace("_", "."): v for k, v in configs.items()})
    ask_admin(farm.kafka.bootstrap, lambda admin: admin.alter_configs([resource]))


def test_a_cluster_that_falls_short_is_told_of_once_for_each_change():
    with Farm(logging={"level": "debug"}) as farm:
        for topic in (TOPIC, "fleet-reported", "farm-alerts"):
            farm.kafka.create_topic(topic)
        daemon = farm.daemon.start()
        daemon.until(lambda: said(farm), "saying that the cluster falls short")
        assert daemon.stop() == 0
        daemon.start().until(
            lambda: "the guarantees of the Kafka topics have not changed" in daemon.output, "asking again"
        )
        assert daemon.stop() == 0
        no_bound = str(2**63 - 1)  # as before Kafka 4.0
        configure(farm, min_insync_replicas="1", cleanup_policy="compact", message_timestamp_after_max_ms=no_bound)
        daemon.start().until(lambda: len(said(farm)) > 1, "saying that it has changed")
        assert daemon.stop() == 0
        first, second = said(farm)
    assert first["severity"] == "warning"
    assert "replication is 1" in first["text"]
    assert TOPIC in first["data"]["topics"]
    assert "cleanup.policy is compact" not in first["text"]
    assert "cleanup.policy is compact" in second["text"]
    assert first["data"]["times_ahead"] == {}
    assert TOPIC in second["data"]["times_ahead"]
    assert "message.timestamp.after.max.ms allows times" in second["text"]
