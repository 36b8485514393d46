"""What happens to the whole process when it, its brokers, its disk or its camera fail. Short forms of `make show`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.shows.disk import full, noise
from tests.shows.kill import kill
from tests.shows.outage import outage
from tests.shows.restart import restart
from tests.shows.soak import soak
from tests.shows.stall import stall
from tests.support.disks import LoopDisk
from tests.support.farm import TOPICS, Farm
from tests.support.forgetful.mount import Forgetful
from tests.support.publisher import Publisher

pytestmark = pytest.mark.broker

CLIP = Path(__file__).parents[1] / "data" / "video" / "9870_Gerres.mp4"


def test_killed_twice_under_load_it_loses_and_doubles_nothing(kafka):
    outcome = kill(kills=2, readings=5_000, per_second=1_500, kafka=kafka)
    assert outcome.acknowledged == 5_000
    assert outcome.missing == 0, str(outcome)
    assert outcome.repeated_ce_ids == 0, str(outcome)


def test_a_kafka_that_is_away_is_waited_for_and_nothing_is_lost():
    outcome = outage(outage_s=10, per_second=1_000)
    assert outcome.backlog > 5_000, "the log held what came meanwhile"
    assert outcome.delivered, str(outcome)


def test_an_orderly_restart_of_mosquitto_loses_nothing(kafka):
    outcome = restart("order", readings=6_000, per_second=1_500, away_s=2, kafka=kafka)
    assert outcome.acknowledged_by_mosquitto == outcome.published
    assert outcome.good, str(outcome)


def test_of_a_killed_mosquitto_everything_that_the_gateway_acknowledged_arrives(kafka):
    outcome = restart("kill", readings=6_000, per_second=1_500, away_s=2, kafka=kafka)
    assert outcome.acknowledged_by_gateway > 1_000
    assert outcome.lost_by_gateway == 0, str(outcome)
    assert outcome.repeated_ce_ids == 0, str(outcome)


def test_a_log_overwritten_with_noise_is_put_aside_and_the_gateway_goes_on(kafka):
    outcome = noise(kafka)
    assert outcome.after_arrived == outcome.after == 500, str(outcome)
    assert outcome.alarm_heard, str(outcome)
    assert outcome.told, "it says upstream that the file was put aside"


def test_a_log_that_may_not_grow_stalls_says_so_and_alarms_sound(kafka):
    outcome = full("fsize", kafka, readings=1_000)
    assert outcome.stalled, str(outcome)
    assert outcome.good, str(outcome)


@pytest.mark.skipif(not LoopDisk.possible(), reason="mounting a small disk needs root; the bound on files is tested")
def test_on_a_full_disk_it_goes_on_starts_anew_and_alarms_sound(kafka):
    outcome = full("loop", kafka, readings=1_000)
    assert outcome.good, str(outcome)


@pytest.mark.skipif(not Forgetful.possible(), reason="needs root and FUSE 3")
@pytest.mark.parametrize(("how", "restart"), [("hung", False), ("read-only", False), ("hung", True)])
def test_a_disk_that_hangs_or_turns_read_only_holds_up_no_alarm_and_every_loss_is_told(kafka, how, restart):
    outcome = stall(how, 9.0, kafka, restart=restart)
    assert outcome.good, str(outcome)
    assert outcome.ahead_of_stall, "an alarm waits for no commit"
    assert outcome.while_bad == outcome.sent, str(outcome)
    assert outcome.missing > 0, "the log did stall"


def test_it_boots_with_nothing_there_and_says_what_it_waits_for():
    outcome = soak(5)
    assert outcome.good, str(outcome)


def test_a_camera_that_dies_comes_back_and_readings_never_stop(kafka):
    camera = {"name": "pen-1", "source": str(CLIP), "tank": "pen-1", "model": "fish", "loop": True}
    with (
        Farm(kafka, cameras=[camera], models=[{"name": "fish", "path": "package:fish/1"}]) as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
    ):
        daemon = farm.daemon.start()
        daemon.until_ready()
        published = 0
        for victim in ("drivers.camera", "models.host"):
            daemon.until(lambda: daemon.total("tidegate_model_frames_total") > 5, "looking at frames", 60)
            (pid,) = [pid for pid in daemon.tree()[1:] if victim in _command(pid)]
            os.kill(pid, signal.SIGKILL)
            publisher.publish_evenly(published, 200, 500, TOPICS)
            published += 200
            frames = daemon.total("tidegate_model_frames_total")
            daemon.until(
                lambda before=frames: daemon.total("tidegate_model_frames_total") > before + 10, "looking again", 60
            )
        acknowledged = set(publisher.wait_acked())
        assert not farm.until_arrived(acknowledged).missing(acknowledged)
        assert daemon.stop() == 0


def test_a_camera_that_hangs_is_replaced(kafka):
    camera = {"name": "pen-1", "source": str(CLIP), "tank": "pen-1", "loop": True, "heartbeat_timeout_s": 1}
    with Farm(kafka, cameras=[camera]) as farm:
        daemon = farm.daemon.start()
        daemon.until(lambda: daemon.total("tidegate_camera_frames_total") > 5, "capturing", 60)
        (pid,) = [pid for pid in daemon.tree()[1:] if "drivers.camera" in _command(pid)]
        os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not Path(f"/proc/{pid}").exists(), "a process that gives no sign of life is ended"
        frames = daemon.total("tidegate_camera_frames_total")
        daemon.until(lambda: daemon.total("tidegate_camera_frames_total") > frames, "capturing again", 60)
        assert daemon.stop() == 0


def test_a_gateway_that_was_asleep_keeps_what_waited(kafka):
    # Suspended, starved or stopped: time in which nothing ran says nothing about the disk.
    log = {"log_stall_s": 1, "commit_interval_ms": 800}
    with Farm(kafka, log=log) as farm, Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher:
        daemon = farm.daemon.start()
        daemon.until_ready()
        for number in range(3):
            publisher.publish_evenly(300 * number, 300, 500, TOPICS)
            daemon.signal(signal.SIGSTOP)
            time.sleep(3)
            daemon.signal(signal.SIGCONT)
        acknowledged = set(publisher.wait_acked())
        assert not farm.until_arrived(acknowledged).missing(acknowledged)
        assert daemon.total("tidegate_dropped_total", what="record") == 0
        assert daemon.stop() == 0


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
