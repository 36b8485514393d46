"""The log and the shipper through power cuts: a load on disks that forget, and what must hold after each cut."""

from __future__ import annotations

import asyncio
import copy
import functools
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sync.log import SqliteLog
from sync.log.disk import schema
from sync.memory import Fault, MemorySink
from sync.shipper import Shipper, ShipperSettings
from sync.values import Batch, Lane, Stream
from tests.support.log import envelope, opened, settings

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from sync.values import Envelope, Outcome

_FAST = ShipperSettings(
    backfill_after_s=0.05, retry_s=(0.001, 0.002), backoff_first_s=0.001, backoff_most_s=0.005, stop_s=0.0
)
_TOPICS = (
    (Lane.LIVE, "sensor-data"),
    (Lane.LIVE, "sensor-data"),
    (Lane.LIVE, "camera-events"),
    (Lane.ALERT, "farm-alerts"),
    (Lane.BULK, "camera-snapshots"),
)
_OUTSTANDING = 12
_FAT_BYTES = 30_000
_FAT_PENDING = 40
"""Not more of them wait: what the log evicts undelivered, it tells, and has not promised."""


class FlakySink(MemorySink):
    """The broker, which outlives every cut. Batches take a moment to arrive, and some answers are lost."""

    def __init__(self, draws: random.Random) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.flying: dict[Stream, Batch] = {}
        self._draws = draws
        self.fault = self._fault

    def _fault(self, _: Batch) -> Fault | None:
        drawn = self._draws.random()
        return Fault.ANSWER_LOST if drawn < 0.04 else Fault.REQUEST_LOST if drawn < 0.08 else None

    async def send(self, batch: Batch) -> Outcome:
        self.batches.append(batch)
        self.flying[batch.claim.stream] = batch
        await asyncio.sleep(self._draws.choice((0.0, 0.0, 0.002, 0.01)))
        outcome = await super().send(batch)
        await asyncio.sleep(self._draws.choice((0.0, 0.0, 0.002)))
        del self.flying[batch.claim.stream]
        return outcome

    def fork(self) -> FlakySink:
        """The same broker as it is now, for one of several futures."""
        known: dict[int, object] = {id(batch): batch for batch in self.batches}
        twin = copy.deepcopy(self, known)
        twin.flying.clear()
        twin.fault = lambda _: None
        return twin


class Contents:
    """What stands on a flaky_sink, every batch decoded once."""

    def __init__(self) -> None:
        self._decoded: dict[int, tuple[Batch, list[tuple[str, str, bool]]]] = {}

    def _of(self, batch: Batch) -> list[tuple[str, str, bool]]:
        known = self._decoded.get(id(batch))
        if known is None:
            found = [
                (
                    (headers["ce_source"] + b"#" + headers["ce_id"]).decode(),
                    _number(value),
                    headers.get("possibly_repeated") == b"1",
                )
                for value, headers in opened(batch)
            ]
            known = self._decoded[id(batch)] = batch, found
        return known[1]

    def faults(self, flaky_sink: FlakySink, acknowledged: set[str]) -> list[str]:
        """Every way in which the flaky_sink is not as promised; `acknowledged` is what must stand there."""
        unmarked: set[str] = set()
        seen: set[str] = set()
        by_name: dict[str, str] = {}
        wrong = []
        for partition in flaky_sink._logs.values():
            for _, batch in partition.batches:
                for name, value, marked in self._of(batch):
                    if value in unmarked and not marked:
                        wrong.append(f"{value} stands twice, unmarked")
                    if by_name.setdefault(name, value) != value:
                        wrong.append(f"{name} names both {by_name[name]} and {value} (L2)")
                    seen.add(value)
                    if not marked:
                        unmarked.add(value)
        missing = acknowledged - seen
        if missing:
            wrong.append(f"{len(missing)} acknowledged are missing, such as {min(missing)} (L1)")
        return wrong


