"""A log that was restored from a backup, or copied to another machine, under the real daemon (D11)."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.account import of_gateway
from tests.support.consumer import read_topic_blocking
from tests.support.daemon import Daemon
from tests.support.farm import TOPICS, Farm
from tests.support.kafka import ApacheKafka
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


@contextlib.contextmanager
def backed_up(kafka):
    """A farm with a backup of its log: 100 readings delivered, 50 pending, which were delivered since; stopped."""
    with (
        Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port) as link,
        Farm(kafka, kafka={"brokers": [f"{kafka.host}:{kafka.link_port}"]}) as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
    ):
        farm.daemon.start().until_ready()
        publish(farm, publisher, 0, 100)
        link.refuse()
        publisher.publish_evenly(100, 50, 1_000, TOPICS)
        publisher.wait_acked()
        farm.daemon.until(lambda: depth(farm) >= 50, "holding what cannot be sent")
        farm.daemon.stop()
        shutil.copytree(farm.daemon.state, farm.daemon.folder / "backup")
        link.allow()
        farm.daemon.start().until_ready()
        until_there(farm, 0, 150)
        farm.daemon.until(lambda: len(runs(farm)) == 2, "telling its run")
        farm.daemon.stop()
        yield farm, publisher


def publish(farm, publisher, first, count):
    publisher.publish_evenly(first, count, 1_000, TOPICS)
    publisher.wait_acked()
    until_there(farm, first, count)


def until_there(farm, first, count):
    wanted = set(range(first, first + count))
    farm.daemon.until(lambda: not farm.arrival().missing(wanted), "sending fresh readings")


def restore(farm):
    shutil.rmtree(farm.daemon.state)
    shutil.copytree(farm.daemon.folder / "backup", farm.daemon.state)


def depth(farm):
    return sum(lane["depth"] for lane in farm.daemon.health()["log"]["lanes"].values())


def waiting(farm):
    return farm.daemon.health()["log"]["waiting"]


def raised(farm):
    return [alert["alert_id"] for alert in farm.daemon.health()["alerts"]]


def bodies(farm, topic):
    records = of_gateway(read_topic_blocking(farm.kafka.bootstrap, topic), farm.gateway)
    return [json.loads(record.value) for record in records]


def runs(farm):
    return bodies(farm, "gateway-runs")


def events(farm, kind):
    return [event for event in bodies(farm, "system-events") if event["event"] == kind]


def tidegate(farm, *words):
    done = subprocess.run(
        [TIDEGATE, "log", "-c", str(farm.daemon.config_file), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_each_start_tells_its_run_and_finds_its_own_log(kafka):
    with Farm(kafka) as farm:
        for number in (1, 2, 3):
            farm.daemon.start().until_ready()
            farm.daemon.until(lambda wanted=number: len(runs(farm)) == wanted, "telling its run")
            farm.daemon.kill()
        told = runs(farm)
        assert [run["identity"] for run in told] == ["first", "same", "same"]
        assert [run["run"] for run in told] == [1, 2, 3]
        assert len({run["log_id"] for run in told}) == 1
        assert len({run["machine_id"] for run in told}) == 1
        assert [run["log_first_seq"] for run in told] == [1, 1, 1]


def test_what_a_restored_log_holds_waits_while_fresh_readings_flow_until_it_is_discarded(kafka):
    """D11."""
    with backed_up(kafka) as (farm, publisher):
        restore(farm)
        farm.daemon.start().until_ready()
        farm.daemon.until(lambda: waiting(farm) >= 50, "noticing that it was restored")
        publish(farm, publisher, 200, 50)
        assert farm.arrival().repeated_ce_ids == 0
        told = runs(farm)
        assert [run["identity"] for run in told] == ["first", "same", "restored"]
        assert told[-1]["log_id"] != told[0]["log_id"]
        (event,) = events(farm, "log_restored")
        assert (event["data"]["old_log_id"], event["data"]["log_id"]) == (told[0]["log_id"], told[-1]["log_id"])
        farm.daemon.until(lambda: raised(farm) == ["log/waits"], "raising the one alert")
        held = waiting(farm)
        assert int(tidegate(farm, "depth")) >= held
        # Nobody decides, and the power goes: it waits on.
        farm.daemon.kill()
        farm.daemon.start().until_ready()
        farm.daemon.until(lambda: waiting(farm) == held, "still holding what waits")
        assert tidegate(farm, "discard") == f"{held} records were discarded\n"
        assert tidegate(farm, "discard") == "no records are held\n"
        farm.daemon.until(lambda: events(farm, "records_lost"), "telling the loss")
        lost = [event["data"] for event in events(farm, "records_lost")]
        assert sum(loss["count"] for loss in lost) == held
        assert {loss["reason"] for loss in lost} == {"discarded"}
        assert {loss["log_id"] for loss in lost} == {told[0]["log_id"]}
        farm.daemon.until(lambda: raised(farm) == [], "clearing the alert")
        assert runs(farm)[-1]["identity"] == "same"


def test_what_a_copied_log_holds_goes_once_it_is_adopted(kafka):
    with backed_up(kafka) as (farm, publisher):
        farm.reconfigure(gateway={"machine_id": "another-box"})
        restore(farm)
        farm.daemon.start().until_ready()
        farm.daemon.until(lambda: waiting(farm) >= 50, "noticing that it was copied")
        publish(farm, publisher, 200, 50)
        assert runs(farm)[-1]["identity"] == "copied"
        assert farm.arrival().repeated_ce_ids == 0
        held = waiting(farm)
        assert tidegate(farm, "adopt") == f"{held} records are sent, marked possibly_repeated\n"
        farm.daemon.until_drained()
        assert farm.arrival().repeated_ce_ids == 50, "all but that were new to Kafka, and stand there once"


def test_readings_taken_before_it_was_known_that_the_log_is_a_copy_are_not_taken_for_others(kafka):
    with backed_up(kafka) as (farm, publisher):
        # The original goes on: the next numbers are its own.
        farm.daemon.start().until_ready()
        publish(farm, publisher, 300, 50)
        farm.daemon.stop()
        restore(farm)
        kafka.pause()
        try:
            farm.daemon.start().until_ready()
            publisher.publish_evenly(400, 50, 1_000, TOPICS)
            publisher.wait_acked()
            farm.daemon.until(lambda: depth(farm) >= 100, "holding what cannot be sent")
        finally:
            kafka.resume()
        until_there(farm, 400, 50)
        assert waiting(farm) >= 50
        assert farm.arrival().repeated_ce_ids == 0


def test_where_runs_cannot_be_told_the_gateway_says_so_and_sends_all_the_same():
    with (
        ApacheKafka(config={"auto.create.topics.enable": "false"}) as broker,
        Farm(broker) as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
    ):
        for topic in ("sensor-data", "system-events", "farm-alerts", "fleet-reported"):
            broker.create_topic(topic)
        farm.daemon.start().until_ready()
        publisher.publish_evenly(0, 50, 1_000, TOPICS)
        publisher.wait_acked()
        farm.daemon.until(lambda: not farm.arrival().missing(set(range(50))), "sending all the same", 120)
        (event,) = events(farm, "identity_unknown")
        assert "gateway-runs" in event["data"]["reason"]
        broker.create_topic("gateway-runs")
        farm.daemon.until(lambda: len(runs(farm)) == 1, "telling its run late")
        assert runs(farm)[0]["identity"] == "unknown"


def test_a_second_daemon_on_one_log_stops_and_says_why(kafka):
    with Farm(kafka) as farm:
        farm.daemon.start().until_ready()

        def same_log(folder):
            return farm.document(folder, gateway={"state_dir": str(farm.daemon.state), "runtime_dir": str(folder)})

        with Daemon(same_log) as second:
            assert second.start().wait() == 1
            assert f"another daemon (process {farm.daemon.pid}) uses the log" in second.output
            assert "Traceback" not in second.output
        assert farm.daemon.running
        assert farm.daemon.stop() == 0
