"""Files of other formats: brought to ours if that can be, else put aside; never called damaged. L rules: sync/log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.disk import aside, schema
from sync.log.inspect.reader import LogReader
from sync.values import NotReady
from tests.support.log import LIVE, TOPIC, claim, drain, envelopes, put_aside, running, settings, until, values

if TYPE_CHECKING:
    from pathlib import Path


def say_format(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"PRAGMA user_version={number}")


def know_how(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let this version be one that knows how to bring its format to the next; gives that one's number."""
    following = schema.FORMAT + 1
    monkeypatch.setattr(schema, "_UPGRADES", {schema.FORMAT: ("CREATE TABLE colours(name TEXT)",)})
    monkeypatch.setattr(schema, "FORMAT", following)
    return following


async def test_a_format_with_a_way_to_the_next_is_brought_there_with_all_that_the_file_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes("leased"))
        leased = await log.lease(claim(LIVE), 1 << 20)
        await log.append(envelopes("pending"))
    following = know_how(monkeypatch)
    with pytest.raises(NotReady, match="an earlier version") as told:
        LogReader(path).depth()
    assert "upgrades it at its next start" in told.value.hint
    async with running(SqliteLog(settings(tmp_path))) as log:
        (again,) = await log.unsettled()
        assert leased is not None
        assert (again.claim.base_sequence, again.body) == (leased.claim.base_sequence, leased.body)
        log.settle(again, 0)
        batch = await log.lease(claim(LIVE, 1), 1 << 20)
        assert batch is not None
        assert values(batch) == ["pending"]
        assert log.stats().quarantined == 0
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone()[0] == following
        assert file.execute("SELECT count(*) FROM colours").fetchone()[0] == 0


async def test_a_file_put_aside_is_brought_to_the_next_format_too_and_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("pending"))
    put_aside(path)
    know_how(monkeypatch)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.cursor("nothing")
        await until(lambda: not aside.waiting(path))
        assert "pending" in [value for found in (await drain(log)).values() for value in found]


async def test_a_format_without_a_way_to_ours_is_put_aside_untouched(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("a"))
        before = log.stats()
    say_format(path, schema.FORMAT - 1)
    content = path.read_bytes()
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("b"))
        assert log.stats().log_id != before.log_id
        assert f"in format {schema.FORMAT - 1}" in log.stats().quarantined_why
    (kept,) = aside.files(path)
    assert kept.name.startswith(f"log.sqlite.format-{schema.FORMAT - 1}-")
    assert kept.read_bytes() == content
    assert aside.waiting(path) == []


async def test_a_damaged_file_of_a_format_that_is_not_read_is_kept_for_a_version_that_reads_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("a"))
    say_format(path, 99)
    content = path.read_bytes()
    put_aside(path)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("b"))
        assert log.stats().lost == {}
    (kept,) = aside.files(path)
    assert kept.name.startswith("log.sqlite.format-99-")
    assert kept.read_bytes() == content


def test_a_move_that_was_cut_off_is_ended_for_a_format_that_is_not_read_too(tmp_path: Path) -> None:
    """Else its WAL would be taken for that of the log that is begun in its place."""
    path = tmp_path / "log.sqlite"
    moved = tmp_path / f"log.sqlite.{aside.of_format(99)}-20260101T000000000000Z"
    moved.touch()
    wal = tmp_path / "log.sqlite-wal"
    wal.touch()
    aside.finish_move(path)
    assert not wal.exists()
    assert moved.with_name(moved.name + "-wal").exists()


@pytest.mark.parametrize("question", ["depth", "unreported", "last_number"])
@pytest.mark.parametrize(("number", "age"), [(schema.FORMAT - 1, "an earlier"), (99, "a later")])
async def test_a_file_of_another_format_is_not_called_damaged(
    tmp_path: Path, question: str, number: int, age: str
) -> None:
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("a"))
    say_format(path, number)
    with pytest.raises(NotReady, match=f"{age} version of tidegate wrote it, in format {number}") as told:
        getattr(LogReader(path), question)()
    assert "damaged" not in told.value.hint
