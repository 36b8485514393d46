"""Noise in the counts of rows: nothing is told that noise made up (L5, L10)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.commit.file import LogFile
from sync.log.disk import aside
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.inspect.reader import LogReader
from sync.log.leasing import leases
from sync.log.retention import trimming
from sync.log.salvage.wreck import Wreck
from sync.values import Lane
from tests.support.log import (
    LIVE,
    TOPIC,
    SetClock,
    claim,
    collected,
    drain,
    envelopes,
    put_aside,
    running,
    settings,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

NOISE = ["-1", "0", "1 << 40", "'x'", "4001"]


async def fill(folder: Path, blocks: int = 2) -> None:
    """Blocks of five readings, closed in order."""
    async with running(SqliteLog(settings(folder))) as log:
        for number in range(0, blocks * 5, 5):
            await log.append(envelopes(*range(number, number + 5)))


def noise(folder: Path, change: str, *, block: int = -1, clean: bool = True) -> None:
    """Change the row of one block, the newest if no other is named."""
    with closing(sqlite3.connect(folder / "log.sqlite")) as foreign:
        keys = [key for (key,) in foreign.execute("SELECT key FROM blocks ORDER BY key")]
        foreign.execute(f"UPDATE blocks SET {change} WHERE key=?", (keys[block],))
        if not clean:
            foreign.execute("DELETE FROM meta WHERE name='clean'")
        foreign.commit()


@pytest.mark.parametrize("records", NOISE)
@pytest.mark.parametrize("clean", [True, False])
async def test_a_count_that_is_noise_is_what_the_body_holds(tmp_path: Path, records: str, *, clean: bool) -> None:
    await fill(tmp_path)
    noise(tmp_path, f"records={records}", clean=clean)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert (await collected(log))[0] == [*map(str, range(10)), "after"]
        assert log.stats().lost == {}


@pytest.mark.parametrize("records", NOISE)
@pytest.mark.parametrize("clean", [True, False])
async def test_where_more_of_the_block_is_noise_its_loss_is_told_by_the_number(
    tmp_path: Path, records: str, *, clean: bool
) -> None:
    await fill(tmp_path)
    noise(tmp_path, f"records={records}, checksum=checksum+1", clean=clean)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
        assert sorted((await collected(log))[0]) == ["0", "1", "2", "3", "4", "alarm"]
        assert log.stats().lost == {"corrupt": 5}
        told = LogReader(tmp_path / "log.sqlite").unreported()
        (loss,) = [loss for loss in told if loss.reason == "corrupt"]
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


@pytest.mark.parametrize("before", ["-7", "7", "1 << 40", "'x'"])
async def test_noise_in_what_lies_ahead_of_the_head_costs_nothing(tmp_path: Path, before: str) -> None:
    await fill(tmp_path)
    noise(tmp_path, f"before={before}", block=0)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.cursor("nothing")
        assert log.stats().depth[Lane.LIVE] == 10
        assert (await collected(log))[0] == [str(number) for number in range(10)]
        assert log.stats().lost == {}


@pytest.mark.parametrize("at", [0, 3, 7])
@pytest.mark.parametrize("body", ["whole", "corrupt"])
@pytest.mark.parametrize("records", [*NOISE, "1000"])
async def test_noise_in_a_count_on_the_way_of_a_search_by_age_costs_its_block_at_most(
    tmp_path: Path, records: str, body: str, at: int
) -> None:
    await fill(tmp_path, 8)
    noise(tmp_path, f"records={records}" if body == "whole" else f"records={records}, body=x'00'", block=at)
    async with running(SqliteLog(settings(tmp_path))) as log:
        assert await log.hand_to_backfill(0.0) == 40
        await log.append(envelopes("new"))
        await log.append(envelopes("newer"))
        found = [*(await drain(log)).items()]
        lost = {str(number) for number in range(at * 5, at * 5 + 5)} if body == "corrupt" else set()
        values = {value for (_, topic), values in found if topic == TOPIC for value in values}
        assert values == ({str(number) for number in range(40)} | {"new", "newer"}) - lost
        assert log.stats().lost == ({"corrupt": 5} if lost else {})


@pytest.mark.parametrize("records", NOISE)
async def test_what_is_evicted_is_counted_by_what_is_left(tmp_path: Path, records: str) -> None:
    await fill(tmp_path, 8)
    noise(tmp_path, f"records={records}", block=0)
    file = LogFile(settings(tmp_path), SetClock())
    book = file.open()
    book.begin()
    while trimming.trim(book, 1, going_on=True, aging=False):
        pass
    assert book.lost == {"corrupt": 5, "evicted": 35}
    assert [state.pending for state in book.streams.values()] == [0]
    file.close(clean=False)


@pytest.mark.parametrize("records", NOISE)
async def test_a_count_in_a_file_that_was_put_aside_is_set_right_and_the_file_stays_as_it_is(
    tmp_path: Path, records: str
) -> None:
    await fill(tmp_path)
    noise(tmp_path, f"records={records}")
    path = tmp_path / "log.sqlite"
    old = put_aside(path)
    content = old.read_bytes()
    wreck = Wreck.open(old, patient=False)
    assert [part.records for part in wreck.parts] == [10]
    wreck.close()
    assert old.read_bytes() == content
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not aside.waiting(path))
        assert sorted((await collected(log))[0]) == sorted([*map(str, range(10)), "after"])
        assert log.stats().lost == {}


@pytest.mark.parametrize("way", ["leased", "evicted"])
async def test_blocks_side_by_side_that_say_nothing_are_one_loss_that_names_all_their_numbers(
    tmp_path: Path, way: str
) -> None:
    """L5, L10. Between their numbers there are those of another stream."""
    file = LogFile(settings(tmp_path), SetClock())
    book = file.open()
    book.begin()
    book.assign_partition(TOPIC, 1)
    for number in range(0, 40, 5):
        book.store(Lane.LIVE, TOPIC, envelopes(*range(number, number + 5)))
        book.store(Lane.BULK, "pictures", envelopes(number, lane=Lane.BULK, topic="pictures"))
    origin = book.stream(Lane.LIVE, TOPIC).id
    book.commit()
    keys = book.connection.execute("SELECT key FROM blocks WHERE key >> 48=? ORDER BY key", (origin,)).fetchall()
    firsts = [key & MAX_NUMBER for (key,) in keys]
    for first in firsts[2:5]:
        book.connection.execute("UPDATE blocks SET records='x', body=x'00' WHERE key=?", (key_of(origin, first),))
    book.begin()
    if way == "leased":
        sequence = 0
        while (batch := leases.lease(book, claim(LIVE, sequence), 1)) is not None:
            leases.settle(book, batch, -1)
            sequence += batch.count
    else:
        while trimming.trim(book, 1, going_on=True, aging=False):
            pass
    assert book.lost["corrupt"] == 15
    book.commit()
    lost = [loss for loss in book.losses.values() if loss.reason == "corrupt"]
    assert [(loss.first, loss.last, loss.records) for loss in lost] == [(firsts[2], firsts[5] - 1, 15)]
    file.close(clean=False)
