"""`tidegate check --live` against real brokers: which guarantee holds, and what is missing for it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.app.guarantee import COMPACTED
from agent.events import TOPICS
from tests.support.cluster import KafkaCluster
from tests.support.mosquitto import DEPLOYED, Mosquitto

pytestmark = pytest.mark.broker

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


def check(folder, kafka, brokers, *words, **sections):
    connections = [
        {"name": name, "local": name == "barge", "host": broker.host, "port": broker.port, **more}
        for name, (broker, more) in brokers.items()
    ]
    document = {
        "gateway": {"id": "gw", "site": "s", "state_dir": str(folder), "runtime_dir": str(folder)},
        "kafka": {"brokers": list(kafka)},
        "mqtt": connections,
        **sections,
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(document))
    command = [TIDEGATE, "check", "--live", "-c", str(path), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture(scope="module")
def cluster():
    with KafkaCluster({"auto.create.topics.enable": "false"}) as cluster:
        yield cluster


def test_a_farm_as_it_should_be_is_well_and_one_that_is_not_says_why(cluster, tmp_path):
    good = {"message.timestamp.type": "LogAppendTime"}
    for topic in TOPICS:
        if topic not in ("camera-events", "farm-alerts", *COMPACTED):
            cluster.create_topic(topic, None, good)
    for topic in COMPACTED:
        cluster.create_topic(topic, None, {"cleanup.policy": "compact"})
    with Mosquitto(conf=DEPLOYED) as shipped, Mosquitto() as plain:
        done = check(tmp_path, cluster.bootstrap, {"barge": (shipped, {})})
        assert (done.returncode, done.stderr) == (1, "")
        assert "  NOT farm-alerts: the topic does not exist: create it" in done.stdout
        assert "camera-events" not in done.stdout, "there is no camera"
        cluster.create_topic("farm-alerts", None, good)
        done = check(tmp_path, cluster.bootstrap, {"barge": (shipped, {})})
        assert (done.returncode, done.stderr) == (0, "")
        assert "  ok  sensor-data: exactly once" in done.stdout
        cluster.create_topic("fleet-desired", {0: [1, 2]}, {"cleanup.policy": "compact"})
        brokers = {"barge": (shipped, {}), "old": (plain, {"version": "3.1.1"})}
        done = check(tmp_path, cluster.bootstrap, brokers, "--json", fleet={"partition": 0})
        assert (done.returncode, done.stderr) == (1, "")
        live = json.loads(done.stdout)["live"]
    assert not live["well"]
    lines = {(part["name"], line["subject"]): line for part in live["parts"] for line in part["lines"]}
    assert not lines["kafka", "fleet-desired"]["well"]
    assert "replication is 2" in lines["kafka", "fleet-desired"]["why"][0]
    assert lines["mqtt:barge", "queue"]["well"]
    assert lines["mqtt:barge", "window"]["well"]
    assert not lines["mqtt:old", "queue"]["well"]
    assert "the queue is full after 5 s" in lines["mqtt:old", "queue"]["why"][0]
    assert "an alarm can be delayed by 4.9 s" in lines["mqtt:old", "window"]["why"][0]


def test_brokers_that_do_not_answer_are_not_well_and_give_no_traceback(tmp_path):
    class Nobody:
        host, port = "127.0.0.1", 1

    done = check(tmp_path, ["127.0.0.1:1"], {"barge": (Nobody, {})})
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("cannot check: ") == 2
    assert "Traceback" not in done.stdout


def test_a_broker_without_idempotent_producers_is_told_by_that_name(tansu, mosquitto, tmp_path):
    """It also closes the connection when asked for settings by name: that costs no other question its answer."""
    tansu.create_topic("sensor-data")
    done = check(tmp_path, [tansu.bootstrap], {"barge": (mosquitto, {})}, "--fill", "20", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    (kafka,) = [part for part in json.loads(done.stdout)["live"]["parts"] if part["name"] == "kafka"]
    lines = {line["subject"]: line for line in kafka["lines"]}
    assert lines["brokers"]["well"]
    assert not lines["producers"]["well"]
    assert "kafka.delivery: the broker does not support idempotent producers" in lines["producers"]["text"]
    assert "sensor-data" in lines, "its topics were asked for all the same"
    assert "closed" not in done.stdout


def test_an_announced_broker_that_nobody_reaches_is_named(kafka, mosquitto, tmp_path):
    """What the cluster says first is one thing, and where it sends the gateway then is another."""
    announced = f"{kafka.host}:{kafka.link_port}"
    behind = f"{kafka.host}:{kafka.behind_link_port}"
    done = check(tmp_path, [behind], {"barge": (mosquitto, {})}, "--fill", "20")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"NOT {behind} announces broker 1 as {announced}, which cannot be reached" in done.stdout
    assert "advertised.listeners" in done.stdout
