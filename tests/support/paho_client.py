"""The MQTT driver's client without its own reading: paho takes every packet from the socket by itself.

What the driver promises must hold over it just the same, and the benchmark shows what the other one saves.
"""

from __future__ import annotations

from paho.mqtt.client import Client

from drivers.mqtt.connection.client import SessionClient
from drivers.mqtt.packets import Received

_PACKETS_A_TURN = 1_000


class PahoClient(SessionClient):
    """Collects what paho's own `loop_read` hands over, one turn of the event loop at a time."""

    def __init__(self, settings, held) -> None:
        super().__init__(settings, held)
        self._received = Received()
        self._held = held
        self._dry = False
        self.on_message = self._collect

    def receive(self) -> Received:
        self._received = received = Received()
        self._dry = False
        for _ in range(_PACKETS_A_TURN):
            if self._sock is None or self._dry:
                break
            self.loop_read()
        else:
            received.more = True
        return received

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            return Client._sock_recv(self, bufsize)
        except BlockingIOError:
            self._dry = True
            raise

    def _collect(self, _client, _userdata, message) -> None:
        received = self._received
        properties = dict(getattr(message.properties, "UserProperty", ()))
        head = 0x30 | message.dup << 3 | message.qos << 1 | message.retain
        received.by_qos[message.qos] += 1
        received.redelivered += message.dup
        if message.qos:
            # With QoS 2 paho hands a message over at its release, and waits for PUBCOMP to be sent by hand.
            first = 0x40 if message.qos == 1 else 0x70
            received.acknowledgements += bytes((first, 2)) + message.mid.to_bytes(2)
        received.messages.append((message._topic, bytes(message.payload), head, properties.get("traceparent")))
