"""A TCP proxy that stands for a bad link: it cuts, refuses, stalls and delays what passes, and can listen in."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Self

from tests.support.broker import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

Tap = "Callable[[bool, bytes], None]"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER that turns close() into an RST


class Proxy:
    """Listens on a port of its own (`at`, or a free one) and passes every connection on to `host:port`.

    `tap(upward, data)` is called for all that passes, in the pump's thread; bytes that it returns are passed on
    instead, and an OSError that it raises ends the connection in place of passing the data on. All methods may be
    called from any thread; none needs an event loop.
    """

    def __init__(
        self, host: str, port: int, *, at: int | None = None, tap: Callable[[bool, bytes], bytes | None] | None = None
    ) -> None:
        self._target = host, port
        self._tap = tap
        self.host = "127.0.0.1"
        self.port = free_ports(1)[0] if at is None else at
        self.delay_s = 0.0
        self.connections = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._refusing = False
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Self:
        self._listener = socket.create_server((self.host, self.port), backlog=64)
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.resume()
        self.cut()

    def cut(self) -> None:
        """End all connections at once, with an RST."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    end.shutdown(socket.SHUT_RDWR)

    def lead_to(self, host: str, port: int) -> None:
        """Pass new connections on to somebody else; those that stand stay where they are."""
        self._target = host, port

    def refuse(self) -> None:
        """Cut, and end every new connection as soon as it is made, until `allow`."""
        self._refusing = True
        self.cut()

    def allow(self) -> None:
        self._refusing = False

    def stall(self) -> None:
        """Pass nothing on, in either direction, and keep the connections open, until `resume`."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def _accept(self) -> None:
        listener = self._listener
        assert listener is not None
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                if self._refusing:
                    raise ConnectionRefusedError
                far = socket.create_connection(self._target, timeout=10)
            except OSError:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                near.close()
                continue
            far.settimeout(None)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._pairs.add((near, far))
                self.connections += 1
            for source, sink, upward in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, sink, upward), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, upward: bool) -> None:  # noqa: FBT001 - a direction
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                self._flowing.wait()
                if self.delay_s:
                    time.sleep(self.delay_s)
                if self._tap is not None:
                    instead = self._tap(upward, data)
                    data = data if instead is None else instead
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        pair = (source, sink) if upward else (sink, source)
        with self._lock:
            self._pairs.discard(pair)
        source.close()
