"""A log whose file is gone or empty: that is a loss, and it is told (L5, L8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.disk import aside
from sync.values import Lane
from tests.support.log import TOPIC, drain, envelopes, put_aside, running, settings, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def removed(path: Path) -> None:
    path.unlink()


def removed_with_all_but_its_names(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


async def said(log: SqliteLog, path: Path) -> list[dict[str, object]]:
    await until(lambda: not aside.waiting(path))
    found = await drain(log)
    assert found[Lane.LIVE, TOPIC] == ["after"]
    events = [json.loads(value) for value in found.get((Lane.ALERT, "system-events"), [])]
    return [event["data"] for event in events if event["event"] == "records_lost"]


@pytest.mark.parametrize("how", [emptied, removed, removed_with_all_but_its_names])
async def test_what_it_held_is_told_as_a_loss_under_its_own_name_once(
    tmp_path: Path, how: Callable[[Path], None]
) -> None:
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes(*range(20)))
        log_id = log.stats().log_id
    how(path)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert log.stats().log_id != log_id
        (told,) = await said(log, path)
        assert (told["log_id"], told["count"], told["reason"]) == (log_id, None, "corrupt")
        assert await log.assign_partition(TOPIC, 99) == 0, "L7"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert await said(log, path) == []


async def test_a_first_start_and_one_after_a_file_was_moved_away_tell_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert await said(log, path) == []
    # As a process leaves it that is killed after it moved the file, and before there is a new one.
    put_aside(path)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert await said(log, path) == []
