"""One gateway under load: the real daemon, killed with -9 and started again, and devices that never rest."""

from __future__ import annotations

import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from tests.support.daemon import Daemon, DaemonError, document
from tests.support.faked_time import FakedTime
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from random import Random

_TANKS = 5
_ALARM_EVERY = 100
"""Each hundredth message is one of a sensor that goes over its limit and comes back by turns."""
_DRAINED_WITHIN_S = 240.0


@dataclass(frozen=True, slots=True)
class Conduct:
    """What is said of a gateway: what its readings look like, its clock, and the sections of its document."""

    per_second: float = 300.0
    measured_ago_s: float | None = None
    clock_offset_s: float | None = None
    kafka: Mapping[str, Any] = field(default_factory=dict)
    prefix: Sequence[str] = ()


class Victim:
    """Its readings are numbers, counted up from `first`. A daemon that ends by itself is an error.

    `kill` may be called from any thread.
    """

    def __init__(self, name: str, first: int, mqtt_port: int, brokers: Sequence[str], conduct: Conduct) -> None:
        self.gateway = name
        self.kills = 0
        self._conduct = conduct
        self._first = first
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._publisher = Publisher("127.0.0.1", mqtt_port, f"devices-{name}")
        self._mqtt_port = mqtt_port
        self._brokers = brokers
        self.daemon = Daemon(self._document, prefix=conduct.prefix)
        if conduct.clock_offset_s is not None:
            self.daemon.environment |= FakedTime(self.daemon.folder, conduct.clock_offset_s).environment
            (self.daemon.folder / "synchronised").unlink()
        self._load = threading.Thread(target=self._publish, name=f"devices of {name}", daemon=True)

    def _document(self, folder: Path) -> dict[str, Any]:
        payload = {} if self._conduct.measured_ago_s is None else {"payload": {"format": "json", "at": "at"}}
        topic = f"{self.gateway}/{{site}}/{{tank}}/{{metric}}"
        whole = document(
            mqtt_port=self._mqtt_port,
            kafka="",
            folder=folder,
            subscriptions=[{"topic": topic, "unit": "1", **payload}],
            sensors=[{"id": "alarm_count", "type": "count", "unit": "1", "tank": "alarm", "limits": {"high": 100}}],
            gateway={"id": self.gateway},
        )
        whole["kafka"] |= {
            "brokers": list(self._brokers),
            # Small, so that outages of seconds are outages to it.
            "request_timeout_s": 5,
            "backfill_after_s": 5,
            "backfill_spread_s": 0,
            **self._conduct.kafka,
        }
        return whole

    def __enter__(self) -> Self:
        self._publisher.__enter__()
        self.daemon.start().until_ready()
        self._load.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.rest()
        self._publisher.__exit__()
        self.daemon.__exit__()

    def _publish(self) -> None:
        started = time.monotonic()
        for index in itertools.count():
            if self._stop.wait(max(0.0, started + index / self._conduct.per_second - time.monotonic())):
                return
            number = self._first + index
            if index % _ALARM_EVERY:
                self._publisher.publish(number, self._topic(f"tank-{index % _TANKS}"), self._payload(number))
            else:
                value = number if index // _ALARM_EVERY % 2 else -number
                self._publisher.publish(number, self._topic("alarm"), self._payload(value))

    def _topic(self, tank: str) -> str:
        return f"{self.gateway}/site/{tank}/count"

    def _payload(self, value: int) -> str:
        if self._conduct.measured_ago_s is None:
            return str(value)
        at = datetime.now(UTC) - timedelta(seconds=self._conduct.measured_ago_s)
        return json.dumps({"value": value, "at": at.isoformat(timespec="microseconds")})

    def kill(self, while_dead: Callable[[], None] = lambda: None) -> None:
        """SIGKILL, whatever it does, and start again.

        Raises:
            DaemonError: it had ended by itself.
        """
        with self._lock:
            if not self.daemon.running:
                raise DaemonError(f"{self.gateway} ended by itself:\n{self.daemon.output[-4_000:]}")
            self.daemon.kill()
            self.kills += 1
            while_dead()
            self.daemon.start()

    def rest(self) -> None:
        """The devices publish no more."""
        self._stop.set()
        if self._load.ident is not None:
            self._load.join()

    def settle(self) -> set[int]:
        """Rest, wait until all is delivered, and stop in order; the numbers that the MQTT broker acknowledged.

        Raises:
            DaemonError: it did not drain, or ended otherwise than in order.
        """
        self.rest()
        acked = set(self._publisher.wait_acked())
        self.daemon.until_ready(120.0)
        deadline = time.monotonic() + _DRAINED_WITHIN_S
        # What mosquitto still holds for it comes in the next moments.
        time.sleep(2.0)
        self.daemon.until_drained(max(1.0, deadline - time.monotonic()))
        if status := self.daemon.stop():
            raise DaemonError(f"{self.gateway} ended with {status}:\n{self.daemon.output[-4_000:]}")
        return acked

    @property
    def log_file(self) -> Path:
        return self.daemon.state / "log.sqlite"


class Killer:
    """Kills one gateway `kills` times at moments drawn by chance, and every so often just as the cluster changed.

    Each `look_every`-th time it stays dead until `while_dead` returns.
    """

    def __init__(
        self,
        victim: Victim,
        kills: int,
        every_s: float,
        random: Random,
        *,
        while_dead: Callable[[], None],
        look_every: int = 4,
    ) -> None:
        self.victim = victim
        self._kills = kills
        self._every_s = every_s
        self._random = random
        self._while_dead = while_dead
        self._look_every = look_every
        self._hint = threading.Event()
        self._allowed = threading.Event()
        self._allowed.set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"killer of {victim.gateway}", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def hint(self) -> None:
        """Something just changed: a good moment."""
        self._hint.set()

    def spare(self, yes: bool) -> None:  # noqa: FBT001 - yes or no
        """Whether to wait before the next kill until it is spared no longer."""
        if yes:
            self._allowed.clear()
        else:
            self._allowed.set()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        self._stop.set()
        self._hint.set()
        self._allowed.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while self.victim.kills < self._kills:
                self._hint.clear()
                if self._random.random() < 0.15:
                    # While it starts.
                    self._stop.wait(self._random.uniform(0.05, 1.0))
                elif self._random.random() < 0.5:
                    self._stop.wait(self._random.uniform(1.0, 2 * self._every_s))
                elif self._hint.wait(2 * self._every_s):
                    self._stop.wait(self._random.uniform(0.0, 0.5))
                self._allowed.wait()
                if self._stop.is_set():
                    return
                look = self.victim.kills % self._look_every == self._look_every - 1
                self.victim.kill(self._while_dead if look else lambda: None)
        except BaseException as error:  # noqa: BLE001 - told to who waits for the end
            self.failure = error
