"""Killed between fsync and PUBACK: what the broker sends again is in the log already, and stands once in Kafka."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.farm import TOPICS, Farm
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kafka import ApacheKafka

pytestmark = pytest.mark.broker


class Held:
    """A link to the broker on which, while it is held, nothing goes up."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()

    def __call__(self, upward: bool, _data: bytes) -> None:  # noqa: FBT001 - the proxy's direction
        if upward:
            self.open.wait()


@pytest.fixture(params=["3.1.1", "5"])
def farm(request, kafka: ApacheKafka) -> Iterator[tuple[Farm, Proxy, Held]]:
    with Farm(kafka, mqtt={"version": request.param}) as made:
        held = Held()
        with Proxy(made.mosquitto.host, made.mosquitto.port, tap=held) as proxy:
            made.mqtt_port = proxy.port
            made.reconfigure()
            yield made, proxy, held
            held.open.set()


@pytest.mark.parametrize("restarted", [False, True], ids=["broker stays", "broker restarted"])
def test_readings_killed_before_their_acknowledgement_stand_once(farm, restarted):
    gateway, proxy, held = farm
    daemon = gateway.daemon.start()
    daemon.until_ready()
    with Publisher(gateway.mosquitto.host, gateway.mosquitto.port) as publisher:
        publisher.publish_evenly(0, 100, 500.0, TOPICS)
        gateway.until_arrived(set(range(100)))
        daemon.until(lambda: daemon.total("tidegate_mqtt_outstanding_messages") == 0, "acknowledged")
        held.open.clear()
        publisher.publish_evenly(100, 300, 500.0, TOPICS)
        publisher.wait_acked()
        gateway.until_arrived(set(range(400)))
    daemon.kill()
    proxy.cut()
    held.open.set()
    if restarted:
        gateway.mosquitto.restart()
    daemon.start().until_ready()
    with Publisher(gateway.mosquitto.host, gateway.mosquitto.port) as publisher:
        publisher.publish_evenly(400, 50, 500.0, TOPICS)
        there = gateway.until_arrived(set(range(450)))
    assert daemon.total("tidegate_mqtt_redelivered_total") >= 300
    assert daemon.total("tidegate_mqtt_recognised_total") == daemon.total("tidegate_mqtt_redelivered_total")
    assert there.missing(set(range(450))) == set()
    assert (there.repeated_ce_ids, there.repeated_numbers) == (0, 0)
    assert daemon.stop() == 0
