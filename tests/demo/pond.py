"""A pond with a story of 40 seconds, told again and again: a probe that lies, then oxygen that falls and comes back.

Two oxygen probes. One of them jumps to 3 mg/L while the other one shows 8: a warning, "probe suspected"; as it stays
there, it cannot be told which of the two is right, and it is an alarm. Then both fall: forecast, alarm, clear again.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import yaml
from rich.table import Table

from tests.support.daemon import ROOT
from tests.support.listener import Listener
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TANK = "pond_001"
PROBES = (f"{TANK}_oxygen_a", f"{TANK}_oxygen_b")
_EVERY_S = 0.25
_STORY_S = 40.0


def document(_folder: Path) -> dict[str, Any]:
    """config.yaml, with the pond's sensors, how they are judged, and their rules."""
    whole: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    connection = whole["mqtt"][0]
    connection["subscriptions"].append(
        {
            "topic": f"pond/{{site}}/{TANK}/{{sensor}}",
            "sensor_id": "{sensor}",
            "sensor_type": "oxygen",
            "tank": TANK,
            "unit": "mg/L",
        }
    )
    limits = {"low": 5, "hysteresis": 0.3}
    for name, other in zip(PROBES, reversed(PROBES), strict=True):
        whole["sensors"].append({"id": name, "type": "oxygen", "unit": "mg/L", "tank": TANK, "limits": limits})
        judged = {"sensor": name, "neighbour": other, "tolerance": 1, "max_age_s": 10, "clear_after_s": 3}
        whole.setdefault("quality", []).append(judged)
    fast = {"forecast_s": 30, "trend_s": 3, "hold_off_s": 0, "clear_after_s": 1}
    whole.setdefault("rules", []).append({"sensor": PROBES[1], "silent_after_s": 30, "unwatched_after_s": 60, **fast})
    return whole


def story() -> Iterator[tuple[float, float]]:
    """What the two probes show, step by step."""
    number = 0
    while True:
        at_s = number * _EVERY_S % _STORY_S
        water = 8.0
        if at_s >= 32:
            water = min(8.0, 4.4 + (at_s - 32) * 0.6)
        elif at_s >= 18:
            water = max(4.4, 8.0 - (at_s - 18) * 0.3)
        digit = number * 7 % 5 * 0.01
        lies = 9 <= at_s < 14
        yield (3.0 if lies else water + digit), water + 0.1 - digit
        number += 1


class Pond(threading.Thread):
    """Publishes at QoS 1 in a thread of its own, four times a second."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(name="pond", daemon=True)
        self._publisher = Publisher(host, port, "pond")
        self._listener = Listener(host, port)
        self._ended = threading.Event()
        self.published = 0
        self.acknowledged = 0

    def run(self) -> None:
        with self._publisher, self._listener:
            for values in story():
                for name, value in zip(PROBES, values, strict=True):
                    self._publisher.publish(self.published, f"pond/site_001/{TANK}/{name}", f"{value:.2f}")
                    self.published += 1
                if self._ended.wait(_EVERY_S):
                    break
            self.acknowledged = len(self._publisher.wait_acked(10.0))

    def end(self) -> None:
        """Stop publishing, and wait for the broker's last acknowledgements."""
        self._ended.set()
        if self.is_alive():
            self.join(15.0)

    def told(self) -> Table:
        """The pond's alerts as a foreign client has heard them, in order, from the first that was raised."""
        table = Table(title=f"Alerts of {TANK}, as heard on the local broker", title_justify="left")
        for column in ("alert", "state", "severity", "what it said"):
            table.add_column(column)
        raised: set[str] = set()
        for _, _, payload in self._listener.heard:
            alert = json.loads(payload)
            name = alert["alert_id"]
            if alert.get("tank_id") != TANK or (alert["state"] == "cleared" and name not in raised):
                continue
            raised.add(name)
            style = "red" if alert["state"] == "raised" else "green"
            severity = alert["severity"] if alert["state"] == "raised" else ""
            table.add_row(name, alert["state"], severity, alert["text"], style=style)
        return table
