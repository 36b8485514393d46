"""Memory of all processes together, and the time from start to the first acknowledged reading."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.farm import TOPICS, Farm
from tests.support.mqtt_tap import MqttTap
from tests.support.proxy import Proxy
from tests.support.publisher import Publisher

CLIP = Path(__file__).parents[1] / "data" / "video" / "9870_Gerres.mp4"
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """PSS over all processes, in MiB; and how many there are."""

    mib: float
    processes: int


def memory(*, camera: bool, seconds: float = 10.0) -> Memory:
    """At 200 readings/s, and with a camera of 960 by 540 at 5 frames/s and the fish model where it is asked for."""
    sections = {}
    if camera:
        watched = {"name": "pen-1", "source": str(CLIP), "tank": "pen-1", "model": "fish", "loop": True, "fps": 5}
        sections = {"cameras": [watched], "models": [{"name": "fish", "path": "package:fish/1"}]}
    with (
        Farm(**sections) as farm,
        Publisher(farm.mosquitto.host, farm.mosquitto.port, "sensors") as publisher,
    ):
        daemon = farm.daemon.start()
        daemon.until_ready()
        if camera:
            daemon.until(lambda: daemon.total("tidegate_model_frames_total") > 10, "looking at frames", 60)
        publisher.publish_evenly(0, int(seconds * 200), 200, TOPICS)
        found = Memory(daemon.memory_bytes() / _MIB, len(daemon.tree()))
        daemon.stop()
        return found


def start_time(times: int = 5) -> list[float]:
    """Seconds from starting the process to the first PUBACK on the wire, with readings waiting in the session."""
    taken = []
    with Farm() as farm:
        mqtt_tap = MqttTap()
        host, port = farm.mosquitto.host, farm.mosquitto.port
        with Proxy(host, port, tap=mqtt_tap) as proxy, Publisher(host, port, "sensors") as publisher:
            farm.mqtt_port = proxy.port
            farm.reconfigure()
            farm.daemon.start().until_ready()
            for time_number in range(times):
                farm.daemon.stop()
                publisher.publish_evenly(time_number * 100, 100, 1_000, TOPICS)
                publisher.wait_acked()
                before = len(mqtt_tap.acknowledged)
                begun = time.monotonic()
                farm.daemon.start()
                while len(mqtt_tap.acknowledged) == before and time.monotonic() - begun < 30:
                    time.sleep(0.001)
                taken.append(time.monotonic() - begun)
                farm.daemon.until_ready()
            farm.daemon.stop()
    return taken
