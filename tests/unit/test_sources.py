"""What figures and status see of the sources, over a broker that is not there."""

import socket

import pytest

import drivers
from agent.app.sources import Sources
from agent.config import parse
from agent.events import Encoder
from agent.pipeline import Alerts, Intake, Outbox
from models.host import ModelHost
from sync.log import LogSettings, MemoryLog

DOCUMENT = """
gateway: {{id: gw-1, site: site_001}}
kafka: {{brokers: ["127.0.0.1:9092"]}}
mqtt:
  - {{name: {name}, local: true, port: {port}}}
"""


async def test_a_connection_that_is_down_stays_in_the_figures_until_a_document_leaves_it_out():
    outbox = Outbox(MemoryLog(LogSettings(path="unused", gateway_id="gw-1")))
    encoder = Encoder("gw-1", "site_001")
    alerts = Alerts(outbox, encoder)
    intake = Intake(outbox, alerts, encoder, lambda *_: None)
    sources = Sources(intake, alerts, outbox, encoder, ModelHost())
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        config = parse(DOCUMENT.format(name="barge", port=nobody.getsockname()[1]))
        (planned,) = sources.plan(config)
        unit = planned.build(planned.settings).unit
        with pytest.raises(drivers.NotReady):
            await unit.run()
    assert not sources.connections["barge"].connected
    assert unit.up().startswith("connecting to 127.0.0.1:")
    sources.plan(parse(DOCUMENT.format(name="other", port=1)))
    assert sources.connections == {}
