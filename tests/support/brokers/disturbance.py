"""A gateway disturbed while readings flow, and what a plain consumer then counts in Kafka, by value."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.support.account import of_gateway
from tests.support.consumer import read_topic_blocking
from tests.support.daemon import EXECUTABLE, Daemon, DaemonError, document
from tests.support.farm import TOPICS
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Disturb: TypeAlias = "Callable[[Callable[[float], None]], None]"
_FEW = 50
"""The gateway's own events never stop, so its log is rarely empty."""
_AWAY_AT = 0.3
"""How much of the readings is published when what is disturbed goes away."""
_MARK = "possibly_repeated"


class Disturbance(StrEnum):
    """What happens to the gateway's process, or to the broker's, or to the link between them."""

    KILLED = "killed"
    STOPPED = "stopped"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is published, how often the link is cut, and how long nothing may come before a run is over."""

    readings: int = 5_000
    per_second: float = 250.0
    cuts: int = 6
    quiet_s: float = 6.0
    patience_s: float = 150.0

    @property
    def away_s(self) -> float:
        """How long what was killed or stopped stays away: half the time for which sensors publish."""
        return self.readings / self.per_second / 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of `acked` readings that the MQTT broker took of `sent`; `doubled` counts copies, `marked` those that say so.

    `late_s`: from the last publish to the last reading that the gateway took. `waiting`: records still in the
    gateway's log when the run's patience was over, `connected`: whether it then had its MQTT connection. What waits
    in the log or at the broker is counted as missing.
    """

    sent: int
    acked: int
    missing: int
    doubled: int
    marked: int
    late_s: float
    waiting: int
    connected: bool

    @property
    def whole(self) -> bool:
        return self.acked > 0 and self.missing == 0 and self.doubled == 0


@dataclass(frozen=True, slots=True)
class Published:
    """What sensors published, which of it the broker acknowledged to them, and when the last one left."""

    sent: int
    acked: set[int]
    ended: float


class Sensors(Publisher):
    """Numbered readings; with `counting` each is JSON whose `n` counts up; `login` is a name and its password."""

    counting = False

    def __init__(self, host: str, port: int, client_id: str, *, login: tuple[str, str] | None = None) -> None:
        # No more under way than the least that a broker here takes.
        super().__init__(host, port, client_id, in_flight=10)
        if login is not None:
            self._client.username_pw_set(*login)

    def publish(self, number: int, topic: str, payload: bytes | str) -> None:
        super().publish(number, topic, json.dumps({"value": number, "n": number}) if self.counting else payload)


class Gateway:
    """One gateway's configuration and daemon, with a name of its own in Kafka."""

    def __init__(self, *, mqtt: dict[str, Any], kafka: str, uplink: dict[str, Any] | None = None) -> None:
        self.id = f"gw-{uuid.uuid4().hex[:12]}"
        self._mqtt = mqtt
        self._kafka = kafka
        self._uplink = uplink or {}
        self.daemon = Daemon(self._document)

    def _document(self, folder: Path) -> dict[str, Any]:
        whole = document(
            mqtt_port=self._mqtt["port"], kafka=self._kafka, folder=folder, mqtt=self._mqtt, gateway={"id": self.id}
        )
        whole["kafka"] |= self._uplink
        return whole

    def check(self, per_second: float) -> list[dict[str, Any]]:
        """The parts of `tidegate check --live`, one a broker, each with its lines."""
        command = [str(EXECUTABLE), "check", "--live", "--json", "--rate", f"{per_second:g}"]
        done = subprocess.run(
            [*command, "-c", str(self.daemon.config_file)], capture_output=True, text=True, timeout=400, check=False
        )
        try:
            parts: list[dict[str, Any]] = json.loads(done.stdout)["live"]["parts"]
        except (json.JSONDecodeError, KeyError):
            last = (done.stdout + done.stderr).strip().splitlines()[-1:]
            return [{"name": "check", "lines": [{"subject": "check", "well": None, "text": f"failed: {last}"}]}]
        return parts

    def started(self) -> Daemon:
        """Its daemon, started; one that does not connect in time is left to go on trying."""
        self.daemon.start()
        with contextlib.suppress(DaemonError):
            self.daemon.until_ready()
        return self.daemon

    @property
    def connected(self) -> bool:
        """Whether it has its MQTT connection."""
        return bool(self.daemon.total("tidegate_mqtt_connected"))

    def waiting(self) -> int:
        """How many records its log has not delivered."""
        return int(self.daemon.total("tidegate_log_depth_records"))

    def stand_still(self, size: Size, sent_all: float) -> float:
        """Wait until nothing comes in any more and all of it has left; when the last reading came in.

        A gateway without its connection is waited for, up to the patience of this run.
        """
        daemon = self.daemon
        deadline = time.monotonic() + size.patience_s
        taken, last = -1.0, sent_all
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                now, found = time.monotonic(), daemon.total("tidegate_mqtt_messages_total")
                if found != taken or not self.connected:
                    last = now if found != taken else last
                    taken, quiet_since = found, now
                elif now - quiet_since > size.quiet_s and self.waiting() < _FEW:
                    break
            time.sleep(0.2)
        return last


def publish(sensors: Publisher, size: Size, disturb: Disturb) -> Published:
    """Publish all readings while `disturb` does its work; it is given a way to wait until a share of them is sent."""
    arguments = (0, size.readings, size.per_second, TOPICS)
    sending = threading.Thread(target=sensors.publish_evenly, args=arguments, daemon=True)
    sending.start()

    def until(share: float) -> None:
        while sending.is_alive() and sensors.sent < share * size.readings:
            time.sleep(0.002)

    disturb(until)
    sending.join()
    ended = time.monotonic()
    return Published(size.readings, set(sensors.wait_acked()), ended)


def away(gone: Callable[[], object], back: Callable[[], object], away_s: float) -> Disturb:
    """Something that goes while readings flow, and comes back after a while."""

    def disturb(until: Callable[[float], None]) -> None:
        until(_AWAY_AT)
        gone()
        time.sleep(away_s)
        back()

    return disturb


def cuts(cut: Callable[[], object], times: int) -> Disturb:
    """Connections that are cut, evenly spread."""

    def disturb(until: Callable[[float], None]) -> None:
        for number in range(1, times + 1):
            until(number / (times + 1))
            cut()

    return disturb


def counted(bootstrap: str, gateway: Gateway, published: Published, last: float) -> Outcome:
    """What a consumer of its own finds in Kafka of these readings, of which the last came in at `last`."""
    waiting, connected = gateway.waiting(), gateway.connected
    records = of_gateway(read_topic_blocking(bootstrap, "sensor-data"), gateway.id)
    found: Counter[int] = Counter()
    marks: Counter[int] = Counter()
    for record in records:
        value = int(json.loads(record.value or b"{}")["value"])
        found[value] += 1
        marks[value] += record.header(_MARK) == "1"
    marked = sum(min(count - 1, marks[value]) for value, count in found.items())
    acked = published.acked
    return Outcome(
        sent=published.sent,
        acked=len(acked),
        missing=len(acked - found.keys()),
        doubled=sum(found.values()) - len(found),
        marked=marked,
        late_s=last - published.ended,
        waiting=waiting if waiting >= _FEW else 0,
        connected=connected,
    )
