"""A log that was restored or copied, over the log in memory and the one on disk (D10, D11)."""

from __future__ import annotations

import contextlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from sync.log import LogSettings, MemoryLog, SqliteLog
from sync.log.commit.file import LogFile
from sync.log.inspect.reader import LogReader
from sync.log.ledger.entries import REPORT_AFTER_MS
from sync.values import Lane, Standing, Stream
from tests.support.log import (
    LIVE,
    TOPIC,
    SetClock,
    claim,
    drain,
    envelopes,
    names,
    opened,
    put_aside,
    running,
    settings,
    until,
    values,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Log = MemoryLog | SqliteLog


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    """One leased batch, one pending, as a copy would find them; compared long ago."""
    given = settings(tmp_path)
    if request.param == "memory":
        on = MemoryLog(given)
        await _fill(on)
        yield on
    else:
        async with running(SqliteLog(given)) as on_disk:
            await _fill(on_disk)
            yield on_disk


async def _fill(log: Log) -> None:
    await log.assign_partition(TOPIC, 1)
    await log.compared()
    await log.append(envelopes("old-1", "old-2"))
    batch = await log.lease(claim(LIVE), 1 << 20)
    assert batch is not None
    await log.append(envelopes("old-3"))


async def test_what_was_there_waits_and_what_comes_flows_under_a_new_id(log: Log) -> None:
    before = (await log.origin("gateway-runs")).log_id
    assert await log.fork(Standing.WAITS) == 3
    after = await log.origin("gateway-runs")
    assert after.log_id != before
    assert log.stats().waiting == log.stats().depth[Lane.LIVE] == 3
    assert await log.unsettled() == []
    assert await log.lease(claim(LIVE, producer=8), 1 << 20) is None
    await log.append(envelopes("new"))
    batch = await log.lease(claim(LIVE, producer=8), 1 << 20)
    assert batch is not None
    assert values(batch) == ["new"]
    assert names(batch) == [f"/gateways/gw-1/logs/{after.log_id}#{after.log_id}-{batch.first}".encode()]
    assert batch.first >= after.log_first_seq


async def test_adopted_records_go_marked_and_ahead_of_what_is_newer(log: Log) -> None:
    await log.fork(Standing.WAITS)
    await log.append(envelopes("new"))
    assert await log.adopt() == 3
    assert await log.adopt() == 0
    assert log.stats().waiting == 0
    batch = await log.lease(claim(LIVE, producer=8), 1 << 20)
    assert batch is not None
    assert values(batch)[0] == "old-1"
    state = {pending.lane: pending.records for pending in log.streams()}
    assert state[Lane.LIVE] + batch.count == 4


async def test_discarded_records_are_in_the_ledger_under_the_id_that_they_had(log: Log) -> None:
    before = (await log.origin("gateway-runs")).log_id
    await log.fork(Standing.WAITS)
    assert await log.discard() == 3
    assert log.stats().lost == {"discarded": 3}
    assert log.stats().depth[Lane.LIVE] == 0
    assert await log.lease(claim(LIVE, producer=8), 1 << 20) is None
    if isinstance(log, MemoryLog):
        book = log._book
        (loss,) = book.losses.values()
        assert (loss.first, loss.last, loss.records) == (1, 3, 3)
        assert book.log_id_of(loss.first) == before != book.names.log_id


async def test_a_log_may_be_forked_again_and_what_waits_goes_on_waiting(log: Log) -> None:
    await log.fork(Standing.WAITS)
    await log.append(envelopes("new"))
    assert await log.fork(Standing.MARKED) == 4
    assert log.stats().waiting == 3
    batch = await log.lease(claim(LIVE, producer=8), 1 << 20)
    assert batch is not None
    assert values(batch) == ["new"]


@pytest.mark.parametrize("standing", [Standing.WAITS, Standing.MARKED])
async def test_what_came_in_since_the_copy_was_started_leaves_under_the_new_id_unmarked(
    tmp_path: Path, standing: Standing
) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await _fill(log)
    # Two starts without a link; whether it is a copy is not known yet.
    for value in ("since-1", "since-2"):
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.append(envelopes(value))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("since-3"))
        await log.hand_to_backfill(-1.0)
        old = (await log.origin("gateway-runs")).log_id
        assert await log.fork(standing) == 3
        new = await log.origin("gateway-runs")
        found: dict[str, tuple[bytes, bytes | None]] = {}
        for pending in log.streams():
            stream = LIVE if pending.lane is Lane.LIVE else type(LIVE)(pending.lane, TOPIC, 0)
            sequence = 0
            while (batch := await log.lease(claim(stream, sequence, producer=9), 1 << 20)) is not None:
                for value, headers in opened(batch):
                    found[value] = (headers["ce_id"], headers["ce_source"])
                sequence += batch.count
                log.settle(batch, sequence)
        since = {value: name for value, name in found.items() if value.startswith("since")}
        assert len(since) == 3
        for ce_id, ce_source in since.values():
            assert ce_id.startswith(f"{new.log_id}-".encode())
            assert ce_source == f"/gateways/gw-1/logs/{new.log_id}".encode()
        rest = {value: name for value, name in found.items() if value.startswith("old")}
        assert len(rest) == (0 if standing is Standing.WAITS else 3)
        assert all(ce_id.startswith(f"{old}-".encode()) for ce_id, _ in rest.values())


