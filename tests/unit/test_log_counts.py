"""Noise in the counts of a stream's newest row: nothing is told that noise made up (L5, L10)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.file import LogFile
from sync.log.reader import LogReader
from sync.values import Lane
from tests.support.log import TOPIC, SetClock, collected, envelopes, running, settings

if TYPE_CHECKING:
    from pathlib import Path

NOISE = ["-1", "0", "1 << 40", "'x'", "4001"]


async def fill(folder: Path) -> None:
    """Two blocks of five readings, closed in order."""
    async with running(SqliteLog(settings(folder))) as log:
        await log.append(envelopes(*range(5)))
        await log.append(envelopes(*range(5, 10)))


def noise(folder: Path, change: str, *, clean: bool = True) -> None:
    with closing(sqlite3.connect(folder / "log.sqlite")) as foreign:
        foreign.execute(f"UPDATE blocks SET {change} WHERE key=(SELECT max(key) FROM blocks)")
        if not clean:
            foreign.execute("DELETE FROM meta WHERE name='clean'")
        foreign.commit()


@pytest.mark.parametrize("records", NOISE)
async def test_a_count_that_is_noise_is_what_the_numbers_behind_it_leave_and_the_block_is_whole_again(
    tmp_path: Path, records: str
) -> None:
    await fill(tmp_path)
    noise(tmp_path, f"records={records}")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert (await collected(log))[0] == [*map(str, range(10)), "after"]
        assert log.stats().lost == {}


@pytest.mark.parametrize("records", NOISE)
async def test_where_more_of_the_block_is_noise_its_loss_is_told_by_the_number(tmp_path: Path, records: str) -> None:
    await fill(tmp_path)
    noise(tmp_path, f"records={records}, checksum=checksum+1")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
        assert sorted((await collected(log))[0]) == ["0", "1", "2", "3", "4", "alarm"]
        assert log.stats().lost == {"corrupt": 5}
        (loss,) = LogReader(tmp_path / "log.sqlite").untold()
        assert (loss.first, loss.last, loss.records, loss.reason) == (6, 10, 5, "corrupt")


@pytest.mark.parametrize("before", ["-1", "1 << 62", "'x'", "0"])
async def test_noise_in_what_lies_ahead_of_it_costs_nothing(tmp_path: Path, before: str) -> None:
    await fill(tmp_path)
    noise(tmp_path, f"before={before}")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.cursor("nothing")
        assert log.stats().depth[Lane.LIVE] == 10
        assert (await collected(log))[0] == [str(number) for number in range(10)]
        assert log.stats().lost == {}


async def test_where_nothing_says_how_many_they_were_an_uncounted_loss_is_told(tmp_path: Path) -> None:
    file = LogFile(settings(tmp_path), SetClock())
    book = file.open()
    book.begin()
    book.assign_partition(TOPIC, 1)
    book.store(Lane.LIVE, TOPIC, envelopes(*range(5)))
    book.commit()
    file.close(clean=False)
    noise(tmp_path, "records=-1", clean=False)
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as foreign:
        foreign.execute("UPDATE streams SET given=NULL, checksum=NULL")
        foreign.commit()
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.cursor("nothing")
        assert log.stats().depth[Lane.ALERT] == 1
