"""Noise in the loss ledger: it is told as a loss that nobody can count, and ends nothing (L5, L9)."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.disk import aside
from sync.log.inspect.reader import LogReader
from sync.values import Lane
from tests.support.log import collected, drain, envelopes, put_aside, running, settings, until

if TYPE_CHECKING:
    from pathlib import Path

NOISE = [
    "at_ms=1<<60",
    "until_ms='x'",
    "until_ms=-1",
    "lane='liv'",
    "topic=x'ff'",
    "first=x'ff'",
    "first=last+1",
    "records=x'00'",
    "records=-1",
    "reason=x'ff'",
    "log_id=x'ff'",
    "into_records='x'",
]


async def with_noise(folder: Path, noise: str) -> None:
    """A log with two entries that are not told yet, the first of them noise."""
    async with running(SqliteLog(settings(folder))) as log:
        await log.append(envelopes("before"))
    with closing(sqlite3.connect(folder / "log.sqlite")) as file:
        for first in (10, 20):
            file.execute(
                "INSERT INTO ledger(at_ms, until_ms, lane, topic, first, last, records, reason, reported, log_id)"
                f" VALUES(1, 1, 'live', 'sensor-data', {first}, {first}, 1, 'evicted', 0, 'ab')"
            )
        file.execute(f"UPDATE ledger SET {noise} WHERE id=(SELECT min(id) FROM ledger)")
        file.commit()


async def told(log: SqliteLog) -> list[tuple[object, object]]:
    """First number and count of the losses that the log tells."""
    events = [json.loads(value) for value in (await drain(log))[Lane.ALERT, "system-events"]]
    return [(event["data"]["first"], event["data"]["count"]) for event in events if event["event"] == "records_lost"]


@pytest.mark.parametrize("noise", NOISE)
async def test_an_entry_that_is_noise_is_told_uncounted_and_once(tmp_path: Path, noise: str) -> None:
    await with_noise(tmp_path, noise)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        assert sorted(await told(log), key=str) == [(20, 1), (None, None)]
        assert log.stats().quarantined == 0
    assert LogReader(tmp_path / "log.sqlite").unreported() == []
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("again"))
        assert (Lane.ALERT, "system-events") not in await drain(log)


async def test_one_in_a_file_put_aside_is_told_by_the_file_that_takes_its_place(tmp_path: Path) -> None:
    await with_noise(tmp_path, "at_ms=1<<60")
    path = tmp_path / "log.sqlite"
    put_aside(path)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not aside.waiting(path))
        await log.append(envelopes("later"))
        assert sorted(await told(log), key=str) == [(20, 1), (None, None)]
        assert log.stats().quarantined == 0


@pytest.mark.parametrize("note", ["noise", "[]", '{"part": "x"}', '{"part": -1}'])
async def test_where_noise_says_how_far_a_file_is_emptied_all_of_it_goes_marked(tmp_path: Path, note: str) -> None:
    path = tmp_path / "log.sqlite"
    old = aside.place(path, aside.DAMAGED)
    for value in ("before", "present"):
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.append(envelopes(value))
        if value == "before":
            path.rename(tmp_path / "hidden")
    (tmp_path / "hidden").rename(old)
    with closing(sqlite3.connect(path)) as file:
        file.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (f"salvage:{old.name}", note))
        file.commit()
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not aside.waiting(path))
        found, marks = await collected(log)
        assert dict(zip(found, marks, strict=True)) == {"before": b"1", "present": b"0", "after": b"0"}
