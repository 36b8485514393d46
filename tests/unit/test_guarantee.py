"""What the daemon tells of what a cluster grants (D12)."""

import pytest

from agent.app.guarantee import shortfalls, without_bound
from sync.kafka.questions.assess import AHEAD, Finding, Role, TopicAssessment, Weight, _ahead


def assessed(*findings):
    return [TopicAssessment("sensor-data", Role.RECORDS, findings)]


def test_what_may_not_be_asked_is_not_taken_to_hold():
    replicas = Finding("replication", True, Weight.GUARANTEE, "replication is 3")
    in_sync = Finding("min.insync.replicas", None, Weight.GUARANTEE, "min.insync.replicas may not be asked")
    stamps = Finding("message.timestamp.type", None, Weight.ADVICE, "message.timestamp.type may not be asked")
    assert shortfalls(assessed(replicas, in_sync, stamps)) == {"sensor-data": [in_sync.text]}
    assert shortfalls(assessed(replicas, stamps)) == {}


NO_BOUND = str(2**63 - 1)
DIFFERENCE = "message.timestamp.difference.max.ms"


@pytest.mark.parametrize(
    ("configs", "holds", "named"),
    [
        ({AHEAD: "3600000"}, True, AHEAD),
        ({AHEAD: NO_BOUND}, False, AHEAD),
        ({AHEAD: NO_BOUND, DIFFERENCE: NO_BOUND}, False, AHEAD),
        ({AHEAD: NO_BOUND, DIFFERENCE: "3600000"}, True, AHEAD),
        ({DIFFERENCE: NO_BOUND}, False, DIFFERENCE),
        ({DIFFERENCE: "3600000"}, True, DIFFERENCE),
        ({}, None, AHEAD),
    ],
    ids=["4.0", "4.0, opened", "3.9", "3.9, bounded by the old name", "2.8", "2.8, bounded", "not told"],
)
def test_how_far_ahead_a_time_may_be_is_told_by_either_name(configs, holds, named):
    """D5."""
    found = _ahead(configs)
    assert (found.holds, found.weight) == (holds, Weight.ADVICE)
    assert named in found.text
    assert shortfalls(assessed(found)) == {}, "no record is lost or doubled by it"
    assert (without_bound(assessed(found)) == {"sensor-data": found.text}) is (holds is False)
