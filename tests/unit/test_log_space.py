"""Another program fills the log's disk. L rules: sync/log."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.commit import space
from sync.log.commit.file import LogFile
from sync.values import Lane
from tests.support.disks import LoopDisk
from tests.support.log import LIVE, TOPIC, SetClock, bulky, claim, drain, envelopes, running, settings, until

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024**2
pytestmark = pytest.mark.skipif(not LoopDisk.possible(), reason="mounting a small disk needs root")


@pytest.fixture
def disk():
    with LoopDisk(192) as mounted:
        yield mounted


def a_log(folder: Path, clock: SetClock | None = None) -> SqliteLog:
    return SqliteLog(settings(folder, log_stall_s=10.0, min_free_bytes=64 * MIB), clock)


async def deliver(log: SqliteLog, commits: int) -> None:
    sequence = log.stats().next_seq
    for _ in range(commits):
        await log.append(bulky(400))
        batch = await log.lease(claim(LIVE, sequence), 1 << 22)
        assert batch is not None
        sequence += batch.count
        log.settle(batch, 0)


@pytest.mark.parametrize("left", [5 * MIB, MIB])
async def test_history_goes_and_its_room_goes_back_to_the_disk_and_nothing_undelivered_is_lost(
    disk: LoopDisk, left: int
) -> None:
    """Also on a disk so full that the file can be rebuilt only over the WAL that is there."""
    file = disk.folder / "log.sqlite"
    async with running(log := a_log(disk.folder)):
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
        await log.append(envelopes(*range(50), topic="camera-events"))
        await deliver(log, 80)
        assert not log.stats().disk_short
        large = file.stat().st_size
        assert large > 15 * MIB
        disk.fill(leave_bytes=left)
        for number in range(50, 5_000):
            await log.append(envelopes(number, topic="camera-events"))
            if file.stat().st_size < 4 * MIB:
                break
        assert log.stats().disk_short
        assert file.stat().st_size < 4 * MIB, "given back"
        await until(lambda: (log.stats().disk_free_bytes or 0) > large - 6 * MIB)
        assert log.stats().lost == {}
        found = await drain(log)
        assert found[Lane.ALERT, "farm-alerts"] == ["alarm"]
        assert [int(value) for value in found[Lane.LIVE, "camera-events"]] == list(range(number + 1))
    # What was written anew is whole, and is gone on with.
    async with running(log := a_log(disk.folder)):
        await log.append(envelopes("after"))
        assert (await drain(log))[Lane.LIVE, TOPIC] == ["after"]


def test_while_somebody_reads_it_a_file_is_not_rebuilt_for_the_copy_would_make_the_wal_larger(tmp_path: Path) -> None:
    file = LogFile(settings(tmp_path), SetClock())
    book = file.open()
    for _ in range(20):
        book.begin()
        book.store(Lane.LIVE, TOPIC, bulky(400))
        book.commit()
    book.begin()
    book.connection.execute("DELETE FROM blocks WHERE key % 2")
    book.commit()
    file.checkpoint()
    wal, size = tmp_path / "log.sqlite-wal", file.path.stat().st_size
    with closing(sqlite3.connect(f"file:{file.path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM blocks").fetchone()
        book.begin()
        book.store(Lane.LIVE, TOPIC, bulky(1))
        book.commit()
        before = wal.stat().st_size
        assert not file.rebuild()
        assert wal.stat().st_size == before
    assert file.rebuild()
    assert file.path.stat().st_size < size - MIB
    file.close(clean=True)


async def test_in_an_outage_the_log_lives_within_the_size_it_has_and_every_loss_is_told(disk: LoopDisk) -> None:
    """L5."""
    file = disk.folder / "log.sqlite"
    async with running(log := a_log(disk.folder, clock := SetClock())):
        await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
        sent = 0
        for _ in range(60):
            await log.append(bulky(400))
            sent += 400
        disk.fill(leave_bytes=16 * MIB)
        await until(lambda: not log._figures.trim_more)
        while not log.stats().disk_short:
            await log.append(bulky(10))
            sent += 10
        await log.append(bulky(10))
        sent += 10
        bound = log.stats().bound_bytes
        assert space.LEAST_BYTES < bound < 22 * MIB
        for _ in range(60):
            await log.append(bulky(400))
            sent += 400
            assert file.stat().st_size <= bound + MIB
            assert not log.stats().stalled
        await until(lambda: not log._figures.trim_more)
        stats = log.stats()
        assert stats.lost["evicted"] > 10_000
        assert stats.depth[Lane.LIVE] + stats.lost["evicted"] == sent
        clock.ahead_ms += 10_000
        await log.append(envelopes("x", topic="camera-events"))
        found = await drain(log)
        assert found[Lane.ALERT, "farm-alerts"] == ["alarm"]
        told = [json.loads(value)["data"] for value in found[Lane.ALERT, "system-events"]]
        assert sum(entry["count"] for entry in told) == stats.lost["evicted"]
        # Once there is room, it may grow again.
        disk.free()
        while log.stats().disk_short:
            await log.append(envelopes("y", topic="camera-events"))
        await log.append(envelopes("y", topic="camera-events"))
        assert log.stats().bound_bytes == log._settings.max_bytes
