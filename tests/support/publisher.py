"""Publishers that know which of their numbered messages the broker has acknowledged.

`Publisher` is an ordinary paho client. `python -m tests.support.publisher PORT …` is a process of its own that
sends packets made beforehand over a bare socket, as fast as the broker takes them: for benchmarks.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import struct
import sys
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence


class Publisher:
    """A device that publishes at QoS 1 and counts the broker's acknowledgements.

    It reconnects by itself and sends again what was not acknowledged, so a broker may take a message twice.
    """

    def __init__(self, host: str, port: int, client_id: str = "", *, in_flight: int = 1_000) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311)
        self._client.max_inflight_messages_set(in_flight)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._address = host, port
        self._waiting: deque[tuple[int, mqtt.MQTTMessageInfo]] = deque()
        self.sent = 0
        self._acked: set[int] = set()

    def __enter__(self) -> Self:
        self._client.connect(*self._address, keepalive=60)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, number: int, topic: str, payload: bytes | str) -> None:
        """Hand one message over; it goes at once or as soon as the connection is back."""
        info = self._client.publish(topic, payload, qos=1)
        if info.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            raise RuntimeError(f"paho did not take a message: {info.rc}")
        self.sent += 1
        self._waiting.append((number, info))

    def publish_evenly(
        self, first: int, count: int, per_second: float, topics: Sequence[str], stop: threading.Event | None = None
    ) -> int:
        """Publish numbers from `first`, each as its own payload, at a steady rate; how many were published."""
        start = time.monotonic()
        for index in range(count):
            behind = start + index / per_second - time.monotonic()
            if behind > 0.002:
                time.sleep(behind)
            if stop is not None and stop.is_set():
                return index
            number = first + index
            self.publish(number, topics[number % len(topics)], str(number))
        return count

    @property
    def acked(self) -> set[int]:
        """The numbers that the broker has acknowledged so far."""
        left: deque[tuple[int, mqtt.MQTTMessageInfo]] = deque()
        while self._waiting:
            number, info = self._waiting.popleft()
            # is_published() raises for what was handed over while the connection was down, though it was sent since.
            if info._published:
                self._acked.add(number)
            else:
                left.append((number, info))
        self._waiting.extendleft(reversed(left))
        return self._acked

    def wait_acked(self, timeout_s: float = 60.0) -> set[int]:
        """Wait until all that was published is acknowledged, or the time is over; what is."""
        deadline = time.monotonic() + timeout_s
        while len(self.acked) < self.sent and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.acked


def _publish_packet(topic: bytes, packet_id: int, payload: bytes) -> bytes:
    length = 2 + len(topic) + 2 + len(payload)
    encoded = bytearray()
    while True:
        length, digit = divmod(length, 128)
        encoded.append(digit | (0x80 if length else 0))
        if not length:
            break
    return b"\x32%b%b%b%b%b" % (
        bytes(encoded),
        struct.pack(">H", len(topic)),
        topic,
        struct.pack(">H", packet_id),
        payload,
    )


def blast(port: int, count: int, *, topics: Sequence[str], payload: str, per_second: float, window: int) -> float:
    """Publish `count` packets made beforehand, at most `window` unacknowledged; seconds from first to last PUBACK.

    `payload` is a template in which `%d` becomes the message's number and `%t` a time of its own, a millisecond
    after that of the message before; the last is when the packets are made. A rate of 0 is as fast as it goes.
    """
    names = [topic.encode() for topic in topics]
    template = payload.encode()
    made_at = datetime.now(UTC)

    def body(number: int) -> bytes:
        filled = template.replace(b"%d", b"%d" % number)
        if b"%t" not in filled:
            return filled
        at = made_at - timedelta(milliseconds=count - number)
        return filled.replace(b"%t", at.isoformat(timespec="milliseconds").encode())

    packets = [
        _publish_packet(names[number % len(names)], number % 65_000 + 1, body(number)) for number in range(count)
    ]
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04fast")
    if link.recv(4)[:2] != b"\x20\x02":
        raise RuntimeError("the broker did not accept the publisher")
    print("ready", flush=True)
    sys.stdin.readline()
    link.setblocking(False)
    start = time.monotonic()
    sent = acked_bytes = 0
    unsent = memoryview(b"")
    while acked_bytes // 4 < count:
        if not unsent and sent < count:
            due = count if per_second <= 0 else min(count, int((time.monotonic() - start) * per_second) + 1)
            upto = min(due, sent + 256, acked_bytes // 4 + window)
            if upto > sent:
                unsent = memoryview(b"".join(packets[sent:upto]))
                sent = upto
        readable, writable, _ = select.select([link], [link] if unsent else [], [], 0.001 if per_second > 0 else 1.0)
        if readable:
            data = link.recv(262_144)
            if not data:
                raise RuntimeError("the broker closed the connection")
            acked_bytes += len(data)
        if writable:
            unsent = unsent[link.send(unsent) :]
    link.sendall(b"\xe0\x00")
    link.close()
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.publisher")
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--per-second", type=float, default=0.0)
    parser.add_argument("--window", type=int, default=10_000)
    parser.add_argument("--topic", action="append", required=True)
    parser.add_argument("--payload", default='{"value": %d}')
    given = parser.parse_args()
    seconds = blast(
        given.port,
        given.count,
        topics=given.topic,
        payload=given.payload,
        per_second=given.per_second,
        window=given.window,
    )
    print(json.dumps({"count": given.count, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
