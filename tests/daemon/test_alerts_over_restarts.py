"""Alarms that stand while the daemon is stopped and its configuration changes, on a real broker."""

from __future__ import annotations

import contextlib
import json
import subprocess
from datetime import UTC, datetime

import pytest

from agent.events import Alert, AlertState, Severity
from tests.support.daemon import EXECUTABLE, Daemon, document
from tests.support.listener import Listener
from tests.support.mosquitto import Mosquitto
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker

ALERT = "unit/model:fish"


def sensor(name: str, **limits: float) -> dict[str, object]:
    return {"id": f"{name}_oxygen", "type": "oxygen", "unit": "mg/L", "tank": name, "limits": limits}


def test_a4_only_alarms_whose_cause_is_gone_end_and_they_end_upstream_too():
    with Mosquitto() as mosquitto, Publisher(mosquitto.host, mosquitto.port, "probes") as probes:

        def config(folder, sensors):
            return document(mqtt_port=mosquitto.port, kafka="127.0.0.1:1", folder=folder, sensors=sensors)

        before = [sensor(name, low=5) for name in ("t1", "t2", "t3")]
        # The second one keeps another limit, the third one all.
        after = [sensor("t2", high=20), sensor("t3", low=5)]
        with Daemon(lambda folder: config(folder, before)) as daemon:
            with Listener(mosquitto.host, mosquitto.port) as farm:
                daemon.start().until_ready()
                for number, name in enumerate(("t1", "t2", "t3")):
                    probes.publish(number, f"farm/s/{name}/oxygen", "2.0")
                    farm.wait_for_alarm(f"{name}_oxygen/low")
                kept = daemon.state / "alerts.json"
                daemon.until(lambda: kept.exists() and len(json.loads(kept.read_bytes())["alerts"]) == 3, "kept")
            daemon.kill()
            daemon.configure(config(daemon.folder, after))
            with Listener(mosquitto.host, mosquitto.port) as farm:
                daemon.start().until_ready()
                for name in ("t1", "t2"):
                    farm.wait_for_alarm(f"{name}_oxygen/low", "cleared")
                assert [alert["alert_id"] for alert in daemon.health()["alerts"]] == ["t3_oxygen/low"]
            with Listener(mosquitto.host, mosquitto.port) as farm:
                # Retained: what somebody who comes later finds.
                farm.wait_for_alarm("t3_oxygen/low")
                for name in ("t1", "t2"):
                    farm.wait_for_alarm(f"{name}_oxygen/low", "cleared")
                # While the broker may still send what it has queued, a reading without a time clears nothing (J2).
                for number in range(3, 60):
                    probes.publish(number, "farm/s/t3/oxygen", "7.0")
                    with contextlib.suppress(TimeoutError):
                        farm.wait_for_alarm("t3_oxygen/low", "cleared", timeout_s=0.5)
                        break
                farm.wait_for_alarm("t3_oxygen/low", "cleared")
            daemon.until(lambda: json.loads(kept.read_bytes())["alerts"] == [], "forgotten")
            told = subprocess.run(
                [
                    EXECUTABLE,
                    "log",
                    "--state-dir",
                    str(daemon.state),
                    "tail",
                    "--json",
                    "-n",
                    "50",
                    "--lane",
                    "alert",
                ],
                capture_output=True,
                text=True,
                check=True,
            )
            alerts = [json.loads(line)["value"] for line in told.stdout.splitlines()]
            ids = [f"{name}_oxygen/low" for name in ("t1", "t2", "t3")]
            assert [(one["alert_id"], one["state"]) for one in alerts if one.get("alert_id") in ids] == [
                *((name, "raised") for name in ids),
                *((name, "cleared") for name in ids),
            ]


def test_a_unit_that_fails_as_before_the_restart_stays_raised_throughout():
    model = {"name": "fish", "path": "nowhere"}
    with Mosquitto() as mosquitto:

        def config(folder):
            return document(mqtt_port=mosquitto.port, kafka="127.0.0.1:1", folder=folder, models=[model])

        with Daemon(config) as daemon:
            with Listener(mosquitto.host, mosquitto.port) as farm:
                daemon.start().until_ready()
                farm.wait_for_alarm(ALERT)
                kept = daemon.state / "alerts.json"
                daemon.until(lambda: kept.exists() and ALERT in kept.read_text(), "kept")
            daemon.kill()
            with Listener(mosquitto.host, mosquitto.port) as farm:
                daemon.start().until_ready()
                daemon.until(lambda: daemon.output.count(f"alert {ALERT} raised") == 2, "judged again")
                said = [json.loads(payload) for _, topic, payload in farm.heard if topic.endswith(ALERT)]
                assert {alert["state"] for alert in said} == {"raised"}


def test_a4_alerts_of_connections_and_topics_that_are_no_longer_configured_end():
    gone = {"mqtt/pen/away": "mqtt_away", "mqtt/barge/dropped/old/topic": "mqtt_dropped", "kafka/bygone": "uplink"}
    kept = {"mqtt/barge/repeats": "mqtt_repeats"}
    left = [
        Alert(
            alert_id=alert_id,
            state=AlertState.RAISED,
            severity=Severity.WARNING,
            kind=kind,
            source="an earlier run",
            text="raised by an earlier run",
            at=datetime.now(UTC),
            site_id="site",
        ).model_dump(mode="json", exclude_none=True)
        for alert_id, kind in (gone | kept).items()
    ]
    with Mosquitto() as mosquitto:

        def config(folder):
            return document(mqtt_port=mosquitto.port, kafka="127.0.0.1:1", folder=folder)

        with Daemon(config) as daemon, Listener(mosquitto.host, mosquitto.port) as farm:
            daemon.state.mkdir(parents=True, exist_ok=True)
            (daemon.state / "alerts.json").write_text(
                json.dumps({"alerts": [{"alert": alert, "told": True} for alert in left]})
            )
            daemon.start().until_ready()
            for alert_id in gone:
                farm.wait_for_alarm(alert_id, "cleared")
            farm.wait_for_alarm("mqtt/barge/repeats")
            assert [alert["alert_id"] for alert in daemon.health()["alerts"]] == list(kept)
