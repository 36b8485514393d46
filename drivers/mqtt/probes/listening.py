"""Listening to a broker for a while, in a session that it does not keep."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from drivers.mqtt.codecs.measurements import Message
from drivers.mqtt.connection.client import SessionClient
from drivers.mqtt.connection.session import Session
from drivers.mqtt.packets import RETAINED, TOO_LARGE
from drivers.values import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from drivers.mqtt.packets import Received
    from drivers.mqtt.settings import MqttSettings


async def listen(
    settings: MqttSettings, filters: Sequence[str], seconds: float, hear: Callable[[Message], None]
) -> None:
    """Give `hear` each message that these filters bring within so many seconds, retained ones first.

    The session has a client id of its own, so it disturbs nobody; messages come with QoS 0.

    Raises:
        NotReady: the broker is not there, or the connection is lost.
        Misconfigured: the broker refuses this client, or one of the filters.
    """
    settings = replace(settings, client_id=f"tidegate-probe-{secrets.token_hex(4)}", session_expiry_s=0)

    def take(received: Received) -> None:
        now = datetime.now(UTC)
        for topic, payload, head, _ in received.messages:
            if not head & TOO_LARGE:
                hear(Message(topic.decode(errors="replace"), payload, now, head & RETAINED > 0))

    session = Session(settings, SessionClient(settings, set(), clean=True), take)
    try:
        await session.open()
        refused = await session.subscribe(dict.fromkeys(filters, 0))
        for name, why in refused.items():
            raise Misconfigured(
                f"the broker does not let this user listen to {name}: {why}",
                "topic",
                "name a topic that it may read with --topic, such as zigbee2mqtt/#",
            )
        await asyncio.wait([session.ended], timeout=seconds)
        if session.ended.done():
            session.ended.result()
        await session.leave()
    finally:
        session.close()
