"""rumqttd with the settings of its own example file; it has no persistence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.broker import free_ports
from tests.support.brokers.mqtt.listening import MqttBroker
from tests.support.brokers.packages import cargo

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION = "0.20.0"
_ROUTER = """id = 0
[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
"""
_PORT = """[{version}.1]
name = "{version}-1"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = 20480
max_inflight_count = 100
dynamic_filters = true
"""


class Rumqttd(MqttBroker):
    """One port speaks MQTT 5, another one 3.1.1; what comes in at either goes out at both."""

    _sensor_port = 0

    @property
    def sensor_port(self) -> int:
        return self._sensor_port

    def _configure(self) -> None:
        (self._sensor_port,) = free_ports(1)
        ports = {"v5": self.port, "v4": self._sensor_port}
        text = "".join(_PORT.format(version=name, host=self.host, port=port) for name, port in ports.items())
        (self.folder / "rumqttd.toml").write_text(_ROUTER + text)

    def _command(self) -> Sequence[str]:
        return [str(cargo("rumqttd", VERSION)), "--config", "rumqttd.toml"]
