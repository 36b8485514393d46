"""A disk that fails under the log: errors that pass, errors that stay, an fsync that forgot. L rules: sync/log."""

from __future__ import annotations

import asyncio
import errno
import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from sync.log import SqliteLog
from sync.log.commit.file import LogFile
from sync.log.disk import aside
from sync.log.inspect.reader import LogReader
from sync.values import LogStalled
from tests.support.forgetful.mount import Forgetful
from tests.support.log import collected, envelopes, filled, running, settings, until

pytestmark = pytest.mark.skipif(not Forgetful.possible(), reason="needs root and FUSE 3")


@pytest.fixture
def disks():
    with Forgetful() as mounted:
        yield mounted


async def what_is_left(disks: Forgetful, folder: Path, outcome: str = "forgets") -> list[str]:
    """What a log gives out after a power cut now."""
    folder.mkdir()
    disks.order("image", name="one", outcome=outcome, seed=1, folder=str(folder))
    async with running(SqliteLog(settings(folder))) as log:
        await log.append(envelopes("opened"))
        await until(lambda: not log._writer._salvage)
        found, _ = await collected(log)
        assert log.stats().lost == {}
        return found


async def late(log: SqliteLog, *values: str) -> asyncio.Future[None]:
    waiting = log.append(envelopes(*values))
    await asyncio.wait([waiting], timeout=0.3)
    assert not waiting.done()
    return waiting


@pytest.mark.parametrize(
    "faults",
    [
        {"fsync_errno": errno.EIO},
        {"fsync_errno": errno.EIO, "forgets": True},
        {"write_errno": errno.EIO},
        {"write_errno": errno.ENOSPC},
        {"read_errno": errno.EIO, "write_errno": errno.EIO, "fsync_errno": errno.EIO},
        {"read_only": True},
        {"hangs": True},
    ],
    ids=str,
)
async def test_trouble_that_passes_costs_nothing_that_was_acknowledged_and_puts_nothing_aside(
    disks: Forgetful, tmp_path: Path, faults: dict[str, object]
) -> None:
    """L1, L9."""
    folder = disks.disk("one")
    async with running(SqliteLog(settings(folder, log_stall_s=30.0))) as log:
        await log.append(envelopes("before"))
        disks.faults(**faults)
        waiting = await late(log, "during")
        disks.well()
        await asyncio.wait_for(waiting, 20)
        await log.append(envelopes("after"))
        found = await what_is_left(disks, tmp_path / "left")
        assert sorted(found) == ["after", "before", "during", "opened"]
        assert log.stats().quarantined == 0


@pytest.mark.parametrize("name", ["", "-wal"])
async def test_after_an_fsync_that_forgot_the_file_that_is_opened_anew_is_on_the_disk(
    disks: Forgetful, tmp_path: Path, name: str
) -> None:
    """L1: what is only in memory looks whole, also to a new connection."""
    folder = disks.disk("one")
    async with running(SqliteLog(settings(folder, log_stall_s=0.3))) as log:
        for i in range(20):
            await log.append(envelopes(f"before {i}"))
        disks.faults(fsync_errno=errno.EIO, forgets=True, only=f"log.sqlite{name}" if name else "")
        waiting = log.append(envelopes("during"))
        kept = ["during"]
        await asyncio.wait([waiting], timeout=3)
        if waiting.done():
            assert isinstance(waiting.exception(), LogStalled)
            kept = []
        await until(lambda: log._writer.file.book is None, 10)
        disks.well()
        if kept:
            await asyncio.wait_for(waiting, 20)
        await asyncio.wait_for(_until_taken(log, "after"), 20)
        found = await what_is_left(disks, tmp_path / "left")
        acknowledged = {*(f"before {i}" for i in range(20)), *kept, "after"}
        assert acknowledged <= set(found)
        assert len(found) == len(set(found))
        assert log.stats().quarantined == 0


async def _until_taken(log: SqliteLog, value: str) -> None:
    while True:
        try:
            await log.append(envelopes(value))
        except LogStalled:
            continue
        return


@pytest.mark.parametrize("where", ["the first page", "blocks"])
async def test_a_sector_that_stays_unreadable_costs_no_more_than_what_lies_on_it(
    disks: Forgetful, tmp_path: Path, where: str
) -> None:
    """L9: a file that the disk no longer gives is put aside, and what can be read of it goes on."""
    old = await filled(tmp_path, 200)
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as file:
        pages = file.execute("PRAGMA page_count").fetchone()[0]
    first = 0 if where == "the first page" else pages // 2 * 1024
    folder = disks.disk("one", tmp_path)
    disks.order("spoil", name="one", file="log.sqlite", first=first, last=first + 511)
    async with running(SqliteLog(settings(folder, log_stall_s=1.0))) as log:
        seen: set[str] = set()
        for number in range(40):
            await _until_taken(log, f"after {number}")
            await asyncio.sleep(0.05)
            seen |= set((await collected(log))[0])
        await until(lambda: len(aside.waiting(folder / "log.sqlite")) == 0)
        found, _ = await collected(log)
        seen |= set(found)
        assert sum(value.startswith("after") for value in seen) == 40
        if where == "blocks":
            missing = old.undelivered - seen
            assert 0 < len(missing) <= 200
            assert log.stats().lost.get("corrupt") == len(missing)
        assert log.stats().quarantined == 1
    said = [entry.record.value for entry in LogReader(folder / "log.sqlite").tail(20, topic="system-events")]
    assert any(b"unknown number" in value for value in said) is (where != "blocks")


