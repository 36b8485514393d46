"""mochi-mqtt with a bolt database: a program of ours around its library, as its own examples are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.brokers.mqtt.listening import MqttBroker
from tests.support.brokers.packages import SOURCES, go

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "2.7.9"


class Mochi(MqttBroker):
    """Keeps 8,192 messages for a session, and sends them in no order when it returns."""

    def _command(self) -> Sequence[str]:
        program = go(f"mochi-{VERSION}", SOURCES / "mochi")
        return [str(program), f"{self.host}:{self.port}", str(self.folder / "bolt.db")]
