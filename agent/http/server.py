"""uvicorn inside the daemon's own loop, on loopback TCP and on the unix socket at once.

H1  Nothing that changes the daemon is reachable over TCP: the two listeners serve two different applications.
H2  The socket's mode is 0660 from the first moment; a socket file that nobody serves is replaced, a live one never.
H3  A stranger's connections never cost the daemon its file descriptors: they are counted, and one that brings no
    request, or takes no answer, is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.http.endpoints import Health, build_app
from sync.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

_BACKLOG = 64
_BUSY_FROM = 64
"""Connections of one listener; from then on requests are answered with 503."""
_MOST_CONNECTIONS = 96
"""From then on connections are ended unheard."""
_REQUEST_S = 10.0
_ANSWER_S = 60.0
_LEAVE_S = 2


class _Server(uvicorn.Server):
    """Without its signal handlers: the daemon's own decide when to stop."""

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
            sync.values.NotReady: the port is in use, the address not there yet, the runtime directory not
                writable, or another daemon answers on the socket.
            sync.values.Misconfigured: the address may not be bound.
        """
        path = self._runtime_dir / "tidegate.sock"
        with contextlib.ExitStack() as held:
            tcp = held.enter_context(self._listen_tcp())
            unix = held.enter_context(self._listen_unix(path))
            held.callback(path.unlink, missing_ok=True)
            self.port = tcp.getsockname()[1]
            held.callback(setattr, self, "port", None)
            port_file = self._runtime_dir / "http.port"
            held.callback(port_file.unlink, missing_ok=True)
            try:
                port_file.write_text(f"{self.port}\n")
            except OSError as fault:
                raise self._no_runtime_dir(fault) from fault
            async with asyncio.TaskGroup() as group:
                for name, listener, control in (("tcp", tcp, False), ("unix", unix, True)):
                    app = build_app(self._health, control=control)
                    group.create_task(_serve(app, listener), name=f"http:{name}")

    def _listen_tcp(self) -> socket.socket:
        where = f"{self._host}:{self._wanted_port}"
        try:
            found = socket.getaddrinfo(
                self._host, self._wanted_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _, _, _, address = found[0]
            return socket.create_server(address, family=family, backlog=_BACKLOG)
        except UnicodeError as fault:
            # Python's own check of names; a part is empty or has more than 63 characters.
            raise Misconfigured(
                f"{self._host} cannot be the name of a host", "http.host", "write an address, such as 127.0.0.1"
            ) from fault
        except socket.gaierror as fault:
            raise NotReady(
                f"{self._host} has no address: {fault.strerror}", "http.host, or the name server"
            ) from fault
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                hint = "another program listens there: end it, or change http.port"
                raise NotReady(f"{where} is in use", hint) from fault
            if fault.errno == errno.EADDRNOTAVAIL:
                raise NotReady(f"this machine has no address {self._host} now", "http.host") from fault
            hint = "ports below 1024 are for root" if fault.errno == errno.EACCES else ""
            raise Misconfigured(f"cannot listen on {where}: {fault.strerror}", "http", hint) from fault

    def _listen_unix(self, path: Path) -> socket.socket:
        if _answers(path):
            raise NotReady(f"another daemon answers on {path}", "one daemon a runtime_dir: end the other")
        listener = socket.socket(socket.AF_UNIX)
        # The mode must hold from the first moment, so it is set before anyone can connect.
        try:
            self._runtime_dir.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            with _umask(0o117):
                listener.bind(str(path))
            listener.listen(_BACKLOG)
        except OSError as fault:
            listener.close()
            raise self._no_runtime_dir(fault) from fault
        return listener

    def _no_runtime_dir(self, fault: OSError) -> NotReady:
        reason = f"cannot make a socket in {self._runtime_dir}: {fault.strerror or fault}"
        return NotReady(reason, "gateway.runtime_dir: it must be there and writable for the agent")


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


async def _serve(app: FastAPI, listener: socket.socket) -> None:
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
        server.should_exit = True
        await serving
        raise


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