@pytest.mark.parametrize("damage", ["DROP TABLE runs", "PRAGMA user_version=99"])
async def test_a_cut_at_any_change_while_a_file_is_put_aside_and_emptied_loses_and_doubles_nothing(
    disks: Forgetful, tmp_path: Path, damage: str
) -> None:
    old = await filled(tmp_path, 20)
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as file:
        file.execute(damage)
    begun = {file.name for file in tmp_path.iterdir()}
    put_aside = 0
    for changes in range(1, 160, 5):
        name = f"cut after {changes}"
        folder = disks.disk(name, tmp_path)
        disks.order("freeze", name=name, after=changes)
        log = SqliteLog(settings(folder))
        async with running(log):
            while not disks.order("state", name=name)["frozen"]:
                log.set_cursor("something to write", 1)
                await asyncio.sleep(0.002)
        for outcome in ("ends", "forgets", "tears"):
            left = Path(tmp_path, f"{changes}-{outcome}")
            left.mkdir()
            disks.order("image", name=name, outcome=outcome, seed=changes, folder=str(left))
            put_aside += bool({file.name for file in left.iterdir()} - begun)
            again = SqliteLog(settings(left))
            async with running(again):
                await again.append(envelopes("opened"))
                await until(lambda again=again: not again._writer._salvage)
                found, _ = await collected(again)
            if damage.startswith("DROP"):
                assert sorted(found) == sorted(old.undelivered | {"opened"}), (changes, outcome)
            else:
                assert found == ["opened"]
                (kept,) = aside.files(left / "log.sqlite")
                with closing(sqlite3.connect(kept)) as file:
                    assert file.execute("SELECT count(*) FROM blocks").fetchone()[0] > 20, (changes, outcome)
            shutil.rmtree(left)
        disks.order("remove", name=name)
    assert put_aside > 50


async def test_a_torn_file_of_names_and_a_wal_that_is_gone_refuse_no_start(tmp_path: Path) -> None:
    old = await filled(tmp_path)
    names = tmp_path / "log.sqlite.names"
    names.write_bytes(names.read_bytes()[:40])
    (tmp_path / "log.sqlite-wal").unlink(missing_ok=True)
    async with running(SqliteLog(settings(tmp_path))) as log:
        assert log.stats().log_id in {"", old.log_id}
        found, _ = await collected(log)
        assert set(found) == old.undelivered
        assert log.stats().log_id == old.log_id


async def test_a_disk_that_hangs_at_the_stop_does_not_hold_up_whoever_goes_without_it(disks: Forgetful) -> None:
    folder = disks.disk("one")
    log = SqliteLog(settings(folder))
    task = asyncio.create_task(log.run())
    await log.append(envelopes("before"))
    disks.faults(hangs=True)
    waiting = log.append(envelopes("during"))
    await until(lambda: disks.order("state", name="one")["hung"])
    task.cancel()
    await asyncio.wait([task], timeout=0.5)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.done()
    assert not waiting.done()
    disks.well()
    for thread in threading.enumerate():
        if thread.name == "tidegate-log":
            await asyncio.to_thread(thread.join, 10)


@pytest.mark.parametrize("then", ["ended", "recovered"])
async def test_a_run_that_ends_while_its_log_is_stalled_leaves_a_loss_without_a_count(
    disks: Forgetful, tmp_path: Path, then: str
) -> None:
    """L5, L9."""
    folder = disks.disk("one")
    note = tmp_path / "log-stalled"
    log = SqliteLog(settings(folder, log_stall_s=0.3, runtime_dir=tmp_path))
    async with running(log):
        await log.append(envelopes("before"))
        log_id = log.stats().log_id
        assert not note.exists()
        disks.faults(write_errno=errno.EIO)
        with pytest.raises(LogStalled):
            await log.append(envelopes("lost"))
        await until(note.exists)
        if then == "recovered":
            disks.well()
            await _until_taken(log, "after")
            await until(lambda: not note.exists())
    disks.well()
    async with running(SqliteLog(settings(folder, runtime_dir=tmp_path))) as log:
        await log.append(envelopes("opened"))
        await until(lambda: not note.exists())
    told = [entry.record.value for entry in LogReader(folder / "log.sqlite").tail(20, topic="system-events")]
    uncounted = [json.loads(value)["data"] for value in told if b"unknown number" in value]
    if then == "recovered":
        assert uncounted == []
    else:
        (data,) = uncounted
        assert (data["log_id"], data["count"], data["reason"]) == (log_id, None, "stalled")


def test_whether_the_disk_works_is_tried_with_a_file(disks: Forgetful) -> None:
    file = LogFile(settings(disks.disk("one")), None)  # type: ignore[arg-type]
    assert file.takes_files()
    disks.faults(fsync_errno=errno.EIO)
    assert not file.takes_files()
    disks.well()
    disks.faults(write_errno=errno.ENOSPC)
    assert file.takes_files()
