"""A relay in front of an MQTT 5 broker that grants few messages under way, and ends who exceeds it (reason 147).

As HiveMQ does: mosquitto answers each publish at once, so that its own grant is hard to exceed.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_CONNACK, _PUBLISH, _PUBACK = 2, 3, 4
_EXCEEDED = b"\xe0\x02\x93\x00"


class Granting:
    """Passes on to `port`; counts publishes of QoS 1 that wait for a PUBACK, which is held back by `delay_s`."""

    def __init__(self, port: int, grant: int, delay_s: float = 0.02) -> None:
        self._to = port
        self._grant = grant
        self._delay_s = delay_s
        self.most = 0
        self.exceeded = 0
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Granting]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far_in, far_out = await asyncio.open_connection("127.0.0.1", self._to)
        under_way = 0

        async def up() -> None:
            nonlocal under_way
            while True:
                packet = await _packet(near_in)
                if packet[0] >> 4 == _PUBLISH and packet[0] & 6:
                    under_way += 1
                    self.most = max(self.most, under_way)
                    if under_way > self._grant:
                        self.exceeded += 1
                        near_out.write(_EXCEEDED)
                        return
                far_out.write(packet)

        async def down() -> None:
            nonlocal under_way
            while True:
                packet = await _packet(far_in)
                kind = packet[0] >> 4
                if kind == _PUBACK:
                    await asyncio.sleep(self._delay_s)
                    under_way -= 1
                near_out.write(self._granting(packet) if kind == _CONNACK else packet)

        both = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            far_out.close()
            near_out.close()

    def _granting(self, connack: bytes) -> bytes:
        properties = Properties(PacketTypes.CONNACK)
        properties.unpack(connack[4:])
        names = [name for name in properties.names if hasattr(properties, name.replace(" ", ""))]
        fresh = Properties(PacketTypes.CONNACK)
        for name in (name.replace(" ", "") for name in names):
            setattr(fresh, name, getattr(properties, name))
        fresh.ReceiveMaximum = self._grant
        body = connack[2:4] + fresh.pack()
        return bytes((connack[0], len(body))) + body


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << 7 * at for at, byte in enumerate(head[1:]))
    return head + await reader.readexactly(length)
