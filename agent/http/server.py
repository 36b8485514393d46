"""uvicorn inside the daemon's own loop, on loopback TCP and on the unix socket at once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

import uvicorn

from agent.http.endpoints import Health, build_app
from sync.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

_BACKLOG = 64
_LEAVE_S = 2


class _Server(uvicorn.Server):
    """Without its signal handlers: the daemon's own decide when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """The unit `http`. `port` is the bound one once it runs, also in the file `http.port` beside the socket."""

    def __init__(self, host: str, port: int, runtime_dir: Path, health: Health) -> None:
        self._host = host
        self._wanted_port = port
        self._runtime_dir = runtime_dir
        self._health = health
        self.port: int | None = None

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            sync.values.NotReady: the port is in use, or another daemon answers on the socket.
            sync.values.Misconfigured: the address is none of this machine's, or may not be bound.
        """
        path = self._runtime_dir / "tidegate.sock"
        self._runtime_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            tcp = held.enter_context(self._listen_tcp())
            unix = held.enter_context(self._listen_unix(path))
            held.callback(path.unlink, missing_ok=True)
            self.port = tcp.getsockname()[1]
            port_file = self._runtime_dir / "http.port"
            port_file.write_text(f"{self.port}\n")
            held.callback(port_file.unlink, missing_ok=True)
            async with asyncio.TaskGroup() as group:
                for name, listener, control in (("tcp", tcp, False), ("unix", unix, True)):
                    app = build_app(self._health, control=control)
                    group.create_task(_serve(app, listener), name=f"http:{name}")

    def _listen_tcp(self) -> socket.socket:
        try:
            return socket.create_server((self._host, self._wanted_port), backlog=_BACKLOG)
        except OSError as fault:
            where = f"{self._host}:{self._wanted_port}"
            if fault.errno == errno.EADDRINUSE:
                raise NotReady(f"{where} is in use", "another program, or http.port of another gateway") from fault
            raise Misconfigured(f"cannot listen on {where}: {fault.strerror}", "http.host") from fault

    def _listen_unix(self, path: Path) -> socket.socket:
        if _answers(path):
            raise NotReady(f"another daemon answers on {path}", "one daemon a runtime_dir")
        listener = socket.socket(socket.AF_UNIX)
        # The mode must hold from the first moment, so it is set before anyone can connect.
        before = os.umask(0o117)
        try:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            listener.listen(_BACKLOG)
        except OSError as fault:
            listener.close()
            raise NotReady(f"cannot listen on {path}: {fault.strerror}", "gateway.runtime_dir") from fault
        finally:
            os.umask(before)
        return listener


async def _serve(app: FastAPI, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=_LEAVE_S
    )
    server = _Server(config)
    try:
        await server.serve(sockets=[listener])
    except asyncio.CancelledError:
        server.should_exit = True
        await server.shutdown(sockets=[listener])
        raise


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
