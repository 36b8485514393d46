"""What the session at the broker is subscribed to, kept in a small file.

The session outlives the daemon, and the broker tells nobody what is in it. Without this file a topic removed from
the configuration while the daemon was stopped would be delivered for ever.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drivers.mqtt.settings import MqttSettings

log = logging.getLogger("tidegate.mqtt")


class Subscribed:
    """Topic filters and their QoS, as far as known. Without a file: those of this process."""

    def __init__(self, settings: MqttSettings) -> None:
        self._path = settings.subscriptions_file
        # Another broker or another client id is another session.
        self._session = f"{settings.client_id}@{settings.host}:{settings.port}"
        self._loaded = self._path is None
        self._complained = False
        self.filters: dict[str, int] = {}

    async def load(self) -> None:
        """Read the file, once. A file that cannot be read is as good as none."""
        if not self._loaded:
            self._loaded = True
            self.filters = await asyncio.to_thread(self._read)

    async def save(self, filters: Mapping[str, int]) -> None:
        """Keep these from now on; a disk that does not take them costs a log line, no reading."""
        self.filters = dict(filters)
        if self._path is not None:
            await asyncio.to_thread(self._write)

    def _read(self) -> dict[str, int]:
        if self._path is None:
            return {}
        try:
            document = orjson.loads(self._path.read_bytes())
            if document["session"] != self._session:
                return {}
            return {str(name): int(qos) for name, qos in document["filters"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read (%s): topics removed meanwhile may still be delivered", self._path, error)
            return {}

    def _write(self) -> None:
        if self._path is None:
            return
        half = self._path.with_suffix(".part")
        try:
            with half.open("wb") as file:
                file.write(orjson.dumps({"session": self._session, "filters": self.filters}))
                file.flush()
                os.fsync(file.fileno())
            half.replace(self._path)
        except OSError as error:
            if not self._complained:
                log.warning("%s cannot be written: %s", self._path, error.strerror)
            self._complained = True
        else:
            self._complained = False
