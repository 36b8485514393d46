"""A damaged log: never a refused start, what is whole is kept, what is not is counted. L rules: sync/log."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.disk import aside
from sync.log.disk.blocks import decode
from sync.log.inspect.reader import LogReader
from tests.support.log import (
    LIVE,
    TOPIC,
    claim,
    collected,
    envelopes,
    filled,
    put_aside,
    running,
    settings,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_file_overwritten_with_noise_is_put_aside_and_the_log_goes_on_under_a_new_id(tmp_path: Path) -> None:
    """L7, L8."""
    old = await filled(tmp_path)
    path = tmp_path / "log.sqlite"
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        stats = log.stats()
        assert stats.quarantined == 1
        assert stats.log_id != old.log_id
        assert stats.run == 2
        assert await log.assign_partition(TOPIC, 64) == 0
        assert "after" in (await collected(log))[0]
    (put_aside,) = aside.files(path)
    assert put_aside.read_bytes()[:4] != b"SQLi"


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.95])
async def test_a_truncated_file_never_refuses_the_start_and_gives_what_can_be_read(
    tmp_path: Path, kept: float
) -> None:
    await filled(tmp_path)
    path = tmp_path / "log.sqlite"
    os.truncate(path, int(path.stat().st_size * kept))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not log._writer._salvage)
        found, _ = await collected(log)
        assert found.count("after") == 1
        assert len(set(found)) == len(found)


async def test_a_damaged_page_costs_its_blocks_and_no_others(tmp_path: Path) -> None:
    """What is missing is counted and told; what is whole keeps its name; a lease goes over as it was."""
    old = await filled(tmp_path, 60)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        bodies = [row[0] for row in file.execute("SELECT body FROM blocks ORDER BY key")]
    content = bytearray(path.read_bytes())
    page = content.index(bodies[len(bodies) // 2][:40]) // 1024
    content[page * 1024 : (page + 1) * 1024] = random.Random(2).randbytes(1024)
    path.write_bytes(content)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        seen: list[str] = []
        for _ in range(200):
            found, marks = await collected(log)
            seen += found
            if log.stats().quarantined and not log._writer._salvage and not found:
                break
            await asyncio.sleep(0.01)
        stats = log.stats()
        assert b"1" not in marks
        missing = len(old.undelivered - set(seen))
        assert set(seen) == (old.undelivered & set(seen)) | {"after"}
        assert 0 < missing <= 100
        assert len(seen) == len(set(seen))
        assert stats.lost.get("corrupt", 0) == missing
        if stats.quarantined:
            assert stats.log_id != old.log_id
    losses = LogReader(path).losses(10)
    assert sum(loss.records for loss in losses if loss.reason == "corrupt") == missing


def middle_block(file: sqlite3.Connection) -> tuple[int, bytes, set[str]]:
    """Key and body of the block in the middle of a file, and the values of its records."""
    keys = [row[0] for row in file.execute("SELECT key FROM blocks ORDER BY key")]
    key = keys[len(keys) // 2]
    body, records = file.execute("SELECT body, records FROM blocks WHERE key=?", (key,)).fetchone()
    return key, body, {(record.value or b"").decode().rstrip(".") for record in decode(body, records)}


async def test_a_flipped_bit_in_a_block_is_found_before_it_is_sent(tmp_path: Path) -> None:
    """L5, L6."""
    old = await filled(tmp_path, 20)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        key, body, lost = middle_block(file)
        flipped = bytearray(body)
        flipped[len(body) // 2] ^= 4
        file.execute("UPDATE blocks SET body=? WHERE key=?", (bytes(flipped), key))
        file.commit()
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        found, _ = await collected(log)
        assert lost <= old.undelivered
        assert set(found) == (old.undelivered - lost) | {"after"}
        assert log.stats().lost == {"corrupt": len(lost)}
        assert log.stats().quarantined == 0


async def test_an_unsettled_batch_with_a_damaged_block_goes_anew_and_says_so(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        for i in range(3):
            await log.append(envelopes(f"{i}a", f"{i}b"))
        batch = await log.lease(claim(LIVE), 1 << 20)
        assert batch is not None
        assert batch.count == 6
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        key = file.execute("SELECT key FROM blocks ORDER BY key LIMIT 1 OFFSET 1").fetchone()[0]
        file.execute("UPDATE blocks SET body=zeroblob(50) WHERE key=?", (key,))
        file.commit()
    async with running(SqliteLog(settings(tmp_path))) as log:
        assert await log.unsettled() == []
        found, marks = await collected(log)
        assert found == ["0a", "0b", "2a", "2b"]
        assert set(marks) == {b"1"}
        assert log.stats().lost == {"corrupt": 2}


async def test_without_the_streams_table_everything_readable_goes_marked(tmp_path: Path) -> None:
    await filled(tmp_path, 10)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE streams")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not log._writer._salvage)
        found, marks = await collected(log)
        assert set(found) == {f"{i}-{k}" for i in range(10) for k in range(5)} | {"alarm", "after"}
        assert marks.count(b"0") == 1
        assert log.stats().quarantined == 1


@pytest.mark.parametrize("noise", [-1 << 40, 1 << 40, "x", b"x"], ids=["below", "above", "text", "bytes"])
async def test_noise_in_a_row_of_a_file_put_aside_costs_its_block_and_no_others(
    tmp_path: Path, noise: int | str | bytes
) -> None:
    """L6, L9."""
    old = await filled(tmp_path, 20)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        key, _, lost = middle_block(file)
        file.execute("UPDATE blocks SET records=?, body=x'00' WHERE key=?", (noise, key))
        file.commit()
    put_aside(path)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not log._writer._salvage)
        assert lost <= old.undelivered
        assert set((await collected(log))[0]) == (old.undelivered - lost) | {"after"}
        assert log.stats().lost == {"corrupt": len(lost)}


async def test_a_salvage_goes_on_after_a_restart_and_doubles_nothing(tmp_path: Path) -> None:
    old = await filled(tmp_path, 400)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE runs")
    for _ in range(4):
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.append(envelopes("x"))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not log._writer._salvage)
        found, _ = await collected(log)
        assert sorted(value for value in found if value not in {"x", "after"}) == sorted(old.undelivered)


@pytest.mark.parametrize("what", ["removed", "replaced", "folder made anew"])
async def test_a_log_whose_file_is_taken_away_while_it_runs_loses_nothing(tmp_path: Path, what: str) -> None:
    """L1, L8: a commit into a file without a name would end with the process."""
    folder = tmp_path / "state"
    folder.mkdir()
    path = folder / "log.sqlite"
    async with running(SqliteLog(settings(folder))) as log:
        await log.append(envelopes("before"))
        old = log.stats().log_id
        if what == "folder made anew":
            folder.rename(tmp_path / "gone")
            folder.mkdir()
        else:
            path.unlink()
        if what == "replaced":
            path.write_bytes(b"not a log")
        await log.append(envelopes("after"))
        await until(lambda: not log._writer._salvage)
        assert log.stats().log_id != old
        assert log.stats().quarantined == 1
        found, _ = await collected(log)
        assert sorted(found) == ["after", "before"]
    async with running(SqliteLog(settings(folder))) as log:
        assert log.stats().quarantined == 0


async def test_a_log_whose_folder_is_gone_acknowledges_nothing_until_it_is_back(tmp_path: Path) -> None:
    """L1, L9."""
    folder = tmp_path / "state"
    folder.mkdir()
    async with running(SqliteLog(settings(folder))) as log:
        await log.append(envelopes("before"))
        folder.rename(tmp_path / "gone")
        waiting = asyncio.ensure_future(log.append(envelopes("after")))
        done, _ = await asyncio.wait([waiting], timeout=0.5)
        assert not done
        folder.mkdir()
        await asyncio.wait_for(waiting, 20)


async def test_a_clock_set_back_does_not_make_the_newest_file_put_aside_the_oldest(tmp_path: Path) -> None:
    """Only two are kept, and the one that is being salvaged must be among them."""
    await filled(tmp_path)
    path = tmp_path / "log.sqlite"
    for year in (2098, 2099):
        (tmp_path / f"log.sqlite.damaged-{year}0101T000000000000Z").write_bytes(b"")
    content = random.Random(1).randbytes(path.stat().st_size)
    path.write_bytes(content)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
    assert aside.files(path)[-1].read_bytes() == content


@pytest.mark.parametrize(
    ("value", "error"), [(None, sqlite3.IntegrityError), ({}, sqlite3.Error), (1 << 70, OverflowError)]
)
async def test_a_request_with_a_mistake_in_it_costs_its_caller_and_not_the_file(
    tmp_path: Path, value: object, error: type[Exception]
) -> None:
    """L9."""
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("before"))
        for _ in range(2):
            wrong = log.set_cursor("mine", value)  # type: ignore[arg-type]
            right = log.set_cursor("other", 1)
            with pytest.raises(error):
                await asyncio.wait_for(wrong, 10)
            await asyncio.wait_for(right, 10)
            await log.append(envelopes("after"))
        assert log.stats().quarantined == 0
        assert aside.files(tmp_path / "log.sqlite") == []
        assert sorted((await collected(log))[0]) == ["after", "after", "before"]
