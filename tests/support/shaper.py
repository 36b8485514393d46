"""A bad link: one line for all connections, with a rate and a delay each way and a queue that pushes back when full.

It ends TCP on both sides, with small buffers and segments as on a real line, so that the kernel does not swallow at
once what the line would take minutes for. Nothing is lost: what the queue has no room for stays with its sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from tests.support.broker import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

_SEGMENT = 1_400
_BUFFER = 4 * 1024


class Shaper:
    """Listens on `at` (or a free port) and passes every connection on to `host:port`.

    `rate` is in bytes a second, `delay_s` one way, `queue` in bytes, first come first served among all connections.
    `tap(upward, connection, data)` is called when data arrives at the far end. `carried` counts bytes by direction.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        rate: float,
        delay_s: float,
        queue: int = 16 * 1024,
        at: int | None = None,
        tap: Callable[[bool, int, bytes], None] | None = None,
    ) -> None:
        self._target = host, port
        self.host = "127.0.0.1"
        self.port = free_ports(1)[0] if at is None else at
        self.rate = rate
        self.delay_s = delay_s
        self._queue = queue
        self._tap = tap
        self.carried = {True: 0, False: 0}
        self.connections = 0
        self.first_connection_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="shaper", daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._lines = {upward: _Line(self, upward=upward) for upward in (True, False)}
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
        listener.bind((self.host, self.port))
        listener.listen(64)
        listener.setblocking(False)
        tasks = {self._loop.create_task(line.carry()) for line in self._lines.values()}
        tasks.add(self._loop.create_task(self._accept(listener, tasks)))
        self._ready.set()
        await self._stop.wait()
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, listener: socket.socket, tasks: set[asyncio.Task[None]]) -> None:
        while True:
            near, _ = await self._loop.sock_accept(listener)
            self.connections += 1
            self.first_connection_s = self.first_connection_s or time.monotonic()
            tasks.add(self._loop.create_task(self._pass_on(near, self.connections)))

    async def _pass_on(self, near: socket.socket, number: int) -> None:
        far = socket.socket()
        far.setblocking(False)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        for end in (near, far):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.sock_connect(far, self._target)
            await asyncio.sleep(2 * self.delay_s)  # the handshake
            async with asyncio.TaskGroup() as both:
                both.create_task(self._lines[True].take(near, far, number))
                both.create_task(self._lines[False].take(far, near, number))
        except* OSError:
            pass
        finally:
            near.close()
            far.close()


class _Line:
    """One direction."""

    def __init__(self, shaper: Shaper, *, upward: bool) -> None:
        self._shaper = shaper
        self._upward = upward
        self._waiting: deque[tuple[int, socket.socket, bytes]] = deque()
        self._held = 0
        self._more = asyncio.Event()
        self._room = asyncio.Condition()
        self._free_at = 0.0

    async def take(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        """Put what one connection sends into the queue, as far as there is room."""
        loop = asyncio.get_running_loop()
        while True:
            async with self._room:
                await self._room.wait_for(lambda: self._held < self._shaper._queue)
            data = await loop.sock_recv(source, _SEGMENT)
            self._held += len(data)
            self._waiting.append((number, sink, data))
            self._more.set()
            if not data:
                return

    async def carry(self) -> None:
        """Send the queue, one segment after the other, at the line's rate."""
        loop, shaper = asyncio.get_running_loop(), self._shaper
        while True:
            await self._more.wait()
            while self._waiting:
                number, sink, data = self._waiting.popleft()
                self._free_at = max(self._free_at, loop.time()) + len(data) / shaper.rate
                await asyncio.sleep(self._free_at - loop.time())
                shaper.carried[self._upward] += len(data)
                self._held -= len(data)
                async with self._room:
                    self._room.notify_all()
                loop.call_later(shaper.delay_s, self._arrive, number, sink, data)
            self._more.clear()

    def _arrive(self, number: int, sink: socket.socket, data: bytes) -> None:
        if self._shaper._tap is not None:
            self._shaper._tap(self._upward, number, data)
        with contextlib.suppress(OSError):
            if data:
                sink.send(data)  # the far end's buffers are larger than the line's delay holds
            else:
                sink.shutdown(socket.SHUT_WR)
