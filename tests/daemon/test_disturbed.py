"""Beside mosquitto on the file of deploy/, disturbed in three ways; `make show-brokers` has the other brokers."""

from __future__ import annotations

import pytest

from tests.support.brokers.disturbance import Disturbance, Size
from tests.support.brokers.kinds import MQTT
from tests.support.brokers.trials import mqtt_row
from tests.support.brokers.verdict import said, true

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


def test_killed_stopped_and_cut_off_beside_the_shipped_mosquitto_nothing_is_missing_and_nothing_came_twice(kafka):
    row = mqtt_row(MQTT["mosquitto"], Size(readings=600, quiet_s=1.5, patience_s=30), kafka.bootstrap)
    assert row.failed == {}
    assert set(row.outcomes) == set(Disturbance)
    for how, outcome in row.outcomes.items():
        assert outcome.acked == 600, (how, outcome)
        assert (outcome.missing, outcome.doubled) == (0, 0), (how, outcome)
    assert (said(row), true(row)) == ("ok", "yes"), row.check
