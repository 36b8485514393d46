"""What mosquitto alone can give: a subscriber that reads, acknowledges and throws away; no Kafka runs."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

from drivers.mqtt.packets import Received, Splitter
from tests.bench import rates
from tests.support.daemon import cpu_s
from tests.support.mosquitto import Mosquitto

_CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04bare"
_SUBSCRIBE = b"\x82\x0b" + struct.pack(">HH", 1, 6) + b"farm/#\x01"
_PAUSE_S = 0.01
"""Between two reads, as the daemon has it: mosquitto sends for a fourth less CPU to whom it need not wake."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """`broker_share` is mosquitto's part of one core meanwhile."""

    per_second: float
    broker_share: float


def ceiling(readings: int) -> Ceiling:
    """From the publisher's first packet until the last one is acknowledged."""
    with Mosquitto(lines=rates.FAST_MOSQUITTO) as mosquitto:
        link = socket.create_connection((mosquitto.host, mosquitto.port), timeout=60)
        with link, rates.publishing(mosquitto.port, readings) as publisher:
            link.sendall(_CONNECT)
            _answered(link, 0x20)
            link.sendall(_SUBSCRIBE)
            _answered(link, 0x90)
            begun, before = time.monotonic(), cpu_s(mosquitto.pid)
            rates.begin(publisher)
            splitter = Splitter(version_5=False, other=lambda _: None, held=set())
            acknowledged = 0
            while acknowledged < readings:
                received = Received()
                splitter.feed(link.recv(64 * 1024), received)
                link.sendall(received.acknowledgements)
                acknowledged += len(received.messages)
                time.sleep(_PAUSE_S)
            took = time.monotonic() - begun
            return Ceiling(readings / took, (cpu_s(mosquitto.pid) - before) / took)


def _answered(link: socket.socket, kind: int) -> None:
    if link.recv(16)[:1] != bytes([kind]):
        raise OSError("mosquitto did not take the subscriber")
