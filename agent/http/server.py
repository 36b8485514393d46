"""Two listeners, each a unit of its own: what may be read over TCP, and the unix socket of the verbs.

H1  Nothing that changes the daemon is reachable over TCP: the two listeners serve two different applications.
H2  The socket's mode is 0660 from the first moment; a socket file that nobody serves is replaced, a live one never.
H4  A TCP port that cannot be had costs nobody the socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING

from agent.http.endpoints import Health, build_app
from agent.http.serving import serve
from sync.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BACKLOG = 64


class HttpServer:
    """Metrics and health over TCP. `port` is the bound one once it runs, also in `runtime_dir/http.port`."""

    def __init__(self, host: str, port: int, runtime_dir: Path, health: Health) -> None:
        self._host = host
        self._wanted_port = port
        self._runtime_dir = runtime_dir
        self._health = health
        self.port: int | None = None

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            sync.values.NotReady: the port is in use, the address not there yet, or the runtime directory not
                writable.
            sync.values.Misconfigured: the address may not be bound.
        """
        with contextlib.ExitStack() as held:
            listener = held.enter_context(self._listen_tcp())
            self.port = listener.getsockname()[1]
            held.callback(setattr, self, "port", None)
            port_file = self._runtime_dir / "http.port"
            try:
                self._runtime_dir.mkdir(parents=True, exist_ok=True)
                port_file.write_text(f"{self.port}\n")
            except OSError as fault:
                raise _no_runtime_dir(self._runtime_dir, fault) from fault
            held.callback(port_file.unlink, missing_ok=True)
            await serve(build_app(self._health, control=False), listener)

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


class ControlSocket:
    """Everything over the unix socket `runtime_dir/tidegate.sock`, the verbs that change something included."""

    def __init__(self, runtime_dir: Path, health: Health) -> None:
        self._runtime_dir = runtime_dir
        self._health = health

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            sync.values.NotReady: the runtime directory is not writable, or another daemon answers on the socket.
        """
        path = self._runtime_dir / "tidegate.sock"
        with contextlib.ExitStack() as held:
            listener = held.enter_context(self._listen_unix(path))
            held.callback(path.unlink, missing_ok=True)
            await serve(build_app(self._health, control=True), listener)

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
            raise _no_runtime_dir(self._runtime_dir, fault) from fault
        return listener


def _no_runtime_dir(runtime_dir: Path, fault: OSError) -> NotReady:
    reason = f"cannot write into {runtime_dir}: {fault.strerror or fault}"
    return NotReady(reason, "gateway.runtime_dir: it must be there and writable for the agent")


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
