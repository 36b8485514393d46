"""The whole daemon under a wall clock that is wrong, arrives, or is set by a year (C1 to C7 in sync/log/clock.py)."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.account import of_gateway
from tests.support.certificates import issue
from tests.support.consumer import read_topic_blocking
from tests.support.faked_time import EPOCH_S, YEAR_S, FakedTime
from tests.support.farm import TOPICS, Farm
from tests.support.kafka import ApacheKafka
from tests.support.mosquitto import Mosquitto
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.consumer import Record

pytestmark = pytest.mark.broker

ALARM = "farm/site/alarm/count"


@pytest.fixture(scope="module")
def create_time() -> Iterator[ApacheKafka]:
    """A broker of these tests' own, for it is stopped and started; topics keep the gateway's time by default."""
    with ApacheKafka() as broker:
        yield broker


@contextlib.contextmanager
def farm_at(
    offset_s: float, kafka: ApacheKafka, folder: Path, *, synchronised: bool, **log: object
) -> Iterator[tuple[Farm, FakedTime, Publisher]]:
    clock = FakedTime(folder, offset_s)
    with (
        Farm(kafka, environment=clock.environment, log=log) as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
    ):
        synchronise(farm, yes=synchronised)
        farm.daemon.start()
        farm.daemon.until_ready()
        yield farm, clock, publisher
        assert farm.daemon.total("tidegate_dropped_total", what="record") == 0
        assert farm.daemon.stop() == 0


def synchronise(farm: Farm, *, yes: bool) -> None:
    """What a time service would say."""
    file = farm.daemon.folder / "synchronised"
    file.touch() if yes else file.unlink(missing_ok=True)


def arrived(farm: Farm, count: int) -> dict[int, Record]:
    """The numbered readings in Kafka, each there once."""
    there = farm.until_arrived(set(range(count)))
    assert not there.missing(set(range(count)))
    assert there.repeated_ce_ids == 0
    assert there.repeated_numbers == 0
    records = of_gateway(read_topic_blocking(farm.kafka.bootstrap, "sensor-data"), farm.gateway)
    return {int(json.loads(record.value or b"{}")["value"]): record for record in records}


def at_s(record: Record) -> float:
    at = json.loads(record.value or b"{}")["at"]
    assert record.header("ce_time") == at
    return datetime.fromisoformat(at).timestamp()


def test_readings_flow_from_1970_and_what_still_waits_when_time_arrives_is_set_right(
    create_time: ApacheKafka, tmp_path: Path
) -> None:
    """D5: a clock that stands in 1970 stamps nothing that Kafka goes by."""
    heard = threading.Event()
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda *_: heard.set()
    with farm_at(EPOCH_S, create_time, tmp_path, synchronised=False) as (farm, clock, publisher):
        daemon = farm.daemon
        listener.connect(farm.mosquitto.host, farm.mosquitto.port)
        listener.subscribe("tidegate/alerts/#")
        listener.loop_start()
        publisher.publish_evenly(0, 200, 500, TOPICS)
        # Alarms wait for no clock.
        publisher.publish(200, ALARM, "200")
        publisher.wait_acked()
        assert heard.wait(30)
        listener.loop_stop()
        daemon.until_drained()
        farm.kafka.stop()
        began = time.time()
        publisher.publish_evenly(201, 400, 400, TOPICS)
        publisher.wait_acked()
        ended = time.time()
        assert daemon.total("tidegate_clock_trusted") == 0
        clock.set(0)
        synchronise(farm, yes=True)
        publisher.publish(601, TOPICS[0], "601")  # each commit looks at the clock
        daemon.until(lambda: daemon.total("tidegate_clock_trusted") == 1, "trusting its clock")
        publisher.publish_evenly(602, 99, 200, TOPICS)
        publisher.wait_acked()
        farm.kafka.start()
        records = arrived(farm, 701)
        corrected = daemon.total("tidegate_log_corrected_records_total")
    for number in range(201):
        assert records[number].header("clock") == "unsynchronised"
        assert datetime.fromtimestamp(at_s(records[number]), UTC).year == 1970
        assert records[number].timestamp_ms == -1, "no time at all, rather than one that Kafka deletes at once"
    said = Counter(records[number].header("clock") for number in range(201, 601))
    # What was leased before stays as it was leased (D8): no more than the commits under way as the link went.
    assert set(said) <= {"corrected", "unsynchronised"}
    assert said["corrected"] > 200, said
    assert corrected >= said["corrected"]
    for number in range(201, 601):
        if records[number].header("clock") == "corrected":
            assert began - 2 < at_s(records[number]) < ended + 2
    for number in range(601, 701):
        assert records[number].header("clock") in ({"", "corrected"} if number == 601 else {""})
        assert began < at_s(records[number]) < time.time()


@pytest.mark.parametrize("by_s", [YEAR_S, -YEAR_S], ids=["ahead", "back"])
def test_a_clock_set_by_a_year_with_a_backlog_loses_and_doubles_nothing(
    create_time: ApacheKafka, tmp_path: Path, by_s: float
) -> None:
    """D5: a clock that is not believed gives Kafka no time, so a year ahead stops neither sending nor retention."""
    with farm_at(0, create_time, tmp_path, synchronised=True, max_age_days=1) as (farm, clock, publisher):
        daemon = farm.daemon
        publisher.publish_evenly(0, 100, 500, TOPICS)
        publisher.wait_acked()
        daemon.until_drained()
        farm.kafka.stop()
        publisher.publish_evenly(100, 300, 400, TOPICS)
        daemon.until(lambda: daemon.total("tidegate_log_depth_records") >= 300, "keeping what came before")
        clock.set(by_s)
        publisher.publish_evenly(400, 300, 400, TOPICS)
        publisher.wait_acked()
        time.sleep(11)  # the log looks for what is too old every 10 s
        assert daemon.total("tidegate_clock_trusted") == 0
        assert daemon.total("tidegate_log_depth_records") >= 600
        assert daemon.total("tidegate_log_oldest_undelivered_age_seconds", lane="live") < 600
        farm.kafka.start()
        records = arrived(farm, 700)
        assert daemon.total("tidegate_delivery_latency_seconds_sum") < 700 * 600, "nothing took a year"
    assert {records[number].header("clock") for number in range(400)} == {""}
    assert {records[number].header("clock") for number in range(400, 700)} == {"unsynchronised"}
    assert {records[number].timestamp_ms for number in range(400, 700)} == {-1}


def test_a_clock_that_is_believed_and_a_year_ahead_waits_and_goes_on_once_it_is_right(
    create_time: ApacheKafka, tmp_path: Path
) -> None:
    """F5: Kafka takes nothing of it, and the gateway says why."""
    with farm_at(YEAR_S, create_time, tmp_path, synchronised=True) as (farm, clock, publisher):
        daemon = farm.daemon
        publisher.publish_evenly(0, 100, 500, TOPICS)
        publisher.wait_acked()
        daemon.until(lambda: "this gateway's clock is ahead" in daemon.status(), "saying that its clock is ahead", 90)
        assert daemon.total("tidegate_log_depth_records") >= 100
        clock.set(0)
        arrived(farm, 100)


def test_on_a_topic_that_keeps_its_own_time_no_clock_of_a_gateway_matters(tmp_path: Path) -> None:
    """F4, D12: LogAppendTime."""
    with (
        ApacheKafka(config={"log.message.timestamp.type": "LogAppendTime"}) as kafka,
        farm_at(EPOCH_S, kafka, tmp_path, synchronised=False) as (farm, clock, publisher),
    ):
        began_ms = time.time() * 1000
        publisher.publish_evenly(0, 200, 500, TOPICS)
        publisher.wait_acked()
        arrived(farm, 200)
        clock.set(YEAR_S)
        publisher.publish_evenly(200, 200, 500, TOPICS)
        publisher.wait_acked()
        records = arrived(farm, 400)
        for record in records.values():
            assert record.header("clock") == "unsynchronised"
            assert began_ms - 1_000 < record.timestamp_ms < time.time() * 1000 + 1_000


def test_tls_to_both_brokers_needs_no_clock_and_is_judged_again_when_time_arrives(tmp_path: Path) -> None:
    """X2, X3: the box boots in 1970; certificates of today are taken, and stay when the clock is right."""
    files = issue(tmp_path / "tls")
    pair = tmp_path / "pair.pem"
    pair.write_text(files.server_key.read_text() + files.server_cert.read_text())
    link = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LINK:SSL",
        "listener.name.link.ssl.keystore.type": "PEM",
        "listener.name.link.ssl.keystore.location": str(pair),
    }
    clock = FakedTime(tmp_path, EPOCH_S)
    with (
        ApacheKafka(config=link) as kafka,
        Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port),
        Mosquitto(tls=True) as secured,
        Farm(
            kafka,
            environment=clock.environment,
            mqtt={"host": "127.0.0.1", "tls": {"ca_file": str(secured.certificates.ca_file)}},
            kafka={
                "brokers": [f"{kafka.host}:{kafka.link_port}"],
                "security": "ssl",
                "ca_file": str(files.ca_file),
            },
        ) as farm,
    ):
        farm.mqtt_port = secured.port
        farm.daemon.configure(farm.document(farm.daemon.folder))
        synchronise(farm, yes=False)
        daemon = farm.daemon.start()
        daemon.until_ready()
        tls = ("--cafile", str(secured.certificates.ca_file), "-p", str(secured.port))
        subprocess.run(
            ["mosquitto_pub", "-h", "127.0.0.1", *tls, "-q", "1", "-t", TOPICS[0], "-m", "0"], check=True, timeout=60
        )
        assert not farm.until_arrived({0}).missing({0})
        assert daemon.health()["clock"]["trusted"] is False
        clock.set(0)
        synchronise(farm, yes=True)
        daemon.until(lambda: daemon.health()["clock"]["trusted"], "trusting its clock")
        subprocess.run(
            ["mosquitto_pub", "-h", "127.0.0.1", *tls, "-q", "1", "-t", TOPICS[0], "-m", "1"], check=True, timeout=60
        )
        assert not farm.until_arrived({0, 1}).missing({0, 1})
        assert daemon.total("tidegate_mqtt_disconnects_total") == 0
        daemon.until((daemon.state / "time-floor").exists, "keeping the time on disk")
        assert farm.daemon.stop() == 0
