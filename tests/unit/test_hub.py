import pytest

from agent.app.hub import log_settings
from agent.config import parse

DOCUMENT = """\
gateway: {{id: gw-1, site: site-1}}
kafka: {{brokers: ["127.0.0.1:9092"]}}
mqtt:
  - {{name: barge, local: true}}
  - {{name: pen, {pen}}}
"""


@pytest.mark.parametrize(
    ("pen", "records"), [("port: 1884", 4000), ("receive_maximum: 100", 100), ("version: 3.1.1", 20)]
)
def test_a_commit_never_waits_for_more_messages_than_a_broker_lets_stand(pen, records):
    assert log_settings(parse(DOCUMENT.format(pen=pen))).commit_records == records
