"""The whole process from its start to its orderly end, and what a reload changes."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.farm import TOPICS, Farm
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker


def _started_farm(kafka, **sections):
    stack = contextlib.ExitStack()
    farm = stack.enter_context(Farm(kafka, **sections))
    publisher = stack.enter_context(Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors"))
    farm.daemon.start().until_ready()
    return stack, farm, publisher


def test_what_the_log_took_is_in_kafka_after_an_orderly_stop(kafka):
    stack, farm, publisher = _started_farm(kafka)
    with stack:
        publisher.publish_evenly(0, 1_000, 1_000, TOPICS)
        acknowledged = set(publisher.wait_acked())
        there = farm.until_arrived(acknowledged)
        assert not there.missing(acknowledged)
        assert there.repeated_ce_ids == 0
        assert farm.daemon.stop() == 0
        lines = {line.topic: line for line in farm.account()}
        assert lines["sensor-data"].committed >= 1_000
        assert [line for line in lines.values() if line.missing or line.duplicated] == []
        assert lines["system-events"].found >= 2, "it says upstream that it started, and that it was told to stop"


def test_the_status_is_there_when_systemd_hears_that_the_start_is_done(kafka):
    """Else `systemctl status` right after `systemctl start` shows none."""
    with Farm(kafka) as farm:
        farm.daemon.start().until_ready()
        farm.daemon.until(lambda: "READY=1" in farm.daemon.notices(), "started")
        before = farm.daemon.notices()[: farm.daemon.notices().index("READY=1")]
        assert any(notice.startswith("STATUS=") and len(notice) > len("STATUS=") for notice in before)
        assert farm.daemon.stop() == 0


def test_a_stop_under_load_loses_nothing(kafka):
    stack, farm, publisher = _started_farm(kafka)
    with stack:
        sending = threading.Thread(target=publisher.publish_evenly, args=(0, 4_000, 2_000, TOPICS), daemon=True)
        sending.start()
        while publisher.sent < 1_500:
            time.sleep(0.01)
        assert farm.daemon.stop() == 0
        sending.join()
        acknowledged = set(publisher.wait_acked())
        assert farm.arrival().missing(acknowledged), "part of it came while the daemon was away"
        farm.daemon.start().until_ready()
        there = farm.until_arrived(acknowledged)
        assert not there.missing(acknowledged)
        assert there.repeated_ce_ids == 0
        assert farm.daemon.stop() == 0


def test_no_process_outlives_a_killed_daemon(kafka):
    clip = Path(__file__).parents[1] / "data" / "video" / "9870_Gerres.mp4"
    camera = {"name": "pen-1", "source": str(clip), "tank": "pen-1", "model": "fish", "loop": True}
    stack, farm, _ = _started_farm(kafka, cameras=[camera], models=[{"name": "fish", "path": "package:fish/1"}])
    with stack:
        farm.daemon.until(lambda: farm.daemon.total("tidegate_model_frames_total") > 0, "looking at frames", 60)
        tree = farm.daemon.tree()
        assert len(tree) >= 3, "a camera and the model host are processes of their own"
        farm.daemon.kill()
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in tree) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [pid for pid in tree if Path(f"/proc/{pid}").exists()] == []


def test_a_second_signal_ends_it_at_once(kafka):
    stack, farm, _ = _started_farm(kafka)
    with stack:
        kafka.pause()
        try:
            farm.daemon.signal(signal.SIGTERM)
            farm.daemon.signal(signal.SIGTERM)
            assert farm.daemon.wait(10) in (0, 128 + signal.SIGTERM)
        finally:
            kafka.resume()


def test_a_reload_takes_a_new_subscription_and_loses_nothing_of_the_others(kafka):
    stack, farm, publisher = _started_farm(kafka)
    with stack:
        sending = threading.Thread(target=publisher.publish_evenly, args=(0, 3_000, 1_000, TOPICS), daemon=True)
        sending.start()
        known = {"topic": "farm/{site}/{tank}/{metric}", "unit": "1"}
        more = {"topic": "more/{tank}/{metric}", "unit": "1"}
        document = farm.document(farm.daemon.folder)
        document["mqtt"][0]["subscriptions"] = [known, more]
        farm.daemon.configure(document)
        farm.daemon.reload()
        farm.daemon.until(lambda: farm.daemon.total("tidegate_config_applied_total") == 2, "reloaded")
        disconnects = farm.daemon.total("tidegate_mqtt_disconnects_total")
        publisher.publish(9_000, "more/tank-1/count", "9000")
        sending.join()
        acknowledged = set(publisher.wait_acked())
        assert 9_000 in acknowledged
        there = farm.until_arrived(acknowledged)
        assert not there.missing(acknowledged)
        assert disconnects == 0, "the session went on"
        crashes = farm.daemon.total("tidegate_unit_crashes_total")
        assert crashes == 0


def test_a_reload_of_a_broken_file_is_refused_and_the_old_document_goes_on(kafka):
    stack, farm, publisher = _started_farm(kafka)
    with stack:
        (farm.daemon.folder / "config.yaml").write_text("gateway: {id: other}\nkafka: nonsense\n")
        farm.daemon.reload()
        farm.daemon.until(lambda: farm.daemon.total("tidegate_config_refused_total") == 1, "refused")
        assert "Traceback" not in farm.daemon.output
        publisher.publish_evenly(0, 100, 1_000, TOPICS)
        acknowledged = set(publisher.wait_acked())
        assert not farm.until_arrived(acknowledged).missing(acknowledged)
        assert farm.daemon.stop() == 0
