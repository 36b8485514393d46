"""Alerts that the farm may still see as raised, in a file: the next run must know them to clear them.

An alert is in the file from its raising until the log has its clearing and the local broker has acknowledged it. The
file follows within a second; alarms never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from agent.events import Alert, AlertState
from sync.disk import sync_folder, write_file

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger("tidegate.alerts")

_BETWEEN_S = 1.0
"""Between two writes: an alert that comes and goes at each reading must not wear the disk out."""
_RETRY_S = 30.0
_LAST_WRITE_S = 2.0
_MOST = 10_000


@dataclass(slots=True)
class Entry:
    """An alert's newest state. `told`: the log has it. `heard`: the local broker has acknowledged it."""

    alert: Alert
    told: bool = False
    heard: bool = False


class RaisedAlerts:
    """The alerts of this gateway that may stand as raised. Without a path they are kept in memory alone."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._entries: dict[str, Entry] = self._read()
        self._changed = asyncio.Event()
        self._writing: asyncio.Future[None] | None = None
        self._complained = False

    def entries(self) -> list[Entry]:
        """Those that an earlier run has left, before this one says anything."""
        return list(self._entries.values())

    def put(self, alert: Alert) -> Entry | None:
        """Take an alert's new state: each that is raised, and the end of one that is there. None for any other."""
        known = self._entries.pop(alert.alert_id, None)
        if known is None and alert.state is AlertState.CLEARED:
            return None
        if len(self._entries) >= _MOST:
            self._entries.pop(next(iter(self._entries)))
        entry = self._entries[alert.alert_id] = Entry(alert)
        self._changed.set()
        return entry

    def told(self, entry: Entry) -> None:
        """The log has it."""
        entry.told = True
        self._settle(entry)

    def heard(self, alert: Alert) -> None:
        """The local broker has acknowledged this state."""
        entry = self._entries.get(alert.alert_id)
        if entry is not None and entry.alert is alert:
            entry.heard = True
            self._settle(entry)

    async def run(self) -> None:
        """Keep the file up to date until cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                well = await self._write()
                await asyncio.sleep(_BETWEEN_S if well else _RETRY_S)
        finally:
            with suppress(TimeoutError):  # a disk that hangs holds no stop up
                async with asyncio.timeout(_LAST_WRITE_S):
                    if self._writing is not None:
                        await asyncio.gather(self._writing, return_exceptions=True)
                    if self._changed.is_set():
                        await self._write()

    def _settle(self, entry: Entry) -> None:
        if entry.alert.state is not AlertState.CLEARED or self._entries.get(entry.alert.alert_id) is not entry:
            return
        if entry.told and entry.heard:
            del self._entries[entry.alert.alert_id]
        self._changed.set()

    async def _write(self) -> bool:
        if self._path is None:
            return True
        content = orjson.dumps(
            {
                "alerts": [
                    {"alert": entry.alert.model_dump(mode="json", exclude_none=True), "told": entry.told}
                    for entry in self._entries.values()
                ]
            }
        )
        self._writing = asyncio.ensure_future(asyncio.to_thread(_replace, self._path, content))
        try:
            await asyncio.shield(self._writing)
        except asyncio.CancelledError:
            self._changed.set()
            raise
        except OSError as fault:
            self._changed.set()
            if not self._complained:
                log.warning("%s cannot be written: %s", self._path, fault.strerror)
            self._complained = True
            return False
        self._complained = False
        return True

    def _read(self) -> dict[str, Entry]:
        if self._path is None:
            return {}
        try:
            found = orjson.loads(self._path.read_bytes())["alerts"]
            entries = [Entry(Alert.model_validate(one["alert"]), bool(one["told"])) for one in found]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else "it is corrupt or of another version"
            log.warning("%s cannot be read: %s. Alerts of an earlier run may stay raised", self._path, reason)
            return {}
        return {entry.alert.alert_id: entry for entry in entries}


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    write_file(fresh, content)
    fresh.replace(path)
    sync_folder(path.parent)
