"""The session's subscriptions, made those that are wanted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drivers.mqtt.connection.session import Session
    from drivers.mqtt.connection.subscribed import Subscribed

log = logging.getLogger("tidegate.mqtt")


class Subscriptions:
    """Those of one session, over all connections to its broker; `subscribed` is the file that outlives them."""

    def __init__(self, name: str, subscribed: Subscribed) -> None:
        self._name = name
        self._subscribed = subscribed
        self.confirmed: dict[str, int] = {}
        """Topic filters with their QoS that the broker has granted to this process."""
        self.refused: tuple[str, ...] = ()
        """Those wanted that it has not."""

    def forget(self) -> None:
        """The broker has no session of ours any more."""
        self.confirmed.clear()
        self._subscribed.filters.clear()

    async def match(self, session: Session, wanted: Mapping[str, int]) -> None:
        """Subscribe and unsubscribe, new ones first, so that nothing falls between.

        Raises:
            NotReady: the connection ended meanwhile.
        """
        new = {name: qos for name, qos in wanted.items() if self.confirmed.get(name) != qos}
        if new:
            # Written before it is asked for: a subscription that no file knows of could never be removed.
            await self._subscribed.save({**self._subscribed.filters, **new})
            refused = await session.subscribe(new)
            self.confirmed.update({name: qos for name, qos in new.items() if name not in refused})
            for name, why in refused.items():
                log.error("%s: the broker refuses the subscription to %s: %s", self._name, name, why)
        self.refused = tuple(name for name in wanted if name not in self.confirmed)
        gone = [name for name in self._subscribed.filters if name not in wanted]
        if gone:
            await session.unsubscribe(gone)
            self.confirmed = {name: qos for name, qos in self.confirmed.items() if name in wanted}
            await self._subscribed.save(
                {name: qos for name, qos in self._subscribed.filters.items() if name in wanted}
            )
