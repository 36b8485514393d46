"""A log forked again while what an earlier fork renamed is pending, and one that thinned before (D10, D11)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.events import Encoder, Minutes
from drivers import Reading
from sync.log import MemoryLog, SqliteLog
from sync.log.inspect.reader import LogReader
from sync.values import Lane, Standing, Stream
from tests.support.days import MovedClock
from tests.support.log import LIVE, TOPIC, claim, envelopes, opened, put_aside, running, settings, until

if TYPE_CHECKING:
    from pathlib import Path

    from sync.log.book.losses import Loss
    from sync.values import Envelope


async def all_of(log: SqliteLog, stream: Stream) -> dict[str, dict[str, bytes]]:
    """The headers of all that a stream holds, by value."""
    found: dict[str, dict[str, bytes]] = {}
    sequence = 0
    while (batch := await log.lease(claim(stream, sequence, producer=9), 1 << 20)) is not None:
        found |= dict(opened(batch))
        sequence += batch.count
        log.settle(batch, sequence)
    return found


def log_id(headers: dict[str, bytes]) -> str:
    return headers["ce_id"].decode().rpartition("-")[0]


async def test_what_one_fork_renamed_keeps_that_name_through_the_next(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.compared()
        await log.append(envelopes("sent"))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("first"))
        await log.fork(Standing.MARKED)
        once = log.stats().log_id
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("second"))
        await log.fork(Standing.MARKED)
        twice = log.stats().log_id
        found = await all_of(log, LIVE)
    named = {value: (log_id(headers), headers.get("possibly_repeated")) for value, headers in found.items()}
    assert named["first"] == (once, b"1")
    assert named["second"] == (twice, None)
    assert once != twice
    assert named["sent"][0] not in {once, twice}


@pytest.mark.parametrize("standing", [Standing.WAITS, Standing.MARKED])
async def test_what_three_forks_found_pending_leaves_under_the_name_that_it_had_first(
    tmp_path: Path, standing: Standing
) -> None:
    """An audit of the file knows that name before it leaves."""
    ids = {}
    for value in ("sent", "first", "second", "third"):
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.assign_partition(TOPIC, 1)
            await log.append(envelopes(value))
            if value == "sent":
                await log.compared()
            else:
                await log.fork(standing)
            ids[value] = log.stats().log_id
    assert len(set(ids.values())) == 4
    foretold: dict[str, str] = {}
    LogReader(tmp_path / "log.sqlite").undelivered(
        lambda block: foretold.update({(record.value or b"").decode(): block.log_id for record in block.records})
    )
    assert foretold == ids
    async with running(SqliteLog(settings(tmp_path))) as log:
        if standing is Standing.WAITS:
            assert list(await all_of(log, LIVE)) == ["third"]
            assert await log.adopt() == 3
        found = await all_of(log, LIVE)
    if standing is Standing.MARKED:
        assert "possibly_repeated" not in found.pop("third")
    assert {value: log_id(headers) for value, headers in found.items()} == {
        value: ids[value] for value in ("sent", "first", "second")
    }
    assert {headers.get("possibly_repeated") for headers in found.values()} == {b"1"}


async def test_what_is_discarded_after_two_forks_is_told_under_the_id_that_the_first_gave(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("first"))
        await log.fork(Standing.WAITS)
        once = log.stats().log_id
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("second"))
        await log.fork(Standing.WAITS)
        assert await log.discard() == 1
    (loss,) = LogReader(tmp_path / "log.sqlite").losses(2)
    assert (loss.log_id, loss.first, loss.records) == (once, 1, 1)


async def test_what_is_discarded_is_told_by_its_numbers_of_one_log_id_each(tmp_path: Path) -> None:
    """Whatever a stream held, or did not, when the log was forked: others gave and took numbers meanwhile."""
    topics = ("camera-events", "farm-figures")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.compared()
        await log.append([*envelopes("a", "b"), *envelopes("c", topic=topics[0]), *envelopes("d", topic=topics[1])])
        for topic in topics:
            await log.assign_partition(topic, 1)
            await all_of(log, Stream(Lane.LIVE, topic, 0))
        old = log.stats().log_id
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("e", topic=topics[0]))
        await log.fork(Standing.WAITS)
        new = log.stats().log_id
        await log.append(envelopes("f", topic=topics[1]))
        await log.fork(Standing.WAITS)
        assert await log.discard() == 4
    told = [(loss.topic, loss.log_id, loss.first, loss.last) for loss in LogReader(tmp_path / "log.sqlite").losses(9)]
    assert sorted(told) == [(topics[0], new, 5, 5), (topics[1], new, 6, 6), (TOPIC, old, 1, 4)]


async def test_two_ranges_of_a_stream_that_a_fork_divides_stay_apart(tmp_path: Path) -> None:
    """What `live` handed over, and what came in by `backfill` itself."""
    lanes = (Lane.LIVE, Lane.BACKFILL)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.compared()
        await log.append([record for lane in lanes for record in envelopes(f"{lane}-old", lane=lane)])
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append([record for lane in lanes for record in envelopes(f"{lane}-new", lane=lane)])
        await log.hand_to_backfill(-1.0)
        assert await log.fork(Standing.MARKED) == 2
        found = await all_of(log, Stream(Lane.BACKFILL, TOPIC, 0))
    assert {value: "possibly_repeated" in headers for value, headers in found.items()} == {
        "live-old": True,
        "backfill-old": True,
        "live-new": False,
        "backfill-new": False,
    }


async def test_a_fork_writes_the_same_few_rows_however_much_is_to_be_renamed() -> None:
    """So that nothing waits for it, and a kill finds it done or not begun."""
    rows: dict[int, list[int]] = {}
    for backlog in (2, 400):
        log = MemoryLog()
        connection = log._book.connection
        for _ in range(3):
            # An alert is a block of its own.
            await log.append(envelopes(*range(backlog), lane=Lane.ALERT))
            blocks, before = connection.execute("SELECT * FROM blocks").fetchall(), connection.total_changes
            await log.fork(Standing.MARKED)
            rows.setdefault(backlog, []).append(connection.total_changes - before)
            assert connection.execute("SELECT * FROM blocks").fetchall() == blocks
        assert len(blocks) == 3 * backlog
    assert rows[2] == rows[400]
    assert max(rows[400]) < 10


@pytest.mark.parametrize("readable", [True, False])
async def test_what_two_forks_renamed_has_its_names_after_a_salvage_too(tmp_path: Path, readable: bool) -> None:  # noqa: FBT001 - a case
    """Also where the file that was put aside no longer says what was delivered; then all of it is marked."""
    ids = {}
    for value in ("first", "second"):
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.append(envelopes(value))
            await log.fork(Standing.MARKED)
            ids[value] = log.stats().log_id
    aside = put_aside(tmp_path / "log.sqlite")
    if not readable:
        with contextlib.closing(sqlite3.connect(aside)) as connection, connection:
            connection.execute("UPDATE streams SET acked=acked+1")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await until(lambda: not log._writer._salvage)
        found = await all_of(log, Stream(Lane.BACKFILL, TOPIC, 0))
    assert {value: log_id(headers) for value, headers in found.items()} == ids
    marked = {value for value, headers in found.items() if "possibly_repeated" in headers}
    assert marked == ({"first"} if readable else set(ids))


def readings(clock: MovedClock, count: int) -> list[Envelope]:
    """Of one sensor, a second apart, all of one minute."""
    found = []
    for _ in range(count):
        clock.at += timedelta(seconds=1)
        found += Encoder("gw-1", "site-a").readings(
            [Reading("temp_001", "temperature", 8.5, "degC", "tank-1", "site-a", clock.at, False, 0, None)]
        )
    return found


async def test_what_a_copy_thinned_before_the_fork_stands_for_numbers_of_one_log(tmp_path: Path) -> None:
    given, clock = settings(tmp_path, fold=Minutes()), MovedClock()
    async with running(SqliteLog(given, clock)) as log:
        await log.assign_partition(TOPIC, 1)
        await log.compared()
        await log.append(readings(clock, 10))
        old = log.stats().log_id
    async with running(SqliteLog(given, clock)) as log:
        border = (await log.origin(TOPIC)).first_seq
        await log.append(readings(clock, 20))
        clock.at += timedelta(minutes=3)
        await log.hand_to_backfill(0)
        assert await log.thin_backfill(0) == 30
        waiting = LogReader(tmp_path / "log.sqlite").unreported()
        assert sorted((loss.first or 0) >= border for loss in waiting) == [False, True]
        await log.fork(Standing.MARKED)
        new = log.stats().log_id
        assert [loss.log_id for loss in sorted(LogReader(tmp_path / "log.sqlite").unreported(), key=first_of)] == [
            old,
            new,
        ]
        found = await all_of(log, Stream(Lane.BACKFILL, TOPIC, 0))
    told = sorted((json.loads(value) for value in found), key=lambda body: int(body["seq_first"]))
    assert [(body["log_id"], body["count"]) for body in told] == [(old, 10), (new, 20)]
    assert told[0]["seq_last"] < border <= told[1]["seq_first"]
    assert {log_id(headers) for headers in found.values()} == {new}


def first_of(loss: Loss) -> int:
    return loss.first or 0
