"""The connections that are kept: one a node and line, and one made before any node was known."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTROL: Final = "control"
"""The line for questions; batches of each lane have one of their own."""
NO_NODE: Final = -1
"""In the place of a node's id: a broker of the settings, before the cluster has named its nodes."""


class Kept:
    """Connections by node and line; who makes one holds `dialling` meanwhile."""

    def __init__(self) -> None:
        self._connections: dict[tuple[int, str], Any] = {}
        self._dialling: dict[tuple[int, str], asyncio.Lock] = {}

    def dialling(self, node: int, line: str) -> asyncio.Lock:
        """Held while a connection is made: two that need the same one make one."""
        return self._dialling.setdefault((node, line), asyncio.Lock())

    def get(self, node: int, line: str) -> Any | None:
        """The connection to a node for a line, None if there is none that is open."""
        connection = self._connections.get((node, line))
        return connection if connection is not None and connection.connected() else None

    def put(self, node: int, line: str, connection: Any) -> None:
        """Keep one, in place of the one before."""
        self._connections[node, line] = connection

    def all(self) -> list[Any]:
        """All of them, open or not."""
        return list(self._connections.values())

    def control(self) -> dict[int, Any]:
        """The open connections for questions, by node."""
        return {node: one for (node, line), one in self._connections.items() if line == CONTROL and one.connected()}

    def others(self, node: int) -> bool:
        """Whether a node other than this one is connected, on any line."""
        others = (one for (at, _), one in self._connections.items() if at not in (node, NO_NODE))
        return any(one.connected() for one in others)

    def recognise(self, addresses: Mapping[int, tuple[str, int]]) -> None:
        """The connection made before any node was known is one to a node: it need not be made again."""
        first = self._connections.get((NO_NODE, CONTROL))
        if first is None:
            return
        for node, address in addresses.items():
            if (first.host, first.port) == address and (node, CONTROL) not in self._connections:
                self._connections[node, CONTROL] = self._connections.pop((NO_NODE, CONTROL))
                return

    def drop(self, node: int, line: str, why: str = "") -> None:
        """Close the connection to a node for a line, if there is one; others who wait on it are told why."""
        connection = self._connections.pop((node, line), None)
        if connection is not None:
            connection.closed_for = connection.closed_for or why
            connection.close()

    async def close(self) -> None:
        """Close all connections; requests in flight get no answer."""
        connections, self._connections = self._connections, {}
        closing = [connection.close() for connection in connections.values()]
        for closed in closing:
            if closed is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(closed, 1.0)
