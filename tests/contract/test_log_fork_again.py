"""A log forked again while what an earlier fork renamed is pending, and one that thinned before (D10, D11)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from agent.events import Encoder, Minutes
from drivers import Reading
from sync.log import SqliteLog
from sync.log.reader import LogReader
from sync.values import Lane, Standing, Stream
from tests.support.days import MovedClock
from tests.support.log import LIVE, TOPIC, claim, envelopes, opened, running, settings

if TYPE_CHECKING:
    from pathlib import Path

    from sync.log.notices import Loss
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
        waiting = LogReader(tmp_path / "log.sqlite").untold()
        assert sorted((loss.first or 0) >= border for loss in waiting) == [False, True]
        await log.fork(Standing.MARKED)
        new = log.stats().log_id
        assert [loss.log_id for loss in sorted(LogReader(tmp_path / "log.sqlite").untold(), key=first_of)] == [
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
