"""The log at its limits: its bytes and days, a disk that is full, refuses or hangs. L rules: sync/log."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sync.log import SqliteLog
from sync.log.commit import writer
from sync.log.commit.engine import Engine
from sync.log.inspect.reader import LogReader
from sync.values import Lane, LogStalled
from tests.support.disks import LoopDisk
from tests.support.log import (
    LIVE,
    TOPIC,
    SetClock,
    bulky,
    claim,
    drain,
    envelopes,
    running,
    settings,
    until,
)


@pytest.mark.parametrize("lane", [Lane.LIVE, Lane.BULK])
async def test_over_its_bytes_the_log_evicts_the_oldest_and_says_how_many(tmp_path: Path, lane: Lane) -> None:
    """L5: counted by reason, one ledger entry, told upstream on lane alert."""
    log = SqliteLog(settings(tmp_path, max_bytes=4 * 1024**2), clock := SetClock())
    sent = 0
    async with running(log):
        await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
        while not log.stats().lost.get("evicted"):
            await log.append(bulky(200, lane))
            sent += 200
            assert sent < 100_000
        await log.append(bulky(200, lane))
        sent += 200
        await until(lambda: not log._figures.trim_more)
        stats = log.stats()
        assert stats.bytes_used <= 4 * 1024**2
        assert stats.depth[lane] + stats.lost["evicted"] == sent
        clock.ahead_ms += 10_000
        await log.append(envelopes("x", topic="camera-events"))
        found = await drain(log)
        assert found[Lane.ALERT, "farm-alerts"] == ["alarm"]
        events = [json.loads(value) for value in found[Lane.ALERT, "system-events"]]
        assert sum(event["data"]["count"] for event in events) == stats.lost["evicted"]
        assert {(event["event"], event["data"]["reason"], event["data"]["lane"]) for event in events} == {
            ("records_lost", "evicted", lane.value)
        }
        assert len(found[lane, TOPIC]) == sent - stats.lost["evicted"]


async def test_delivered_history_goes_before_anything_undelivered(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, max_bytes=4 * 1024**2))
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        await log.append(bulky(10, topic="camera-events"))
        sequence = 0
        for _ in range(60):
            await log.append(bulky(200))
            batch = await log.lease(claim(LIVE, sequence), 1 << 22)
            assert batch is not None
            sequence += batch.count
            log.settle(batch, sequence)
        await until(lambda: not log._figures.trim_more)
        assert log.stats().lost == {}
        assert log.stats().bytes_used <= 4 * 1024**2
        assert log.stats().depth[Lane.LIVE] <= 210


async def test_what_is_leased_is_never_evicted(tmp_path: Path) -> None:
    """D8."""
    log = SqliteLog(settings(tmp_path, max_bytes=4 * 1024**2))
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        await log.append(bulky(50))
        leased = await log.lease(claim(LIVE), 1 << 22)
        assert leased is not None
        while log.stats().lost.get("evicted", 0) < 1_000:
            await log.append(bulky(200))
        (again,) = await log.unsettled()
        assert again.body == leased.body


async def test_what_is_too_old_goes_by_the_clock_that_nobody_can_set(tmp_path: Path) -> None:
    """C4."""
    clock = SetClock(synced=False)
    log = SqliteLog(settings(tmp_path, max_age_s=1_000.0), clock)
    async with running(log):
        await log.append(envelopes(*range(10)))
        clock.set_by_ms = 5_000_000
        clock.trusted = True
        clock.ahead_ms = 20_000
        await log.append(envelopes("x", topic="camera-events"))
        assert log.stats().lost == {}
        clock.ahead_ms = 1_010_000
        await log.append(envelopes("y", topic="camera-events"))
        assert log.stats().lost == {"aged": 10}
        assert [pending.records for pending in log.streams() if pending.topic == TOPIC] == [0]


async def test_a_disk_that_refuses_stalls_the_log_and_readings_are_counted_as_lost_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """L9: one line when it begins, one when it ends; a ledger entry for what was lost."""
    log = SqliteLog(settings(tmp_path, log_stall_s=0.3))
    async with running(log):
        await log.append(envelopes("before"))
        with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # a disk that takes nothing, as the writer sees it
            with pytest.raises(LogStalled):
                await log.append(envelopes("lost", "too"))
            assert log.stats().stalled
            with pytest.raises(LogStalled):
                await log.append(envelopes("and this"))
            other.execute("ROLLBACK")
        await until(lambda: not log.stats().stalled)
        await log.append(envelopes("after"))
        # A commit that was under way when they were discarded may have brought the last one to disk after all.
        kept = [value for value in (await drain(log))[Lane.LIVE, TOPIC] if value not in {"before", "after"}]
        assert set(kept) <= {"and this"}
        lost = 3 - len(kept)
        assert log.stats().lost == {"stalled": lost}
    told = [loss.records for loss in LogReader(tmp_path / "log.sqlite").losses(5) if loss.reason == "stalled"]
    assert told == [lost]
    assert sum("commit to the log failed" in line for line in caplog.messages) == 1
    assert sum("can write to its disk again, after" in line for line in caplog.messages) == 1


async def test_a_disk_that_refuses_for_half_an_hour_is_tried_until_it_takes_commits_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_RETRY_MOST_S", 0.0)
    refusals = 0

    def refused(engine: Engine, *_: object) -> None:
        nonlocal refusals
        refusals += 1
        if refusals == 1_800:
            patched.undo()
        raise sqlite3.OperationalError("disk I/O error")

    log = SqliteLog(settings(tmp_path, log_stall_s=60.0))
    async with running(log):
        await log.append(envelopes("before"))
        with monkeypatch.context() as patched:
            patched.setattr(Engine, "transact", refused)
            await log.append(envelopes("after"))
        assert (await drain(log))[Lane.LIVE, TOPIC] == ["before", "after"]
    assert refusals == 1_800


async def test_a_writer_that_hangs_in_the_disk_stalls_the_log_too(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, log_stall_s=0.3))
    async with running(log):
        await log.append(envelopes("before"))
        begun, held = threading.Event(), threading.Event()

        def hang(_: object) -> None:
            begun.set()
            held.wait(60)

        log._ask(hang)
        await until(begun.is_set)
        with pytest.raises(LogStalled):
            await log.append(envelopes("lost"))
        assert log.stats().stalled
        held.set()
        await until(lambda: not log.stats().stalled)
        await log.append(envelopes("after"))
        assert (await drain(log))[Lane.LIVE, TOPIC] == ["before", "after"]


BOUND_CHILD = """
import asyncio, resource, sys
from pathlib import Path
from sync.log import SqliteLog
from sync.values import LogStalled
from tests.support.log import drain, envelopes, running, settings, until