class CutScenario:
    """One log's chain of lives between cuts; a fat one brings enough for the log to be trimmed."""

    def __init__(self, draws: random.Random, *, fat: bool = False) -> None:
        self.draws = draws
        self.fat = fat
        self.acknowledged: set[str] = set()
        self.appended = 0
        self.flaky_sink = FlakySink(draws)
        self._contents = Contents()
        self._flown: list[Batch] = []

    def _records(self, log: SqliteLog) -> list[Envelope]:
        lane, topic = self.draws.choice(_TOPICS)
        count = 1 if lane is Lane.ALERT else self.draws.choice((1, 3, 20))
        if self.fat and lane is Lane.BULK:
            count = min(count, 3) if log.stats().depth[lane] < _FAT_PENDING else 0
        found = []
        for _ in range(count):
            self.appended += 1
            noise = self.draws.randbytes(_FAT_BYTES).hex() if self.fat and lane is Lane.BULK else ""
            found.append(envelope(f"{self.appended:08d}.{noise}", lane, topic))
        return found

    async def live(self, log: SqliteLog, goes_on: object) -> None:
        """Load and ship until the disk stands still; whatever was acknowledged is noted."""
        assert callable(goes_on)
        # What was in flight at the last cut may be looked up and settled now, and so never leave again.
        self.flaky_sink.flying.clear()
        tasks = [asyncio.create_task(log.run()), asyncio.create_task(Shipper(log, self.flaky_sink, _FAST).run())]
        waiting: set[asyncio.Future[None]] = set()
        while goes_on():
            if len(waiting) < _OUTSTANDING:
                records = self._records(log)
                values = [_number(record.value.decode()) for record in records if record.value]
                done = log.append(records)
                waiting.add(done)
                done.add_done_callback(waiting.discard)
                done.add_done_callback(functools.partial(self._note, values))
            if self.draws.random() < 0.02:
                log.set_cursor("fleet", self.appended)
            await asyncio.sleep(self.draws.choice((0.0, 0.0, 0.001, 0.004)))
        self._flown = list(self.flaky_sink.flying.values())
        for task in reversed(tasks):
            await _ended(task)
        await asyncio.sleep(0)

    def _note(self, values: list[str], done: asyncio.Future[None]) -> None:
        if not done.cancelled() and done.exception() is None:
            self.acknowledged.update(values)

    async def arrive(self, folder: Path) -> list[str]:
        """Open what a cut left, ship all of it, and say what is not as promised."""
        flaky_sink = self.flaky_sink.fork()
        log = SqliteLog(settings(folder, log_stall_s=30.0))
        running = asyncio.create_task(log.run())
        wrong = []
        try:
            leased = {batch.claim.stream: batch for batch in await asyncio.wait_for(log.unsettled(), 20)}
            for flown in self._flown:
                known = leased.get(flown.claim.stream)
                if known is None or (known.claim, known.first, known.body) != (flown.claim, flown.first, flown.body):
                    wrong.append(f"a batch may have left whose lease is not on disk: {flown.claim} (D1)")
            shipping = asyncio.create_task(Shipper(log, flaky_sink, _FAST).run())
            async with asyncio.timeout(30):
                while any(log.stats().depth.values()) or flaky_sink.flying:
                    await log.cursor("fleet")  # a settle alone may wait for company
                    await asyncio.sleep(0.002)
            await _ended(shipping)
            stats = log.stats()
            if stats.lost or stats.quarantined:
                wrong.append(f"lost {stats.lost}, files put aside {stats.quarantined}")
        finally:
            await _ended(running)
        return wrong + self._contents.faults(flaky_sink, self.acknowledged)


async def _ended(task: asyncio.Task[None]) -> None:
    """End a task; one that does not end shows where it stands.

    Raises:
        TimeoutError: it does not.
    """
    task.cancel()
    await asyncio.wait([task], timeout=20)
    if not task.done():
        for other in asyncio.all_tasks():
            other.print_stack()
        raise TimeoutError("a task that was cancelled goes on")
    with suppress(asyncio.CancelledError):
        task.result()


def _number(value: str) -> str:
    return value.partition(".")[0]


@contextmanager
def synchronous(how: str) -> Iterator[None]:
    """Open logs with another `PRAGMA synchronous` inside the block."""
    connect = schema.connect
    schema.connect = functools.partial(connect, synchronous=how)
    try:
        yield
    finally:
        schema.connect = connect
