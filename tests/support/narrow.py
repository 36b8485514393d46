"""A relay in front of mosquitto with a window of its own, as Moquette (10) and rumqttd (100) have one.

mosquitto 2.0.11 is no such broker: acknowledged ten at a time, it soon lets a hundred stand behind a window of ten.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING

from tests.support.unlike import cut

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PUBLISH, _PUBACK = 3, 4


class _Link:
    """One connection through the relay."""

    def __init__(self, window: int, answer: asyncio.StreamWriter, ask: asyncio.StreamWriter) -> None:
        self._window = window
        self._answer = answer
        self._ask = ask
        self._held: deque[bytes] = deque()
        self._under_way = 0

    async def pump(self, source: asyncio.StreamReader, *, upward: bool) -> None:
        buffer = bytearray()
        while data := await source.read(65_536):
            buffer += data
            while (packet := cut(buffer)) is not None:
                if upward:
                    self._ask.write(packet)
                    self._under_way -= packet[0] >> 4 == _PUBACK
                elif packet[0] >> 4 == _PUBLISH:
                    self._held.append(packet)
                else:
                    self._answer.write(packet)
            while self._held and self._under_way < self._window:
                self._answer.write(self._held.popleft())
                self._under_way += 1


@contextlib.asynccontextmanager
async def narrow(host: str, port: int, window: int) -> AsyncIterator[int]:
    """The port of the relay; MQTT 3.1.1."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(near: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        far, ask = await asyncio.open_connection(host, port)
        link = _Link(window, answer, ask)
        pumps = {asyncio.create_task(link.pump(end, upward=end is near)) for end in (near, far)}
        tasks.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for writer in (ask, answer):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
