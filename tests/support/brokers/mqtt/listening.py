"""What the MQTT brokers here have in common: one TCP port, and that they serve once a client gets its CONNACK."""

from __future__ import annotations

import socket

from tests.support.broker import Broker, free_ports

_CONNECT = b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x0a\x00\x03try"


class MqttBroker(Broker):
    """A broker on one port that anybody may use, or the user of `login`; `_configure` writes what it reads."""

    login: tuple[str, str] | None = None

    @property
    def sensor_port(self) -> int:
        """Where sensors publish with MQTT 3.1.1; the same port, unless a broker has one for each version."""
        return self.port

    def _prepare(self) -> None:
        (self.port,) = free_ports(1)
        self._configure()

    def _configure(self) -> None:
        """Write the files that the broker reads; the port is known."""

    def _answers(self) -> bool:
        """It answers a CONNECT, if only to refuse it."""
        try:
            with socket.create_connection((self.host, self.sensor_port), timeout=1) as link:
                link.sendall(_CONNECT)
                return link.recv(1) == b"\x20"
        except OSError:
            return False
