"""The brokers that a cluster announces: their addresses, and who said so."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sync.values import BrokerUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync.values import Unreachable

_CURE: Final = (
    "set advertised.listeners of that broker to an address that this gateway can reach, or fix the "
    "name, route or firewall"
)


@dataclass(frozen=True, slots=True)
class Nodes:
    """Host and port of each broker by its id, as `told_by` (host:port) last said."""

    addresses: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    told_by: str = ""

    def only(self, node: int, error: Unreachable, *, others: bool) -> BrokerUnreachable:
        """That one broker cannot be reached, of a cluster that has just answered."""
        if node not in self.addresses:
            return BrokerUnreachable(error.reason, error.hint, "", others=True)
        host, port = self.addresses[node]
        where = f"{host}:{port}"
        reason = f"{self.told_by} announces broker {node} as {where}, which cannot be reached: {error.reason}"
        return BrokerUnreachable(reason, error.hint or _CURE, where, others=others)
