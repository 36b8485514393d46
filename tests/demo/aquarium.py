"""A fish tank's sensors as an ordinary MQTT client: real minutes of a tank, published faster than they passed."""

from __future__ import annotations

import csv
import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[1] / "data" / "aquarium"
_TANKS = {"tank_001": "kumwq_30cm.csv", "tank_002": "kumwq_60cm.csv"}
"""As config.yaml names them: the two depths stand for two tanks."""


_METRICS = {"Temperature": "temperature", "pH": "ph", "Turbidity": "turbidity"}
OXYGEN_MG_PER_L = 7.6
ROW_EVERY_S = 60.0
"""The rows are a minute apart."""


def minutes() -> Iterator[list[tuple[str, str]]]:
    """For each minute the messages (topic, payload) of all sensors; from the beginning again at the end."""
    tables = {tank: list(csv.DictReader((FOLDER / file).read_text().splitlines())) for tank, file in _TANKS.items()}
    while True:
        for rows in zip(*tables.values(), strict=True):
            messages = [
                (f"farm/site_001/{tank}/{metric}", row[column])
                for tank, row in zip(tables, rows, strict=True)
                for column, metric in _METRICS.items()
                if column in row
            ]
            # The data has no oxygen: a made-up probe, so that a saturation can be derived.
            yield [*messages, ("farm/site_001/tank_001/oxygen", f"{OXYGEN_MG_PER_L:g}"), _zigbee(rows[-1])]


def _zigbee(row: dict[str, str]) -> tuple[str, str]:
    """The temperature once more, as Zigbee2MQTT publishes it: all that it knows of a device, with a time."""
    seen = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = {"temperature": float(row["Temperature"]), "battery": 97, "linkquality": 84, "last_seen": seen}
    return "zigbee2mqtt/tank_002_deep", json.dumps(known)


class Aquarium(threading.Thread):
    """Publishes at QoS 1 in a thread of its own, `speed` times as fast as the data was taken."""

    def __init__(self, host: str, port: int, speed: float) -> None:
        super().__init__(name="aquarium", daemon=True)
        self._publisher = Publisher(host, port, "aquarium")
        self._pause_s = ROW_EVERY_S / speed
        self._ended = threading.Event()
        self.published = 0
        self.acknowledged = 0

    def run(self) -> None:
        with self._publisher:
            due = time.monotonic()
            for messages in minutes():
                for topic, payload in messages:
                    self._publisher.publish(self.published, topic, payload)
                    self.published += 1
                due += self._pause_s
                if self._ended.wait(max(0.0, due - time.monotonic())):
                    break
            self.acknowledged = len(self._publisher.wait_acked(10.0))

    def end(self) -> None:
        """Stop publishing, and wait for the broker's last acknowledgements."""
        self._ended.set()
        if self.is_alive():
            self.join(15.0)
