"""A backlog that a metered link cannot carry within a day is thinned: it would hold back what is newer for weeks."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from sync.shipper.link.budget import DAY_S
from sync.values import Lane

if TYPE_CHECKING:
    from sync.seams import Backlog
    from sync.shipper.link.meter import Meter
    from sync.shipper.stats import Tally

log = logging.getLogger("tidegate.shipper")

_EVERY_S: Final = 60.0
_ENOUGH_RECORDS: Final = 1_000
"""So many must have been delivered before their mean size says anything."""


class Thinning:
    """Compares, once a minute, what waits in `backfill` with what a day's budget leaves for it."""

    def __init__(self, durable: Backlog, meter: Meter, tally: Tally) -> None:
        self._log = durable
        self._meter = meter
        self._tally = tally

    async def run(self) -> None:
        """Thin where it is needed, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.look()

    async def look(self) -> int:
        """Thin now, where it is needed; how many records went."""
        to_bytes = self.room()
        if to_bytes is None:
            return 0
        gone = await self._log.thin_backfill(to_bytes)
        if gone:
            log.warning("the backlog exceeds a day's budget: %d records became one-minute aggregates", gone)
        return gone

    def room(self) -> int | None:
        """The bytes of bodies in `backfill` that a day's budget holds; None where all that waits fits, or may."""
        budget = self._meter.budget
        if not budget.thin_backfill or not budget.daily:
            return None
        tally, telemetry = self._tally, (Lane.LIVE, Lane.BACKFILL)
        records = sum(tally.delivered[lane] for lane in telemetry)
        bodies = sum(tally.body_bytes[lane] for lane in telemetry)
        moved = sum(self._meter.moved_by(lane) for lane in telemetry)
        if records < _ENOUGH_RECORDS or not moved:
            return None
        rooms = []
        if budget.bytes_per_day is not None:
            fresh = self._meter.live_bytes_per_s * DAY_S
            rooms.append(budget.bytes_per_day - budget.alert_reserve_bytes - fresh)
        if budget.backfill.bytes_per_day is not None:
            rooms.append(float(budget.backfill.bytes_per_day))
        if not rooms:
            return None
        room = max(min(rooms), 0.0) * bodies / moved
        waiting = self._log.stats().depth.get(Lane.BACKFILL, 0) * bodies / records
        return int(room) if waiting > room else None
