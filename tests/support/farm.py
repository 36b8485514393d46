"""A farm: mosquitto on the configuration of deploy/, a Kafka, and one gateway between them."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.account import Arrival, account, arrival
from tests.support.daemon import Daemon, DaemonError, document
from tests.support.kafka import ApacheKafka
from tests.support.mosquitto import DEPLOYED, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.account import Line

TOPICS = tuple(f"farm/site/tank-{number}/count" for number in range(1, 6))
_FEW = 50
"""A camera's events never stop, so the log is rarely empty."""
ALARMED = {"id": "alarm_count", "type": "count", "unit": "1", "tank": "alarm", "limits": {"high": 100}}
"""A sensor with a limit: `farm/site/alarm/count` above 100 is an alarm `alarm_count/high`."""


class Farm:
    """Two brokers that run and a gateway that waits to be started; a Kafka that is lent is left running.

    `mqtt_port` puts something between gateway and mosquitto; `sections` go into the gateway's document.
    """

    def __init__(
        self,
        kafka: ApacheKafka | None = None,
        /,
        *,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        **sections: Any,
    ) -> None:
        self._stack = ExitStack()
        self._lent = kafka
        self._prefix = prefix
        self._environment = environment
        self.sections = sections
        self.gateway = f"gw-{uuid.uuid4().hex[:12]}"
        self.mqtt_port: int | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.mosquitto = stack.enter_context(Mosquitto(conf=DEPLOYED))
            self.kafka = self._lent or stack.enter_context(ApacheKafka())
            self.daemon = stack.enter_context(
                Daemon(self.document, environment=self._environment, prefix=self._prefix)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def document(self, folder: Path, **sections: Any) -> dict[str, Any]:
        """The gateway's configuration, with more `sections` than it has by itself."""
        more = {"sensors": [ALARMED], **self.sections, **sections}
        more["gateway"] = {"id": self.gateway, **more.get("gateway", {})}
        uplink = more.pop("kafka", {})
        whole = document(
            mqtt_port=self.mqtt_port or self.mosquitto.port, kafka=self.kafka.bootstrap, folder=folder, **more
        )
        whole["kafka"] |= uplink
        return whole

    def reconfigure(self, **sections: Any) -> None:
        """Write another config.yaml."""
        self.daemon.configure(self.document(self.daemon.folder, **sections))

    @property
    def log_file(self) -> Path:
        state = self.sections.get("gateway", {}).get("state_dir", self.daemon.state)
        return Path(state) / "log.sqlite"

    def arrival(self) -> Arrival:
        """The numbered readings of this gateway in Kafka now."""
        return arrival(self.kafka.bootstrap, self.gateway)

    def until_arrived(self, expected: set[int], timeout_s: float = 60.0) -> Arrival:
        """Wait until all of these are in Kafka and nothing is left to send; what there is.

        Also returns when the time is over, for the caller to say what is missing.

        Raises:
            DaemonError: the daemon ended meanwhile, or does not drain.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.daemon.until(
                lambda: self.daemon.total("tidegate_log_depth_records") < _FEW,
                "drained",
                max(1.0, deadline - time.monotonic()),
            )
            there = self.arrival()
            if not there.missing(expected) or time.monotonic() > deadline:
                return there
            time.sleep(0.5)

    def account(self) -> list[Line]:
        """The log against Kafka, after an orderly stop."""
        if self.daemon.running:
            raise DaemonError("stop the daemon before its log is read")
        return asyncio.run(account(self.log_file, self.kafka.bootstrap))
