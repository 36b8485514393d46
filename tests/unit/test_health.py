"""What makes the daemon not ready."""

from __future__ import annotations

from types import SimpleNamespace

from agent.app.health import HubHealth
from agent.supervisor import State, UnitReport


def hub(**away: str) -> SimpleNamespace:
    """As much of a hub as readiness looks at: all well, but for the brokers that are away."""
    reports = [
        UnitReport("log", "control", State.RUNNING, "", "", True, 0, 0),
        UnitReport("mqtt:barge", "source", State.WAITING, "connection refused", "", False, 0, 3),
    ]
    return SimpleNamespace(
        reload=SimpleNamespace(current=object()),
        supervisor=SimpleNamespace(is_stopping=False, reports=lambda: reports),
        log=SimpleNamespace(stats=lambda: SimpleNamespace(stalled=False)),
        brokers=SimpleNamespace(away=away),
    )


def test_a_broker_is_a_reason_once_it_has_been_away_for_minutes():
    assert HubHealth(hub(), None, None).ready() == []
    reasons = HubHealth(hub(barge="connection refused"), None, None).ready()
    assert reasons == ["mqtt:barge: away for 2 minutes or more: connection refused"]