async def main():
    log = SqliteLog(settings(Path(sys.argv[1]), log_stall_s=0.5))
    async with running(log):
        await log.append(envelopes("before"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        lost = 0
        for i in range(4):
            try:
                await log.append(envelopes(*(f"{i}-{k}" * 50 for k in range(100))))
            except LogStalled:
                lost += 100
        assert lost and log.stats().stalled
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await until(lambda: not log.stats().stalled)
        await log.append(envelopes("after"))
        found = [value for values in (await drain(log)).values() for value in values if value in ("before", "after")]
        print(*found)

asyncio.run(main())
"""


async def test_files_that_may_not_grow_stall_the_log_and_it_goes_on_when_they_may_again(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BOUND_CHILD,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    said, _ = await asyncio.wait_for(child.communicate(), 90)
    assert child.returncode == 0
    assert said.decode().split() == ["before", "after"]


@pytest.mark.skipif(not LoopDisk.possible(), reason="mounting a small disk needs root")
async def test_a_full_disk_costs_no_start_and_old_records_make_room_for_new_ones(tmp_path: Path) -> None:
    with LoopDisk(24) as disk:
        log = SqliteLog(settings(disk.folder, log_stall_s=2.0))
        async with running(log):
            await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
            for _ in range(20):
                await log.append(bulky(200))
            disk.fill()
            for _ in range(60):
                await log.append(bulky(200))
            stats = log.stats()
            assert stats.lost["evicted"] > 0
            assert stats.depth[Lane.LIVE] + stats.lost["evicted"] == 16_000
            assert stats.depth[Lane.ALERT] == 1
        # Nothing is free, and it starts all the same.
        log = SqliteLog(settings(disk.folder, log_stall_s=2.0))
        async with running(log):
            with suppress(LogStalled):
                await log.append(envelopes("tried"))
            disk.free()
            await until(lambda: log.stats().run == 2 and not log.stats().stalled)
            await log.append(envelopes("after"))
            assert (await drain(log))[Lane.ALERT, "farm-alerts"] == ["alarm"]


async def test_a_folder_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("a file where the folder should be")
    log = SqliteLog(settings(blocked, log_stall_s=0.2))
    async with running(log):
        with pytest.raises(LogStalled):
            await log.append(envelopes("lost"))
        assert log.stats().stalled
        blocked.unlink()
        await until(lambda: log.stats().run == 1)
        await log.append(envelopes("after"))


async def test_a_foreign_reader_shows_in_the_figures_and_stops_no_commit(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path))
    async with running(log):
        await log.append(envelopes("x"))
        with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as foreign:
            foreign.execute("BEGIN")
            foreign.execute("SELECT count(*) FROM blocks").fetchone()
            for _ in range(40):
                await log.append(bulky(200))
            await until(lambda: log.stats().checkpoint_held)
            assert log.stats().wal_bytes > 1024**2


async def test_what_was_written_is_counted_as_it_is_written_not_at_the_next_checkpoint(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("first"))
        begun = log.stats().written_bytes
        async with asyncio.timeout(15):
            while log.stats().written_bytes == begun:
                await log.append(envelopes("more"))
                await asyncio.sleep(0.2)
