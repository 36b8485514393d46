"""A foreign MQTT client that hears what the gateway publishes on the local broker."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Callable


class Listener:
    """Subscribed to one filter from its start on; keeps (monotonic seconds, topic, payload) of all it hears."""

    def __init__(self, host: str, port: int, topic: str = "tidegate/alerts/#") -> None:
        self._address = host, port
        self._subscribed = threading.Event()
        self._news = threading.Condition()
        self.heard: list[tuple[float, str, bytes]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._hear

    def __enter__(self) -> Self:
        self._client.connect(*self._address)
        self._client.loop_start()
        if not self._subscribed.wait(10):
            raise TimeoutError("the MQTT broker did not take the subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        with self._news:
            self.heard.append((time.monotonic(), message.topic, message.payload))
            self._news.notify_all()

    def wait_for(self, wanted: Callable[[str, dict[str, Any]], bool], timeout_s: float = 20.0) -> tuple[float, Any]:
        """The first message, also of those heard before, that is wanted: when it came, and its JSON.

        Raises:
            TimeoutError: it did not come; the message says what did.
        """
        deadline = time.monotonic() + timeout_s
        looked_at = 0
        with self._news:
            while True:
                for at, topic, payload in self.heard[looked_at:]:
                    looked_at += 1
                    said = json.loads(payload or b"{}")
                    if wanted(topic, said):
                        return at, said
                if not self._news.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise TimeoutError(f"not heard within {timeout_s:g} s; heard: {[t for _, t, _ in self.heard]}")

    def wait_for_alarm(self, alert_id: str, state: str = "raised", timeout_s: float = 20.0) -> tuple[float, Any]:
        """An alert in this state."""
        return self.wait_for(
            lambda _, said: said.get("alert_id") == alert_id and said.get("state") == state, timeout_s
        )
