"""Files of other formats: an earlier one is brought up to date; nobody calls them damaged. L rules: sync/log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.inspect.reader import LogReader
from sync.values import NotReady
from tests.support.log import LIVE, TOPIC, claim, envelopes, running, settings, values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN = ("producer", "epoch", "base", "next", "origin", "first", "last")


def make_format_2(path: Path) -> None:
    """Take from a file what the second format did not have."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE streams DROP COLUMN checksum")
        file.execute("PRAGMA user_version=2")


def make_format_1(path: Path) -> None:
    """Take from a file what the first format did not have."""
    make_format_2(path)
    with closing(sqlite3.connect(path)) as file:
        for added in ("lease_ms", "lease_run", "lease_mono", "lease_synced", *(f"run_{name}" for name in RUN)):
            file.execute(f"ALTER TABLE streams DROP COLUMN {added}")
        file.execute("DROP TABLE sent")
        file.execute("ALTER TABLE ranges DROP COLUMN standing")
        file.execute("ALTER TABLE streams DROP COLUMN given")
        for column in ("log_id", "into_first", "into_last", "into_records"):
            file.execute(f"ALTER TABLE ledger DROP COLUMN {column}")
        file.execute("DROP TABLE spans")
        file.execute("DROP TABLE discards")
        file.execute("ALTER TABLE blocks DROP COLUMN receipts")
        for column in ("run", "mono_ms", "synced"):
            file.execute(f"ALTER TABLE dead_letters DROP COLUMN {column}")
        file.execute("PRAGMA user_version=1")


async def three_runs_end_without_warning(folder: Path) -> None:
    for number in range(3):
        async with running(SqliteLog(settings(folder))) as log:
            await log.append(envelopes(number))
        with closing(sqlite3.connect(folder / "log.sqlite", isolation_level=None)) as file:
            file.execute("DELETE FROM meta WHERE name='clean'")


@pytest.mark.parametrize("make_earlier", [make_format_1, make_format_2])
async def test_a_file_of_an_earlier_version_is_brought_up_to_date_with_all_that_it_holds(
    tmp_path: Path, make_earlier: Callable[[Path], None]
) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes("leased"))
        leased = await log.lease(claim(LIVE), 1 << 20)
        await log.append(envelopes("pending"))
    make_earlier(tmp_path / "log.sqlite")
    async with running(SqliteLog(settings(tmp_path))) as log:
        (again,) = await log.unsettled()
        assert leased is not None
        assert (again.claim.base_sequence, again.body) == (leased.claim.base_sequence, leased.body)
        log.settle(again, 0)
        following = await log.lease(claim(LIVE, 1), 1 << 20)
        assert following is not None
        assert values(following) == ["pending"]
        assert log.stats().quarantined == 0


async def test_what_an_earlier_version_had_not_told_of_its_numbers_is_told_by_the_first_start(tmp_path: Path) -> None:
    """L10. It noted losses without the log's id, and nothing of what a run that ended without warning left unused."""
    path = tmp_path / "log.sqlite"
    await three_runs_end_without_warning(tmp_path)
    unused = [(loss.first, loss.last) for loss in LogReader(path).losses(10)]
    assert len(unused) == 2
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DELETE FROM ledger")
        file.execute("INSERT INTO ledger VALUES(1,0,0,'live','sensor-data',1,1,1,'evicted',0,NULL,NULL,NULL,NULL)")
    make_format_1(path)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        log_id = log.stats().log_id
    losses = LogReader(path).losses(10)
    assert {loss.log_id for loss in losses} == {log_id}
    assert [(loss.first, loss.last) for loss in losses if loss.reason == "evicted"] == [(1, 1)]
    told = [(loss.first, loss.last) for loss in losses if loss.reason == "unclosed"]
    assert told[:2] == unused
    assert len(told) == 3, "and what the newest run of the earlier version left"


async def test_numbers_are_not_called_unused_where_their_records_may_have_been_trimmed(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    await three_runs_end_without_warning(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        (unused,) = file.execute("SELECT first FROM ledger ORDER BY id LIMIT 1 OFFSET 1").fetchone()
        file.execute("DELETE FROM ledger")
        file.execute("DELETE FROM blocks WHERE key & 0xFFFFFFFF BETWEEN 2 AND ?", (unused,))
    make_format_1(path)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
    told = [loss.first for loss in LogReader(path).losses(10)]
    assert len(told) == 2
    assert unused not in told


@pytest.mark.parametrize("question", ["depth", "unreported", "last_number"])
async def test_a_file_of_another_format_is_not_called_damaged(tmp_path: Path, question: str) -> None:
    """No daemon of this version has opened it yet: after an upgrade, and after a downgrade."""
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("a"))
    make_format_1(path)
    with pytest.raises(NotReady, match="an earlier version of tidegate wrote it, in format 1") as told:
        getattr(LogReader(path), question)()
    assert "brings it up to date" in told.value.hint
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version=99")
    with pytest.raises(NotReady, match="a later version of tidegate wrote it, in format 99") as told:
        getattr(LogReader(path), question)()
    assert "damaged" not in told.value.hint
