"""A real video, a real model and a log that commits once a second: how many of the frames are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.daemon import Daemon, document
from tests.support.models import halves
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

CLIP = Path(__file__).parents[1] / "data" / "video" / "9870_Gerres.mp4"
OFFERED = 80
TRIES = 10


def test_v1_a_camera_of_ten_frames_a_second_is_looked_at_whatever_the_commit_interval(tmp_path):
    camera = {"name": "pen", "source": str(CLIP), "tank": "pen", "model": "bright", "fps": 10, "loop": True}

    def config(folder: Path) -> dict[str, object]:
        return document(
            mqtt_port=mosquitto.port,
            kafka="127.0.0.1:1",
            folder=folder,
            log={"commit_interval_ms": 1_000},
            cameras=[camera],
            models=[{"name": "bright", "path": str(halves(tmp_path))}],
        )

    with Mosquitto() as mosquitto, Daemon(config) as daemon:
        daemon.start()

        def counts() -> tuple[float, float]:
            return daemon.total("tidegate_camera_frames_total"), daemon.total("tidegate_model_frames_total")

        # The model is loaded and looks: what came before that could not be looked at.
        daemon.until(lambda: counts()[1] >= 3, "looking")
        # Beside other load a machine may be too busy for a while, which is said and is right. The commit interval
        # would keep frames back in each try.
        for _ in range(TRIES):
            offered_before, looked_at_before = counts()
            daemon.until(lambda least=offered_before + OFFERED: counts()[0] >= least, "offered more frames", 60)
            offered, looked_at = counts()
            share = (looked_at - looked_at_before) / (offered - offered_before)
            if share >= 0.95:
                break
        dropped = {
            tuple(sample.labels.values()): sample.value
            for sample in daemon.metrics()
            if sample.name == "tidegate_dropped_total" and sample.labels["what"] == "frame" and sample.value
        }
        assert share >= 0.95, dropped
        assert daemon.health()["models"]["bright"]["frames"] >= looked_at
        print(f"{looked_at - looked_at_before:.0f} of {offered - offered_before:.0f} frames looked at; {dropped}")
        assert daemon.stop() == 0
