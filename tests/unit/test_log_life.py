"""The log on disk from start to start: restarts, kills, commits, and reading it from beside. L rules: sync/log."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from sync.log import SqliteLog
from sync.log.disk import aside, schema
from sync.log.inspect.reader import LogReader
from sync.values import Lane, Misconfigured, NotReady
from tests.support.log import (
    LIVE,
    TOPIC,
    claim,
    drain,
    envelopes,
    names,
    running,
    settings,
    until,
    values,
)


async def test_what_a_run_left_is_there_for_the_next(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.set_cursor("fleet", 5)
        await log.append(envelopes("a", "b"))
        leased = await log.lease(claim(LIVE), 1 << 20)
        await log.append(envelopes("c"))
        first = log.stats()
    async with running(SqliteLog(settings(tmp_path))) as log:
        (again,) = await log.unsettled()
        assert leased is not None
        # D2: the very same batch, said to have been tried.
        assert (again.claim.producer, again.first, again.count, again.body) == (
            leased.claim.producer,
            leased.first,
            leased.count,
            leased.body,
        )
        assert again.attempted
        assert await log.cursor("fleet") == 5
        log.settle(again, 0)
        assert await drain(log) == {(Lane.LIVE, TOPIC): ["c"]}
        second = log.stats()
    assert (second.log_id, second.run, second.next_seq) == (first.log_id, first.run + 1, first.next_seq)


async def test_an_orderly_stop_commits_all_that_waits(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, commit_interval_s=10.0))
    async with running(log):
        await log.changed(0)
        waiting = log.append(envelopes(*range(100)))
        await asyncio.sleep(0)
    await waiting
    assert [depth.pending for depth in LogReader(tmp_path / "log.sqlite").depth()] == [100]


async def test_what_is_appended_before_the_file_is_open_waits_for_it(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path))
    early = log.append(envelopes("early"))
    async with running(log):
        await early


async def test_what_comes_after_the_end_is_refused(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path))
    async with running(log):
        await log.append(envelopes("x"))
    with pytest.raises(NotReady):
        await log.append(envelopes("late"))


async def test_a_second_daemon_on_the_same_log_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("x"))
        with pytest.raises(Misconfigured, match=str(os.getpid())) as refused:
            await SqliteLog(settings(tmp_path)).run()
        assert refused.value.field == "gateway.state_dir"
        await log.append(envelopes("y"))


async def test_a_file_of_a_later_version_is_put_aside_untouched_and_that_version_takes_it_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L7, L8, L9: going back a version must not stop the gateway, and going on again must lose nothing."""
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes("leased"))
        leased = await log.lease(claim(LIVE), 1 << 20)
        await log.append(envelopes("of later"))
        later = log.stats()
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version=99")
    content = path.read_bytes()
    for _ in range(3):
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.append(envelopes("of earlier"))
            earlier = log.stats()
            assert earlier.log_id != later.log_id
            assert await log.assign_partition(TOPIC, 64) == 0
    (kept,) = aside.files(path)
    assert kept.name.startswith("log.sqlite.format-99-")
    assert kept.read_bytes() == content

    monkeypatch.setattr(schema, "FORMAT", 99)
    monkeypatch.setattr(schema, "_UPGRADES", dict.fromkeys(range(1, 99), ()))
    async with running(SqliteLog(settings(tmp_path))) as log:
        (again,) = await log.unsettled()
        assert leased is not None
        assert (again.claim.producer, again.claim.base_sequence, again.body) == (
            leased.claim.producer,
            leased.claim.base_sequence,
            leased.body,
        )
        log.settle(again, 0)
        await until(lambda: not log._writer._salvage)
        found = await drain(log)
        assert found[Lane.LIVE, TOPIC] == ["of earlier"] * 3
        assert found[Lane.BACKFILL, TOPIC] == ["of later"]
        assert log.stats().quarantined == 0
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert await drain(log) == {(Lane.LIVE, TOPIC): ["after"]}
    assert [file.name.split("-")[0] for file in aside.files(path)] == ["log.sqlite.salvaged"]


