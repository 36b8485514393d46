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


def test_the_lock_of_a_log_that_is_come_to_by_a_link_lies_beside_the_file_itself(tmp_path):
    """Else a second daemon would take the same log, each with a lock of its own."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "log.sqlite").symlink_to(tmp_path / "first" / "log.sqlite")
    document = DOCUMENT.format(pen="port: 1884")
    paths = {
        log_settings(parse(document.replace("site: site-1", f"site: s, state_dir: {tmp_path / folder}"))).path
        for folder in ("first", "second")
    }
    assert paths == {tmp_path / "first" / "log.sqlite"}
