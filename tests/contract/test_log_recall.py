"""A topic that lost what it had acknowledged: what local history holds of it goes again (D15), over both logs."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from sync.log import MemoryLog, SqliteLog
from sync.values import Batch, Lane, Recalled, Stream
from tests.support.log import LIVE, TOPIC, claim, drain, envelopes, names, opened, running, settings, values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Log = MemoryLog | SqliteLog
ALERTS = Stream(Lane.ALERT, TOPIC, 0)
BACKFILL = Stream(Lane.BACKFILL, TOPIC, 0)


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    given = settings(tmp_path, newest_only=frozenset({"gateway-runs"}))
    if request.param == "memory":
        log = MemoryLog(given)
        await log.assign_partition(TOPIC, 1)
        yield log
    else:
        async with running(SqliteLog(given)) as on_disk:
            await on_disk.changed(0)
            await on_disk.assign_partition(TOPIC, 1)
            yield on_disk


async def leased(log: Log, stream: Stream, *given: object, sequence: int = 0, producer: int = 7) -> Batch:
    if given:
        await log.append(envelopes(*given, lane=stream.lane, topic=stream.topic))
    batch = await log.lease(claim(stream, sequence, producer=producer), 1 << 20)
    assert batch is not None
    return batch


async def all_of(log: Log, stream: Stream) -> list[Batch]:
    batches: list[Batch] = []
    while True:
        batch = await log.lease(claim(stream, sum(one.count for one in batches), producer=50), 1 << 20)
        if batch is None:
            return batches
        batches.append(batch)
        log.settle(batch, 1_000 + batch.first)


async def test_d15_what_was_acknowledged_goes_again_marked_under_its_names_and_holds_up_nothing_fresh(
    log: Log,
) -> None:
    first = await leased(log, LIVE, "a", "b")
    log.settle(first, 100)
    alarm = await leased(log, ALERTS, "alarm")
    log.settle(alarm, 102)
    batch = await leased(log, LIVE, "c", sequence=2)
    assert batch.acked_offset == 102
    recalled = await log.recall(batch, 0, -1, settles=True)
    assert recalled == Recalled(TOPIC, {BACKFILL: 3}, 0)
    assert log.stats().depth == {Lane.ALERT: 0, Lane.LIVE: 0, Lane.BACKFILL: 3, Lane.BULK: 0}
    fresh = await leased(log, LIVE, "d", sequence=3)
    assert (values(fresh), fresh.acked_offset) == (["d"], 0)
    log.settle(fresh, 1)
    again = await all_of(log, BACKFILL)
    assert [value for one in again for value in values(one)] == ["a", "b", "alarm"]
    assert {headers.get("possibly_repeated") for one in again for _, headers in opened(one)} == {b"1"}
    assert [name for one in again for name in names(one)] == [*names(first), *names(alarm)]
    assert log.stats().lost == {}


async def test_a_topic_is_recalled_once_whichever_lane_notices_it(log: Log) -> None:
    log.settle(await leased(log, LIVE, "a"), 100)
    live, alarm = await leased(log, LIVE, "b", sequence=1), await leased(log, ALERTS, "c")
    assert (live.acked_offset, alarm.acked_offset) == (100, 100)
    assert (await log.recall(live, 0, -1, settles=True)) == Recalled(TOPIC, {BACKFILL: 1}, 0)
    assert await log.recall(alarm, 1, -1, settles=True) is None
    assert log.stats().depth[Lane.BACKFILL] == 1
    assert log.stats().delivered == {Lane.ALERT: 1, Lane.LIVE: 2, Lane.BACKFILL: 0, Lane.BULK: 0}


@pytest.mark.parametrize(("end", "lost"), [(101, True), (102, True), (103, False)])
async def test_a_batch_that_was_looked_up_needs_room_behind_what_was_acknowledged(
    log: Log, end: int, *, lost: bool
) -> None:
    log.settle(await leased(log, LIVE, "a"), 100)
    batch = await leased(log, LIVE, "b", "c", sequence=1)
    recalled = await log.recall(batch, -1, end, settles=True)
    assert (recalled is not None) is lost
    after = await leased(log, LIVE, "d", sequence=3)
    assert after.acked_offset == (1 if lost else 102), "no lower than behind what was acknowledged"


async def test_what_is_not_there_stays_leased_where_the_partition_ends_too_soon(log: Log) -> None:
    log.settle(await leased(log, LIVE, "a"), 100)
    batch = await leased(log, LIVE, "b", sequence=1)
    assert (await log.recall(batch, -1, 40, settles=False)) == Recalled(TOPIC, {BACKFILL: 1}, 0)
    (left,) = await log.unsettled()
    assert (left.first, left.acked_offset) == (batch.first, -1), "it is read back from the beginning"
    assert await log.again(batch, None) == 1
    assert values(await leased(log, LIVE, producer=8)) == ["b"]


async def test_another_id_of_a_topic_recalls_it_and_the_first_that_is_known_does_not(log: Log) -> None:
    log.settle(await leased(log, LIVE, "a"), 100)
    assert await log.stands_in(TOPIC, "id-1") is None
    assert await log.stands_in(TOPIC, "id-1") is None
    assert await log.stands_in("elsewhere", "id-2") is None
    assert (await log.stands_in(TOPIC, "id-2")) == Recalled(TOPIC, {BACKFILL: 1}, 0)
    assert await log.stands_in(TOPIC, "id-2") is None
    batch = await leased(log, LIVE, "b", sequence=1)
    assert batch.acked_offset == -1
    log.settle(batch, 0)
    # What an offset told, the id that is asked for then does not tell once more.
    other = await leased(log, LIVE, "c", sequence=2)
    assert (await log.recall(other, 0, -1, settles=True)) == Recalled(TOPIC, {BACKFILL: 1}, 0)
    assert await log.stands_in(TOPIC, "id-3") is None
    await log.goes_to("cluster-1")
    await log.goes_to("cluster-2")
    assert await log.stands_in(TOPIC, "id-4") is None, "another cluster has ids of its own"


async def test_nothing_old_goes_again_to_a_topic_of_which_the_newest_counts(log: Log) -> None:
    await log.assign_partition("gateway-runs", 1)
    runs = Stream(Lane.LIVE, "gateway-runs", 0)
    log.settle(await leased(log, runs, "run 1"), 100)
    batch = await leased(log, runs, "run 2", sequence=1)
    assert (await log.recall(batch, 0, -1, settles=True)) == Recalled("gateway-runs", {}, 0)
    assert sum(log.stats().depth.values()) == 0


async def test_a_topic_to_which_nothing_was_ever_sent_has_lost_nothing(log: Log) -> None:
    await log.append(envelopes("a"))
    batch = await log.lease(claim(LIVE, log_end=500), 1 << 20)
    assert batch is not None
    assert await log.recall(batch, 3, -1, settles=True) is None
    assert sum(log.stats().depth.values()) == 0


async def test_what_is_missing_within_history_is_no_loss_of_its_own(log: Log) -> None:
    """A block that was buried with the dead letters; the count is an upper bound until all has gone again."""
    for sequence, value in enumerate("abc"):
        batch = await leased(log, LIVE, value, sequence=sequence)
        if value == "b":
            await log.cut(batch, "MessageTooLarge")
        else:
            log.settle(batch, 100 + sequence)
    batch = await leased(log, LIVE, "d", sequence=9)
    recalled = await log.recall(batch, 0, -1, settles=True)
    assert recalled is not None
    assert recalled.again[BACKFILL] in {2, 3}
    assert [value for one in await all_of(log, BACKFILL) for value in values(one)] == ["a", "c"]
    await log.append([])
    assert (log.stats().depth[Lane.BACKFILL], log.stats().lost) == (0, {})


async def test_ranges_of_two_lanes_may_begin_with_one_number(log: Log) -> None:
    """What is left of one begins with the number of the other's first block: no two rows may share it."""
    for number in range(6):
        stream = (LIVE, ALERTS)[number % 2]
        log.settle(await leased(log, stream, number, sequence=number // 2), 100 + number)
    batch = await leased(log, LIVE, "x", sequence=3)
    assert (await log.recall(batch, 0, -1, settles=True)) == Recalled(TOPIC, {BACKFILL: 6}, 0)
    sequence, found = 0, []
    while (one := await log.lease(claim(BACKFILL, sequence, producer=50), 1)) is not None:
        sequence += one.count
        found += values(one)
        log.settle(one, 1 + sequence)
    assert sorted(found) == [str(number) for number in range(6)]
    assert (log.stats().depth[Lane.BACKFILL], log.stats().lost) == (0, {})


async def test_it_is_on_disk_with_the_settle_and_older_records_that_are_gone_are_counted(tmp_path: Path) -> None:
    given = settings(tmp_path)
    async with running(SqliteLog(given)) as log:
        await log.changed(0)
        await log.assign_partition(TOPIC, 1)
        for number in range(4):
            log.settle(await leased(log, LIVE, number, sequence=number), 100 + number)
        await log.append([])
    with sqlite3.connect(given.path) as file:  # as retention trims the oldest
        file.execute("DELETE FROM blocks WHERE key=(SELECT min(key) FROM blocks)")
    async with running(SqliteLog(given)) as log:
        await log.changed(0)
        batch = await leased(log, LIVE, "x", sequence=4)
        assert (await log.recall(batch, 0, -1, settles=True)) == Recalled(TOPIC, {BACKFILL: 3}, 1)
    async with running(SqliteLog(given)) as log:
        await log.changed(0)
        assert await log.unsettled() == []
        assert await drain(log) == {(Lane.BACKFILL, TOPIC): ["1", "2", "3"]}
