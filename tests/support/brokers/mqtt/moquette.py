"""Moquette with its queue on disk (`h2`); as it comes the queue is in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.brokers.mqtt.listening import MqttBroker
from tests.support.brokers.packages import maven

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "0.17"


class Moquette(MqttBroker):
    """Speaks MQTT 3.1.1; lets 10 messages stand un-acked."""

    def _configure(self) -> None:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        folder = self.folder / "config"
        folder.mkdir(exist_ok=True)
        settings = {
            "host": self.host,
            "port": str(self.port),
            "allow_anonymous": "true",
            "persistence_enabled": "true",
            "persistent_queue_type": "h2",
            "data_path": f"{data}/",
            "telemetry_enabled": "false",
        }
        (folder / "moquette.conf").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))

    def _command(self) -> Sequence[str]:
        jars = maven(f"moquette-{VERSION}", f"io.moquette:moquette-broker:{VERSION}")
        options = ["-Xmx256m", "-XX:+UseSerialGC", f"-Dmoquette.path={self.folder}"]
        return ["java", *options, "-cp", f"{jars}/*", "io.moquette.broker.Server"]