async def test_a_fork_outlives_a_restart(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await _fill(log)
        await log.fork(Standing.WAITS)
        forked = await log.origin("gateway-runs")
    async with running(SqliteLog(settings(tmp_path))) as log:
        again = await log.origin("gateway-runs")
        assert (again.log_id, again.log_first_seq) == (forked.log_id, forked.log_first_seq)
        assert log.stats().waiting == 3
        assert [stream.waiting for stream in LogReader(tmp_path / "log.sqlite").depth()] == [3]


async def test_a_file_older_than_what_stands_beside_it_is_noticed(tmp_path: Path) -> None:
    given: LogSettings = settings(tmp_path)
    async with running(SqliteLog(given)) as log:
        await _fill(log)
    shutil.copy(given.path, tmp_path / "backup")
    async with running(SqliteLog(given)) as log:
        assert not (await log.origin("gateway-runs")).behind
        await log.compared()
    shutil.copy(tmp_path / "backup", given.path)
    for _ in range(2):
        async with running(SqliteLog(given)) as log:
            assert (await log.origin("gateway-runs")).behind
    async with running(SqliteLog(given)) as log:
        await log.fork(Standing.WAITS)
        assert not (await log.origin("gateway-runs")).behind
    async with running(SqliteLog(given)) as log:
        assert not (await log.origin("gateway-runs")).behind


async def test_what_waits_is_evicted_where_space_is_short_and_told(tmp_path: Path) -> None:
    from tests.support.log import bulky, until  # noqa: PLC0415 - this test alone

    async with running(SqliteLog(settings(tmp_path, max_bytes=4 * 1024**2))) as log:
        await log.compared()
        await log.append(bulky(2_000))
        await log.fork(Standing.WAITS)
        assert log.stats().waiting == 2_000
        for _ in range(4):
            await log.append(bulky(2_000))
        await until(lambda: log.stats().lost.get("evicted", 0) > 0 and log.stats().waiting < 2_000)


@contextlib.asynccontextmanager
async def _told_of_unused_numbers(folder: Path) -> AsyncIterator[tuple[SqliteLog, int]]:
    """A log after a start that a power cut ended, with its first number; it has told of those."""
    file = LogFile(settings(folder), SetClock())
    border = file.open().first_number
    file.close(clean=False)
    async with running(SqliteLog(settings(folder), clock := SetClock())) as log:
        clock.ahead_ms += 2 * REPORT_AFTER_MS
        await log.append(envelopes("new"))
        await until(lambda: not LogReader(folder / "log.sqlite").unreported())
        yield log, border


async def test_what_a_copy_told_of_its_own_numbers_is_told_under_its_new_id(tmp_path: Path) -> None:
    """Two starts without upstream, the first ended by a power cut: its unused numbers are the copy's."""
    async with running(SqliteLog(settings(tmp_path))) as log:
        await _fill(log)
        old_id, last = log.stats().log_id, log.stats().next_seq - 1
    async with _told_of_unused_numbers(tmp_path) as (log, border):
        await log.fork(Standing.MARKED)
        found = (await drain(log))[Lane.ALERT, "system-events"]
        new_id = log.stats().log_id
    told = [json.loads(value)["data"] for value in found]
    assert border == last + 1
    assert [(data["log_id"], data["first"]) for data in told] == [(new_id, border)]
    assert new_id != old_id


async def test_what_a_copy_told_is_told_again_under_its_new_id_where_the_event_is_lost(tmp_path: Path) -> None:
    async with _told_of_unused_numbers(tmp_path) as (log, border):
        await log.fork(Standing.WAITS)
        new_id = log.stats().log_id
        await log.fork(Standing.WAITS)
        assert await log.discard() == 2
        await log.append(envelopes("newer"))
        found = (await drain(log))[Lane.ALERT, "system-events"]
    told = [data for value in found if (data := json.loads(value)["data"])["reason"] == "unclosed"]
    assert [(data["log_id"], data["first"]) for data in told] == [(new_id, border)]


async def test_what_came_in_before_the_fork_has_its_new_names_after_a_salvage_too(tmp_path: Path) -> None:
    given = settings(tmp_path)
    async with running(SqliteLog(given)) as log:
        await _fill(log)
    async with running(SqliteLog(given)) as log:
        await log.append(envelopes("young"))
        await log.fork(Standing.WAITS)
        copy_id = log.stats().log_id
    put_aside(tmp_path / "log.sqlite")
    async with running(SqliteLog(given)) as log:
        await until(lambda: not log._writer._salvage)
        batch = await log.lease(claim(Stream(Lane.BACKFILL, TOPIC, 0), producer=9), 1 << 20)
        assert batch is not None
    named = {
        value: (headers["ce_id"].partition(b"-")[0].decode(), headers.get("possibly_repeated"))
        for value, headers in opened(batch)
    }
    assert named["young"] == (copy_id, None)
    assert {named[f"old-{n}"][1] for n in (1, 2, 3)} == {b"1"}
    assert copy_id not in {named[f"old-{n}"][0] for n in (1, 2, 3)}
