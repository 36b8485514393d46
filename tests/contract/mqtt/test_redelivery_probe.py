"""`check --live` loses a connection of its own and says what the broker made of it."""

from __future__ import annotations

import pytest

from agent.app.live import again_lines
from drivers.mqtt.probes.redelivery import Again, redelivery
from drivers.mqtt.settings import MqttSettings
from tests.support.amqtt import Amqtt
from tests.support.proxy import Proxy
from tests.support.unlike import AEDES, ARTEMIS, MOCHI, MOQUETTE, MOSQUITTO, RUMQTTD, Unlike

pytestmark = pytest.mark.broker


def at(broker, **more):
    return MqttSettings("barge", "daemon", "s", host=broker.host, port=broker.port, **more)


async def test_mosquitto_sends_again_in_order_and_marked(broker, version):
    found = await redelivery(at(broker, version=version))
    assert found == Again(8, kept=True, again=8, marked=8, same_ids=8, in_order=True, queued=8)
    assert [(line.well, line.subject) for line in again_lines(found, told=False)] == [(True, "again")]
    broker.stop()
    assert b"tidegate" not in broker.database.read_bytes()
    broker.start()


@pytest.mark.parametrize(
    ("kind", "well", "said"),
    [
        (MOSQUITTO, True, "with DUP, under the same ids, in order: each reading is stored once"),
        (MOQUETTE, True, "with DUP, under the same ids"),
        (MOCHI, True, "it also sets DUP on messages that it never sent"),
        (AEDES, False, "without DUP, under the same ids"),
        (ARTEMIS, False, "without DUP, under new ids"),
        (RUMQTTD, False, "without DUP, under new ids"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_what_other_brokers_do_is_said_with_the_cure(broker, kind, well, said):
    with Proxy(broker.host, broker.port, tap=Unlike(kind)) as proxy:
        found = await redelivery(at(proxy, version="3.1.1"))
    assert (found.taken, found.again, found.queued) == (8, 8, 8)
    (line,) = again_lines(found, told=False)
    assert said in line.text
    assert line.well is well
    assert line.well or "payload.counter" in line.why[-1]
    (line,) = again_lines(found, told=True)
    assert line.well


async def test_amqtt_sends_nothing_again_and_marks_its_queue_as_retained(tmp_path):
    password = tmp_path / "password"
    password.write_text("s3cret")
    with Amqtt({"gateway": "s3cret"}) as broker:
        found = await redelivery(at(broker, version="3.1.1", username="gateway", password_file=password))
    assert (found.kept, found.again, found.queued, found.retained) == (True, 0, 8, 8)
    again, retain = again_lines(found, told=True)
    assert (again.well, retain.well) == (False, True)
    assert "redelivers only 0 of 8 unacknowledged messages" in again.text
