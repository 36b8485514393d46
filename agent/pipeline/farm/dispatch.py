"""Brings what `farm.sqlite` holds into the log, once each (G5)."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from agent.events.figures import envelope_of
from agent.events.records import FARM_EVENT
from sync.values import LogStalled, NotReady

if TYPE_CHECKING:
    from agent.records import FarmFile, Told
    from sync.seams import Log
    from sync.values import Envelope

log = logging.getLogger("tidegate.farm")

RECEIPTS = "farm"
"""The name by which the log keeps what it has taken."""


class Dispatch:
    """Appends what is not marked yet, oldest first, and marks it."""

    def __init__(self, file: FarmFile, durable: Log, site_id: str) -> None:
        self._file = file
        self._log = durable
        self._site_id = site_id
        self._lock = asyncio.Lock()
        self._recalled = False

    async def run_once(self) -> int:
        """Bring all there is; how many records went into the log. What a stalled log does not take stays for later.

        Raises:
            NotReady, Misconfigured: as the file has it.
        """
        async with self._lock:
            if not self._recalled:
                await self._recall()
            sent = 0
            while waiting := await self._file.untold():
                try:
                    await self._log.append(
                        [self._envelope(one) for one in waiting],
                        [(RECEIPTS, b"".join(f"{_name(one)}\n".encode() for one in waiting))],
                    )
                except (LogStalled, NotReady):
                    return sent
                await self._file.mark(waiting)
                sent += len(waiting)
            return sent

    async def _recall(self) -> None:
        """Mark what an earlier run brought into the log and could not mark any more."""
        receipts = await self._log.receipts(RECEIPTS)
        names = set(b"".join(receipts).decode(errors="replace").splitlines())
        while waiting := [one for one in await self._file.untold() if _name(one) in names]:
            await self._file.mark(waiting)
            log.info("%d records of the farm were in the log already", len(waiting))
        self._recalled = True

    def _envelope(self, one: Told) -> Envelope:
        body = orjson.loads(one.body)
        at = str(body["at"])
        if one.table == "outgoing":
            key = (str(body["site_id"]), str(body["tank_id"]), one.schema.partition(".")[2] or "figures")
            return envelope_of(one.schema, key, one.body.encode(), at)
        recorded = datetime.fromtimestamp(one.made_ms / 1000, UTC).isoformat(timespec="milliseconds")
        body |= {"site_id": self._site_id, "recorded_at": recorded.replace("+00:00", "Z")}
        key = (self._site_id, str(body.get("tank_id", "")), "event")
        return envelope_of(FARM_EVENT, key, orjson.dumps(body), at)


def _name(one: Told) -> str:
    return f"{one.table}/{one.id}"
