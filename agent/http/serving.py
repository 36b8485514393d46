"""uvicorn inside the daemon's own loop, on a listener that is bound already.

H3  A stranger's connections never cost the daemon its file descriptors: they are counted, and one that brings no
    request, or takes no answer, is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from fastapi import FastAPI
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

_BUSY_FROM = 64
"""Connections of one listener; from then on requests are answered with 503."""
_MOST_CONNECTIONS = 96
"""From then on connections are ended unheard."""
_REQUEST_S = 10.0
_ANSWER_S = 60.0
_LEAVE_S = 2
_TICK_S = 1.0
"""uvicorn writes its Date anew once a second, and wakes ten times for it to see whether it should exit."""


class _Server(uvicorn.Server):
    """Without its signal handlers: the daemon's own decide when to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Take no more requests, and end with the last answer."""
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._leaving.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection(H11Protocol):
    """With an end (H3): uvicorn's own time-out begins only after a first request, and any byte puts it off."""

    _seen: object = None
    _quiet_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            transport.abort()
        else:
            self.loop.call_later(_REQUEST_S, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        cycle: RequestResponseCycle | None = self.cycle  # None until the first request, though typed otherwise
        busy = cycle is not None and not cycle.response_complete
        self._quiet_s = self._quiet_s + _REQUEST_S if cycle is self._seen else 0.0
        self._seen = cycle
        if self._quiet_s > 0 and (not busy or self._quiet_s >= _ANSWER_S):
            self.transport.abort()
        else:
            self.loop.call_later(_REQUEST_S, self._look)


async def serve(app: FastAPI, listener: socket.socket) -> None:
    """Answer on a listener until cancelled, then let answers under way end."""
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_BUSY_FROM,
        timeout_graceful_shutdown=_LEAVE_S,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        # Cancelled midway uvicorn would leave connections open; asked to exit it ends in an orderly way.
        server.leave()
        await serving
        raise
