"""What the daemon tells of what a cluster grants (D12)."""

from agent.app.guarantee import shortfalls
from sync.kafka.assess import Finding, Role, TopicAssessment, Weight


def assessed(*findings):
    return [TopicAssessment("sensor-data", Role.RECORDS, findings)]


def test_what_may_not_be_asked_is_not_taken_to_hold():
    replicas = Finding("replication", True, Weight.GUARANTEE, "replication is 3")
    in_sync = Finding("min.insync.replicas", None, Weight.GUARANTEE, "min.insync.replicas may not be asked")
    stamps = Finding("message.timestamp.type", None, Weight.ADVICE, "message.timestamp.type may not be asked")
    assert shortfalls(assessed(replicas, in_sync, stamps)) == {"sensor-data": [in_sync.text]}
    assert shortfalls(assessed(replicas, stamps)) == {}
