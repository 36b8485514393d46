"""Messages that devices are answered with, such as a request for a birth."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.mqtt.codecs.measurements import Answer
    from drivers.mqtt.connection.session import Session


class Answers:
    """Publishes answers beside everything else. One that does not arrive is not repeated: its codec asks again."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Future[None]] = set()

    def publish(self, session: Session, answers: list[Answer]) -> int:
        """Publish answers and take them out of the list. Returns how many there were."""
        count = len(answers)
        for answer in answers:
            sending = asyncio.ensure_future(session.publish(answer.topic, answer.payload, qos=0, retain=False))
            self._under_way.add(sending)
            sending.add_done_callback(self._done)
        answers.clear()
        return count

    def _done(self, sending: asyncio.Future[None]) -> None:
        self._under_way.discard(sending)
        if not sending.cancelled():
            sending.exception()  # the connection was lost, which the driver says