async def test_no_file_of_the_log_is_for_others_to_read(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    path.touch(mode=0o644)
    path.chmod(0o644)
    before = os.umask(0o022)
    try:
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.append(envelopes("x"))
            path.unlink()
            await log.append(envelopes("y"))
            await until(lambda: not log._writer._salvage)  # files get other names until then
            modes = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert len(modes) >= 7
    assert set(modes.values()) == {"0o640"}, modes


async def test_the_interval_gathers_and_alerts_and_full_windows_do_not_wait(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, commit_interval_s=3_600.0, commit_records=100))
    async with running(log):
        await log.changed(0)
        waiting = log.append(envelopes("telemetry"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        # An alert is committed at once, with all that waits.
        await log.append(envelopes("alert", lane=Lane.ALERT, topic="farm-alerts"))
        await waiting
        await log.append(envelopes(*range(100)))
        # So is what somebody cannot go on without.
        waiting = log.append(envelopes("held up"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        log.hurry()
        await waiting


CHILD = """
import asyncio, sys
from pathlib import Path
from sync.log import SqliteLog, LogSettings
from tests.support.log import envelopes, claim, LIVE, TOPIC

async def main():
    log = SqliteLog(LogSettings(path=Path(sys.argv[1]), gateway_id="gw-1", commit_interval_s=0.0))
    running = asyncio.create_task(log.run())
    await log.assign_partition(TOPIC, 1)
    sequence = sum(batch.count for batch in await log.unsettled())
    number = int(sys.argv[2])
    while True:
        batch = [f"{number + i}" for i in range(20)]
        number += 20
        await log.append(envelopes(*batch))
        print(*batch, flush=True)

asyncio.run(main())
"""


async def test_after_kill_9_nothing_acknowledged_is_missing_and_no_name_is_given_twice(tmp_path: Path) -> None:
    """L1, L2."""
    acknowledged: list[str] = []
    for run in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            str(tmp_path / "log.sqlite"),
            str(run * 1_000_000),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        assert child.stdout is not None
        for _ in range(30 + 7 * run):
            acknowledged += (await asyncio.wait_for(child.stdout.readline(), 60)).decode().split()
        child.send_signal(signal.SIGKILL)
        rest = (await child.communicate())[0].decode()
        # A last line may have been cut off in the middle; what it says whole was acknowledged.
        acknowledged += rest[: rest.rfind("\n") + 1].split()
    async with running(SqliteLog(settings(tmp_path))) as log:
        found: list[str] = []
        called: list[bytes] = []
        sequence = 0
        await log.changed(0)
        while (batch := await log.lease(claim(LIVE, sequence), 1 << 20)) is not None:
            found += values(batch)
            called += names(batch)
            sequence += batch.count
            log.settle(batch, sequence)
    assert len(acknowledged) >= 20 * 111
    assert set(acknowledged) <= set(found)
    assert len(set(called)) == len(called) == len(found)
    assert len(set(found)) == len(found)


async def test_no_name_is_given_twice_even_where_the_tail_of_the_file_was_lost(tmp_path: Path) -> None:
    """L2: a WAL that is gone takes records with it, but their names stay theirs."""
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("first"))
    given: list[bytes] = []
    log = SqliteLog(settings(tmp_path))
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        for i in range(5):
            await log.append(envelopes(f"lost {i}"))
        while (batch := await log.lease(claim(LIVE, len(given)), 1 << 20)) is not None:
            given += names(batch)
            log.settle(batch, 0)
        survivor = tmp_path / "after"
        survivor.mkdir()
        for name in ("log.sqlite", "log.sqlite.names"):
            shutil.copy(tmp_path / name, survivor)
    async with running(SqliteLog(settings(survivor))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes("new"))
        batch = await log.lease(claim(LIVE), 1 << 20)
        while batch is not None and "new" not in values(batch):
            log.settle(batch, 0)
            batch = await log.lease(claim(LIVE, batch.last), 1 << 20)
        assert batch is not None
        name = dict(zip(values(batch), names(batch), strict=True))["new"]
        assert len(given) == 6
        assert name not in given


async def test_the_lease_of_fresh_records_and_the_settle_before_ride_in_the_commit_that_stores_them(
    tmp_path: Path,
) -> None:
    """D1, D2: one fsync for each round of a shipper that keeps up."""
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        offer = log.offer(claim(LIVE, 0), 1 << 20)
        await log.append(envelopes("x0"))
        batch = await offer
        before = log.stats().commits
        for i in range(1, 6):
            log.settle(batch, i)
            offer = log.offer(claim(LIVE, i), 1 << 20)
            await log.append(envelopes(f"x{i}"))
            batch = await offer
            assert values(batch) == [f"x{i}"]
        assert log.stats().commits - before == 5
        assert log.stats().delivered[Lane.LIVE] == 5


async def test_people_can_read_the_log_beside_the_daemon_and_without_it(tmp_path: Path) -> None:
    reader = LogReader(tmp_path / "log.sqlite")
    with pytest.raises(NotReady):
        reader.depth()
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes("a", "b"))
        batch = await log.lease(claim(LIVE), 1 << 20)
        assert batch is not None
        log.settle(batch, 0)
        await log.append(envelopes("c"))
        poison = await log.lease(claim(LIVE, 2), 1 << 20)
        assert poison is not None
        await log.cut(poison, "INVALID_RECORD")
        await log.append(envelopes("d"))
        for _ in range(2):
            entries = reader.tail(10, topic=TOPIC)
            assert [(entry.state, entry.record.value) for entry in entries if entry.record] == [
                ("settled", b"a"),
                ("settled", b"b"),
                ("pending", b"d"),
            ]
            assert [(letter.reason, letter.seq) for letter in reader.dead_letters(5)] == [("INVALID_RECORD", 3)]
            assert sum(depth.pending for depth in reader.depth()) == 2
            assert reader.identity() == (log.stats().log_id, 1)
    assert [entry.record.value for entry in reader.tail(1, topic=TOPIC) if entry.record] == [b"d"]
