"""Desired state: the newest document for this gateway on one partition of a compacted topic."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sync.kafka.connection.client import Client, TopicUnavailable
from sync.kafka.questions.partition import Partition
from sync.values import ClusterChanged, NotReady, cluster_number

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sync.kafka.connection.logins import Logins
    from sync.kafka.connection.traffic import Traffic
    from sync.kafka.questions.stored import Stored
    from sync.kafka.settings import KafkaSettings
    from sync.seams import Cursors

log = logging.getLogger("tidegate.fleet")


@dataclass(frozen=True, slots=True)
class DesiredSettings:
    """Which documents are ours.

    A document is a record of `topic` and `partition` whose key is `key` (the gateway's id). One of more than
    `max_document_bytes` is not given out, only counted and logged.
    """

    topic: str
    partition: int
    key: bytes
    poll_interval_s: float = 30.0
    max_document_bytes: int = 256 * 1024


@dataclass(slots=True)
class DesiredStats:
    """Counts since the start; `waits_for` says what is missing while the partition cannot be read."""

    polls: int = 0
    documents: int = 0
    oversized: int = 0
    position: int = -1
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class _Document:
    offset: int
    value: bytes


class DesiredState:
    """Reads one partition from an offset kept on disk, slowly; a missing link or topic is waited for."""

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: DesiredSettings,
        cursors: Cursors,
        traffic: Traffic | None = None,
        logins: Logins | None = None,
    ) -> None:
        self._client = Client(kafka, create_topics=False, traffic=traffic, logins=logins, one_cluster=True)
        self._settings = settings
        self._cursors = cursors
        self._cursor_name = f"desired:{settings.topic}:{settings.partition}"
        self.stats = DesiredStats()
        self._again = asyncio.Event()
        self._handing: asyncio.Future[None] | None = None

    async def run(self, on_document: Callable[[int, bytes], Awaitable[None]]) -> None:
        """Poll until cancelled; `on_document(offset, document)` gets the newest of what each poll brought.

        The offset moves past a document only after `on_document` has returned: killed in between, the next run
        gives the same document again. Whatever `on_document` raises ends the run.

        Raises:
            Misconfigured: the cluster refuses our credentials.
        """
        try:
            while True:
                try:
                    await self._poll(on_document)
                except ClusterChanged:
                    await self._client.forget_cluster()  # the next poll takes it as it is
                except (NotReady, TopicUnavailable) as error:
                    if self.stats.waits_for is None:
                        log.warning("%s cannot be read: %s", self._settings.topic, error.reason)
                    self.stats.waits_for = error.reason
                else:
                    if self.stats.waits_for is not None:
                        log.info("%s can be read again", self._settings.topic)
                    self.stats.waits_for = None
                await self._pause()
        finally:
            await self._client.close()

    def poll_again(self) -> None:
        """What could not be read may be there now: look at once. What can be read keeps to its interval."""
        if self.stats.waits_for is not None:
            self._again.set()

    async def _pause(self) -> None:
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - spreads a fleet's polls, not a secret
        self._again.clear()
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`, which until Python 3.12 may swallow a cancellation.
            async with asyncio.timeout(self._settings.poll_interval_s * jitter):
                await self._again.wait()

    async def _poll(self, on_document: Callable[[int, bytes], Awaitable[None]]) -> None:
        partition = self._partition()
        kept = await self._kept()
        start = kept if kept is not None else await partition.start()
        newest: _Document | None = None
        async for batches in partition.read(start):
            if partition.position < start:
                newest = None  # created again: what was read of the one before counts no more
            newest = self._newest(batches) or newest
            # A long partition over a bad link goes on from here; a document not given out yet is read again.
            offset = partition.position if newest is None else newest.offset
            await self._keep(offset, kept)
            kept = offset
        position = partition.position
        self.stats.polls += 1
        self.stats.position = position
        if newest is None:
            await self._keep(position, kept)
            return
        # A document may replace the very unit that runs this, which is then cancelled here. What became of it is kept
        # all the same: two topics, each with a document that names the other, would be swapped for ever.
        self._handing = asyncio.ensure_future(self._hand_over(newest, position, kept, on_document))
        await asyncio.shield(self._handing)

    async def _hand_over(
        self, newest: _Document, position: int, kept: int | None, on_document: Callable[[int, bytes], Awaitable[None]]
    ) -> None:
        await on_document(newest.offset, newest.value)
        self.stats.documents += 1
        await self._keep(position, kept)

    def _partition(self) -> Partition:
        # Committed: a document of a transaction that was aborted was never published.
        return Partition(self._client, self._settings.topic, self._settings.partition, committed=True)

    async def _kept(self) -> int | None:
        """The offset to go on from; none where it is one of another cluster."""
        name = f"{self._cursor_name}:cluster"
        of, present = await self._cursors.cursor(name), cluster_number(await self._client.cluster_id())
        if of is not None and of != present:
            log.warning("%s is now in another cluster and is read from its beginning", self._settings.topic)
            await self._cursors.set_cursor(self._cursor_name, await self._partition().start())
        if of != present:
            # After the offset: killed in between, the next run does the same again.
            await self._cursors.set_cursor(name, present)
        return await self._cursors.cursor(self._cursor_name)

    async def _keep(self, offset: int, kept: int | None) -> None:
        if offset != kept:
            await self._cursors.set_cursor(self._cursor_name, offset)

    def _newest(self, batches: Sequence[Stored]) -> _Document | None:
        """The newest document of ours."""
        newest: _Document | None = None
        for batch in batches:
            for record in batch.records():
                if record.key == self._settings.key and record.value is not None:
                    newest = self._bounded(record.offset, record.value) or newest
        return newest

    def _bounded(self, offset: int, value: bytes) -> _Document | None:
        if len(value) <= self._settings.max_document_bytes:
            return _Document(offset, bytes(value))
        log.error("a document of %d bytes at offset %d is too large and is refused", len(value), offset)
        self.stats.oversized += 1
        return None
