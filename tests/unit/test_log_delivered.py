"""Noise in what a stream says was delivered: nothing is taken for delivered that may not be (L6)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest

from sync.log import SqliteLog
from sync.log.disk import aside
from sync.log.inspect.reader import LogReader
from sync.log.salvage.wreck import Wreck
from sync.values import Lane, NotReady
from tests.support.log import LIVE, TOPIC, collected, drain, envelopes, filled, running, settings, until

if TYPE_CHECKING:
    from pathlib import Path

NOISE = [
    "head=head+16",
    "head=1",
    "acked=acked+1",
    "lease_first=lease_first+1",
    "lease_base=lease_base+4",
    "lease_producer=lease_producer+64",
    "lease_producer=NULL",
    "run_next=run_next+8",
    "run_last=NULL",
    "checksum=checksum+1",
    "checksum=NULL",
    "total=total+1",
    "open_records=open_records-1",
]


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "log.sqlite")) as file:
        assert file.execute(statement).rowcount >= 1
        file.commit()


@pytest.mark.parametrize("noise", NOISE)
async def test_after_noise_in_its_row_all_of_a_stream_goes_and_is_marked(tmp_path: Path, noise: str) -> None:
    before = await filled(tmp_path)
    change(tmp_path, f"UPDATE streams SET {noise} WHERE topic='{TOPIC}'")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert log.stats().log_id != before.log_id
        await until(lambda: not aside.waiting(tmp_path / "log.sqlite"))
        found, marks = await collected(log)
        assert sorted({*found} - {"after"}) == sorted(before.undelivered | before.settled)
        assert len(found) == len(set(found))
        marked = {value for value, mark in zip(found, marks, strict=True) if mark == b"1"}
        assert marked == set(found) - {"after"}


@pytest.mark.parametrize(
    "noise", ["records=records-1", "last=last-1", "origin=origin+1", "standing=1", "stream=stream+8"]
)
async def test_noise_in_a_closed_range_is_found_too(tmp_path: Path, noise: str) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        for number in range(20):
            await log.append(envelopes(number))
        assert await log.hand_to_backfill(0.0)
        await log.append(envelopes("fresh"))
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as file:
        assert file.execute("SELECT count(*) FROM ranges").fetchone()[0]
    change(tmp_path, f"UPDATE ranges SET {noise}")
    with pytest.raises(NotReady, match=r"corrupt delivery state|there is no stream"):
        LogReader(tmp_path / "log.sqlite").depth()
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not aside.waiting(tmp_path / "log.sqlite"))
        assert set((await collected(log))[0]) >= {*map(str, range(20)), "fresh", "after"}


async def test_what_a_stream_says_is_believed_where_it_is_as_it_was_written(tmp_path: Path) -> None:
    before = await filled(tmp_path)
    for _ in range(3):
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.cursor("nothing")
            assert log.stats().log_id == before.log_id
            (leased,) = await log.unsettled()
            assert leased.claim.stream == LIVE
    async with running(SqliteLog(settings(tmp_path))) as log:
        found, marks = await collected(log)
        assert sorted(found) == sorted(before.undelivered)
        assert set(marks) == {b"0"}


async def test_a_salvage_that_cannot_go_on_is_given_up_and_told_and_the_log_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L9."""
    await filled(tmp_path)
    change(tmp_path, f"UPDATE streams SET head=head+16 WHERE topic='{TOPIC}'")
    monkeypatch.setattr(Wreck, "read", Mock(side_effect=TypeError("what no check foresaw")))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not aside.waiting(tmp_path / "log.sqlite"))
        found = await drain(log)
        assert found[Lane.LIVE, TOPIC] == ["after"]
        assert log.stats().quarantined == 1
    (told,) = [json.loads(value)["data"] for value in found[Lane.ALERT, "system-events"] if "records_lost" in value]
    assert (told["count"], told["reason"]) == (None, "corrupt")


async def test_a_cursor_that_is_noise_was_never_kept(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.set_cursor("noise", 7)
        await log.set_cursor("fleet", 8)
    change(tmp_path, "UPDATE cursors SET value='x' WHERE name='noise'")
    async with running(SqliteLog(settings(tmp_path))) as log:
        assert [await log.cursor(name) for name in ("noise", "fleet")] == [None, 8]


@pytest.mark.parametrize("noise", ["UPDATE streams SET id=1 << 40 WHERE id=1", "UPDATE ranges SET origin=1 << 40"])
async def test_a_reader_of_noise_says_so_in_one_line(tmp_path: Path, noise: str) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes(*range(20)))
        assert await log.hand_to_backfill(0.0)
    change(tmp_path, noise)
    reader = LogReader(tmp_path / "log.sqlite")
    for ask in (reader.depth, lambda: reader.tail(5), reader.unreported, lambda: reader.undelivered(lambda _: None)):
        with suppress(NotReady):
            ask()
    with pytest.raises(NotReady, match="cannot be read"):
        reader.depth()


@pytest.mark.parametrize("noise", ["99", "'x'", "-1"])
async def test_noise_in_a_partition_does_not_turn_records_to_another_one(tmp_path: Path, noise: str) -> None:
    """L7."""
    async with running(SqliteLog(settings(tmp_path))) as log:
        partition = await log.assign_partition(TOPIC, 8)
        await log.append(envelopes(*range(5)))
    change(tmp_path, f"UPDATE topics SET partition={noise}")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not aside.waiting(tmp_path / "log.sqlite"))
        assert await log.assign_partition(TOPIC, 8) == partition
        found = await drain(log)
        assert found[Lane.BACKFILL, TOPIC] + found[Lane.LIVE, TOPIC] == [*map(str, range(5)), "after"]
