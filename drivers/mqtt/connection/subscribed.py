"""What the session at the broker is subscribed to, and which session it is, kept in a small file.

The session outlives the daemon, and the broker tells nobody what is in it. Without this file a topic removed from
the configuration while the daemon was stopped would be delivered for ever. A new session has no subscription before
the file says its number, so no message of it can be taken for one of the session before.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from drivers.mqtt.settings import MqttSettings

log = logging.getLogger("tidegate.mqtt")

_DISK_TIMEOUT_S = 2.0
_T = TypeVar("_T")


class Subscribed:
    """Topic filters and their QoS, as far as known. Without a file: those of this process."""

    def __init__(self, settings: MqttSettings) -> None:
        self._path = settings.subscriptions_file
        # Another broker or another client id is another session.
        self._session = f"{settings.client_id}@{settings.host}:{settings.port}"
        self._loaded = self._path is None
        self._complained = False
        self._hanging: asyncio.Future[Any] | None = None
        self.filters: dict[str, int] = {}
        self.session = 0
        """The number that was drawn for the session when it was new; 0 is none known."""

    @property
    def name(self) -> str:
        """The session's name: another broker or another client id is another session."""
        return self._session

    async def load(self) -> None:
        """Read the file, once. A file that cannot be read is as good as none."""
        if not self._loaded:
            self._loaded = True
            self.filters, self.session = await self._in_time(self._read) or ({}, 0)

    async def save(self, filters: Mapping[str, int]) -> None:
        """Keep these from now on; a disk that does not take them costs a log line, no reading."""
        self.filters = dict(filters)
        if self._path is not None:
            await self._in_time(self._write)

    async def _in_time(self, work: Callable[[], _T]) -> _T | None:
        """What a thread makes of it, or None: a disk that hangs must not keep us from subscribing."""
        if self._hanging is not None and not self._hanging.done():
            return None
        task: asyncio.Future[_T] = asyncio.ensure_future(asyncio.to_thread(work))
        self._hanging = task
        done, _ = await asyncio.wait([task], timeout=_DISK_TIMEOUT_S)
        if done:
            return task.result()
        log.warning("%s: the disk does not respond", self._path)
        return None

    def _read(self) -> tuple[dict[str, int], int]:
        if self._path is None:
            return {}, 0
        try:
            document = orjson.loads(self._path.read_bytes())
            if document["session"] != self._session:
                return {}, 0
            filters = {str(name): int(qos) for name, qos in document["filters"].items()}
            return filters, int(document.get("number", 0))
        except FileNotFoundError:
            return {}, 0
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it was not written by this program"
            log.warning("%s cannot be read (%s): removed topics may still be delivered", self._path, why)
            return {}, 0

    def _write(self) -> None:
        if self._path is None:
            return
        half = self._path.with_suffix(".part")
        document = {"session": self._session, "number": self.session, "filters": self.filters}
        try:
            with half.open("wb") as file:
                file.write(orjson.dumps(document))
                file.flush()
                os.fsync(file.fileno())
            half.replace(self._path)
        except OSError as error:
            if not self._complained:
                log.warning("%s cannot be written: %s", self._path, error.strerror)
            self._complained = True
        else:
            self._complained = False
