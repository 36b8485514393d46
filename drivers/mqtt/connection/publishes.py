"""What we publish on one connection, within what its broker grants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from paho.mqtt.enums import MQTTErrorCode

from drivers.values import NotReady

if TYPE_CHECKING:
    from drivers.mqtt.connection.client import SessionClient

MOST_UNDER_WAY = 20
"""Publishes of ours that wait for the broker's acknowledgement at a time; fewer if CONNACK grants fewer. That is also
the most that paho sends at a time, but it does so whatever the broker has granted."""
_REFUSED_FROM = 128


class Publishes:
    """Publishes in the order of the calls, with no more under way than the broker's Receive Maximum allows.

    A broker that keeps no retained messages, or takes a lower QoS only, gets what it takes: better heard once than
    never. `retains`: whether it keeps them; one of MQTT 5 that does not ends the connection over one.
    """

    def __init__(self, client: SessionClient, where: str) -> None:
        self._client = client
        self._where = where
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._slots = asyncio.Semaphore(MOST_UNDER_WAY)
        self._most_qos = 2
        self._over: NotReady | None = NotReady(f"{where} is not connected")
        self.retains = True

    def begin(self, properties: Any) -> None:
        """The broker has taken the connection; `properties` are those of its CONNACK."""
        self.retains = bool(getattr(properties, "RetainAvailable", 1))
        self._most_qos = getattr(properties, "MaximumQoS", 2)
        self._slots = asyncio.Semaphore(min(MOST_UNDER_WAY, getattr(properties, "ReceiveMaximum", MOST_UNDER_WAY)))
        self._over = None

    def end(self, lost: NotReady) -> None:
        """The connection is over: what is under way was not acknowledged."""
        self._over = self._over or lost
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(lost)

    async def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Publish; done once the broker has acknowledged (QoS 0: once it is sent).

        Raises:
            NotReady: not connected, or the connection ended first, or the broker refused it.
        """
        if self._over is not None:
            raise NotReady(self._over.reason)
        qos = min(qos, self._most_qos)
        if not qos:
            await self._deliver(topic, payload, qos=qos, retain=retain)
            return
        async with self._slots:
            await self._deliver(topic, payload, qos=qos, retain=retain)

    async def _deliver(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        if self._over is not None:  # it ended while this one waited for its turn
            raise NotReady(self._over.reason)
        info = self._client.publish(topic, payload, qos=qos, retain=retain and self.retains)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NotReady(f"{self._where} is not connected")
        done = self._waiting[info.mid] = asyncio.get_running_loop().create_future()
        try:
            await done
        finally:
            self._waiting.pop(info.mid, None)

    def answered(self, number: int, code: Any) -> None:
        """The broker's acknowledgement of the publish with this packet id."""
        done = self._waiting.get(number)
        if done is None or done.done():
            return
        if code.value >= _REFUSED_FROM:
            done.set_exception(NotReady(f"{self._where} did not take a message: {str(code).lower()}"))
        else:
            done.set_result(None)
