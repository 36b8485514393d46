"""aedes, a broker for Node, with its queues in memory, as it comes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.support.brokers.mqtt.listening import MqttBroker
from tests.support.brokers.packages import SOURCES, npm

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST, SECOND = "1.2.0", "2.0.0-beta.1"


class Aedes(MqttBroker):
    """Version 1 speaks MQTT 3.1.1, version 2 also 5."""

    def __init__(self, version: str) -> None:
        super().__init__()
        self._version = version

    def _command(self) -> Sequence[str]:
        program = npm(f"aedes-{self._version}", f"aedes@{self._version}") / "broker.mjs"
        # A module is looked for beside the file that imports it.
        shutil.copyfile(SOURCES / "aedes" / "broker.js", program)
        return ["node", str(program), self.host, str(self.port)]
