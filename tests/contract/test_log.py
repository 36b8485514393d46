"""The seam `Log`, over the log in memory and the one on disk. L and D rules: sync/log, docs/DELIVERY.md."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest
from aiokafka.partitioner import murmur2

from sync.log import LogSettings, MemoryLog, SqliteLog
from sync.values import Lane, Stream
from tests.support.log import LIVE, TOPIC, claim, drain, envelope, envelopes, names, opened, running, settings, values

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Log = MemoryLog | SqliteLog


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Log]:
    given = settings(tmp_path)
    if request.param == "memory":
        yield MemoryLog(given)
    else:
        async with running(SqliteLog(given)) as on_disk:
            await on_disk.changed(0)
            yield on_disk


@pytest.fixture
async def assigned(log: Log) -> Log:
    """A log whose topics all have one partition."""
    for topic in (TOPIC, "farm-alerts", "dead-letters", "camera-events"):
        await log.assign_partition(topic, 1)
    return log


async def test_what_is_appended_is_pending_once_its_awaitable_is_done(log: Log) -> None:
    await log.append(envelopes(*range(5)))
    (pending,) = log.streams()
    assert (pending.lane, pending.topic, pending.partition, pending.records) == (Lane.LIVE, TOPIC, None, 5)
    assert not pending.unsettled
    assert pending.oldest_at_ns > 0
    assert log.stats().depth[Lane.LIVE] == 5


async def test_records_leave_in_the_order_of_appends_under_names_that_grow(assigned: Log) -> None:
    for i in range(4):
        await assigned.append(envelopes(f"{i}a", f"{i}b"))
    batch = await assigned.lease(claim(LIVE), 1 << 20)
    assert batch is not None
    assert values(batch) == ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"]
    source = f"/gateways/gw-1/logs/{assigned.stats().log_id}".encode()
    headers = [headers for _, headers in opened(batch)]
    assert {found["ce_source"] for found in headers} == {source}
    numbers = [int(found["ce_id"].rpartition(b"-")[2]) for found in headers]
    assert numbers == list(range(batch.first, batch.last + 1))


async def test_each_alert_is_a_block_of_its_own_and_its_lane_comes_first(assigned: Log) -> None:
    await assigned.append([*envelopes(1, 2), *envelopes("a", "b", lane=Lane.ALERT, topic="farm-alerts")])
    assert [pending.lane for pending in assigned.streams()] == [Lane.ALERT, Lane.LIVE]
    stream = Stream(Lane.ALERT, "farm-alerts", 0)
    # Blocks are divided only down to what fits: one alert at a time goes where one byte is allowed.
    batch = await assigned.lease(claim(stream), 1)
    assert batch is not None
    assert values(batch) == ["a"]


async def test_an_offer_is_answered_by_the_commit_that_brings_records(assigned: Log) -> None:
    offer = assigned.offer(claim(LIVE), 1 << 20)
    await asyncio.sleep(0.05)
    assert not offer.done()
    await assigned.append(envelopes("x"))
    batch = await offer
    assert values(batch) == ["x"]
    assert not batch.attempted
    (pending, *_) = [found for found in assigned.streams() if found.topic == TOPIC]
    assert (pending.records, pending.unsettled) == (0, True)


async def test_an_offer_is_answered_at_once_where_something_is_pending(assigned: Log) -> None:
    await assigned.append(envelopes("x"))
    assert values(await assigned.offer(claim(LIVE), 1 << 20)) == ["x"]


async def test_a_withdrawn_offer_takes_nothing(assigned: Log) -> None:
    offer = assigned.offer(claim(LIVE, producer=1), 1 << 20)
    await asyncio.sleep(0)
    offer.cancel()
    await assigned.append(envelopes("x"))
    # Another claim may come: nothing left under the one withdrawn.
    assert values(await assigned.offer(claim(LIVE, producer=2), 1 << 20)) == ["x"]


async def test_a_lease_whose_taker_left_in_the_same_moment_comes_back(assigned: Log) -> None:
    await assigned.append(envelopes("x"))
    lease = assigned.lease(claim(LIVE, producer=1), 1 << 20)
    lease.cancel()
    assert values(await assigned.offer(claim(LIVE, producer=2), 1 << 20)) == ["x"]
    assert [batch.claim.producer.id for batch in await assigned.unsettled()] == [2]


async def test_a_lease_of_nothing_is_none(assigned: Log) -> None:
    assert await assigned.lease(claim(LIVE), 1 << 20) is None
    await assigned.append(envelopes("x", topic="camera-events"))
    assert await assigned.lease(claim(LIVE), 1 << 20) is None


async def test_while_a_batch_is_unsettled_its_stream_gives_only_that_batch(assigned: Log) -> None:
    """D2, L4."""
    await assigned.append(envelopes("x"))
    batch = await assigned.lease(claim(LIVE), 1 << 20)
    await assigned.append(envelopes("y"))
    again = await assigned.lease(claim(LIVE), 1 << 20)
    assert batch is not None
    assert again is not None
    assert (again.first, again.last, again.body) == (batch.first, batch.last, batch.body)
    with pytest.raises(ValueError, match="unsettled"):
        await assigned.lease(claim(LIVE, sequence=1), 1 << 20)
    assert [found.attempted for found in await assigned.unsettled()] == [True]


async def test_a_settled_batch_is_gone_and_the_next_lease_knows_its_offset(assigned: Log) -> None:
    """D1: the lease keeps the last offset acknowledged, or the log end where there is none."""
    await assigned.append(envelopes("x", "y"))
    batch = await assigned.lease(claim(LIVE, log_end=40), 1 << 20)
    assert batch is not None
    assert batch.acked_offset == 39
    assigned.settle(batch, 40)
    await assigned.append(envelopes("z"))
    after = await assigned.lease(claim(LIVE, sequence=2), 1 << 20)
    assert after is not None
    assert (values(after), after.acked_offset) == (["z"], 41)
    assert assigned.stats().delivered[Lane.LIVE] == 2
    assert assigned.stats().depth[Lane.LIVE] == 1


async def test_the_newest_acknowledgement_bounds_all_lanes_of_a_topic(assigned: Log) -> None:
    """D1: where the topic was made anew, an idle lane's offset is of one that is no more."""
    bulk = Stream(Lane.BULK, TOPIC, 0)
    for stream, offset in ((bulk, 900), (LIVE, 7)):
        await assigned.append(envelopes("x", lane=stream.lane))
        batch = await assigned.lease(claim(stream), 1 << 20)
        assert batch is not None
        assigned.settle(batch, offset)
    await assigned.append(envelopes("y"))
    after = await assigned.lease(claim(LIVE, sequence=1), 1 << 20)
    assert after is not None
    assert after.acked_offset == 7


async def test_settling_twice_counts_once(assigned: Log) -> None:
    await assigned.append(envelopes("x"))
    batch = await assigned.lease(claim(LIVE), 1 << 20)
    assert batch is not None
    assigned.settle(batch, 0)
    assigned.settle(batch, 0)
    await assigned.append(envelopes("y"))
    assert assigned.stats().delivered[Lane.LIVE] == 1


async def test_a_lease_for_another_partition_than_the_assigned_is_refused(assigned: Log) -> None:
    await assigned.append(envelopes("x"))
    with pytest.raises(ValueError, match="partition 0"):
        await assigned.lease(claim(Stream(Lane.LIVE, TOPIC, 3)), 1 << 20)


async def test_a_topics_partition_follows_the_gateway_and_never_changes(log: Log) -> None:
    """L7: murmur2 of the gateway's id, as Kafka's own clients choose."""
    expected = (murmur2(b"gw-1") & 0x7FFFFFFF) % 7
    assert await log.assign_partition(TOPIC, 7) == expected
    assert await log.assign_partition(TOPIC, 64) == expected
    with pytest.raises(ValueError, match="partitions"):
        await log.assign_partition("empty", 0)


async def test_a_refused_batch_is_halved_down_to_the_record_that_is_to_blame(assigned: Log) -> None:
    """D4: order is kept, halves are never joined, the one record goes to the dead letters."""
    await assigned.append(envelopes(*"abcdefg"))
    passed: list[str] = []
    sent: list[int] = []
    for attempt in range(40):
        batch = await assigned.lease(claim(LIVE, producer=attempt), 1 << 20)
        if batch is None:
            break
        sent.append(batch.count)
        if "e" in values(batch):
            await assigned.cut(batch, "MESSAGE_TOO_LARGE")
        else:
            passed += values(batch)
            assigned.settle(batch, attempt)
    assert passed == list("abcdfg")
    assert sent[0] == 7
    assert max(sent[1:]) <= 4
    assert assigned.stats().dead_letters == 1
    letters = await assigned.lease(claim(Stream(Lane.LIVE, "dead-letters", 0)), 1 << 20)
    assert letters is not None
    assert '"reason":"MESSAGE_TOO_LARGE"' in values(letters)[0]


async def test_a_half_that_is_too_large_for_the_link_is_divided_and_all_of_it_comes_out(assigned: Log) -> None:
    """D4, L5: a batch was refused, and the link takes little at a time now."""
    await assigned.append([envelope(secrets.token_hex(400)) for _ in range(7)])
    whole = await assigned.lease(claim(LIVE), 1 << 20)
    assert whole is not None
    await assigned.cut(whole, "too large")
    found: list[str] = []
    while (batch := await assigned.lease(claim(LIVE, len(found), 8), 1)) is not None:
        found += values(batch)
        assigned.settle(batch, len(found) - batch.count)
    assert found == values(whole)
    assert assigned.stats().lost == {}


async def test_a_refused_batch_of_many_blocks_is_cut_between_them(assigned: Log) -> None:
    for i in range(5):
        await assigned.append(envelopes(f"{i}a", f"{i}b"))
    batch = await assigned.lease(claim(LIVE), 1 << 20)
    assert batch is not None
    assert batch.count == 10
    name = names(batch)
    await assigned.cut(batch, "too large")
    left = await assigned.lease(claim(LIVE, producer=8), 1 << 20)
    assert left is not None
    assigned.settle(left, 0)
    right = await assigned.lease(claim(LIVE, producer=9), 1 << 20)
    assert right is not None
    assert (left.count, right.count) == (4, 6)
    assert names(left) + names(right) == name


async def test_a_dead_letter_that_is_refused_makes_no_other(assigned: Log) -> None:
    await assigned.append(envelopes("x", topic="dead-letters"))
    batch = await assigned.lease(claim(Stream(Lane.LIVE, "dead-letters", 0)), 1 << 20)
    assert batch is not None
    await assigned.cut(batch, "too large")
    assert assigned.stats().depth[Lane.LIVE] == 0
    assert assigned.stats().dead_letters == 1


async def test_cutting_what_is_not_leased_is_an_error(assigned: Log) -> None:
    await assigned.append(envelopes("x"))
    batch = await assigned.lease(claim(LIVE), 1 << 20)
    assert batch is not None
    assigned.settle(batch, 0)
    with pytest.raises(ValueError, match="no such batch"):
        await assigned.cut(batch, "too late")


async def test_what_an_outage_left_goes_to_backfill_and_live_goes_on_with_what_is_newer(assigned: Log) -> None:
    await assigned.append(envelopes(*range(10)))
    leased = await assigned.lease(claim(LIVE), 1 << 20)
    assert leased is not None
    await assigned.append(envelopes(*range(10, 20)))
    await assigned.append(envelopes(*range(20, 30)))
    await asyncio.sleep(0.02)
    assert await assigned.hand_to_backfill(0.0) == 20
    await assigned.append(envelopes("new"))
    depth = assigned.stats().depth
    # What is leased stays where it is (D8).
    assert (depth[Lane.LIVE], depth[Lane.BACKFILL]) == (11, 20)
    assigned.settle(leased, 0)
    assert await drain(assigned) == {
        (Lane.LIVE, TOPIC): ["new"],
        (Lane.BACKFILL, TOPIC): [str(i) for i in range(10, 30)],
    }
    assert await assigned.hand_to_backfill(0.0) == 0


async def test_nothing_young_goes_to_backfill(assigned: Log) -> None:
    await assigned.append(envelopes(*range(10)))
    assert await assigned.hand_to_backfill(60.0) == 0


async def test_offsets_are_kept_by_name(log: Log) -> None:
    assert await log.cursor("fleet") is None
    await log.set_cursor("fleet", 17)
    await log.set_cursor("other", 3)
    assert (await log.cursor("fleet"), await log.cursor("other")) == (17, 3)


async def test_changed_wakes_for_what_nobody_takes_and_sleeps_while_offers_stand(assigned: Log) -> None:
    seen = await assigned.changed(0)
    offer = assigned.offer(claim(LIVE), 1 << 20)
    sleeper = asyncio.ensure_future(assigned.changed(seen))
    await assigned.append(envelopes("offered"))
    assigned.settle(await offer, 0)
    await asyncio.sleep(0.05)
    assert not sleeper.done()
    await assigned.append(envelopes("x", topic="camera-events"))
    newer = await sleeper
    assert newer > seen
    # Nothing happened since, and a figure already out of date answers at once.
    assert await assigned.changed(seen) == newer


async def test_changed_wakes_for_halves_and_for_backfill(assigned: Log) -> None:
    await assigned.append(envelopes("x", "y"))
    batch = await assigned.lease(claim(LIVE), 1 << 20)
    assert batch is not None
    seen = await assigned.changed(0)
    await assigned.cut(batch, "too large")
    seen_after = await asyncio.wait_for(assigned.changed(seen), 10)
    await assigned.append(envelopes("z"))
    await asyncio.sleep(0.02)
    await assigned.hand_to_backfill(0.0)
    assert await asyncio.wait_for(assigned.changed(seen_after), 10) > seen_after


async def test_small_blocks_are_joined_up_to_the_bound_and_large_ones_divided(assigned: Log) -> None:
    for i in range(20):
        await assigned.append([envelope(f"{i}-{k}", size=400) for k in range(10)])
    small = await assigned.lease(claim(LIVE), 200)
    assert small is not None
    assert 1 <= small.count < 10
    assigned.settle(small, 0)
    large = await assigned.lease(claim(LIVE, sequence=small.count), 1 << 20)
    assert large is not None
    assert large.count == 200 - small.count
    assert values(small) + values(large) == [f"{i}-{k}" for i in range(20) for k in range(10)]


async def test_a_lanes_new_blocks_keep_to_its_bound(assigned: Log) -> None:
    assigned.limit_blocks(Lane.LIVE, 1)  # kept at 16 KiB
    await assigned.append([envelope(str(i), size=1_000) for i in range(100)])
    batch = await assigned.lease(claim(LIVE), 1)
    assert batch is not None
    assigned.settle(batch, 0)
    found = await drain(assigned)
    assert values(batch) + found[Lane.LIVE, TOPIC] == [str(i) for i in range(100)]


async def test_what_is_no_record_is_refused_and_its_neighbours_are_kept(assigned: Log) -> None:
    bad = envelope("bad")._replace(value=42)
    before = assigned.append(envelopes("before"))
    refused = assigned.append([envelope("with"), bad])
    after = assigned.append(envelopes("after"))
    await before
    await after
    with pytest.raises(TypeError):
        await refused
    assert (await drain(assigned))[Lane.LIVE, TOPIC] == ["before", "after"]


async def test_an_append_of_nothing_is_done_at_once(log: Log) -> None:
    await log.append([])
    assert log.streams() == ()


async def test_ten_thousand_records_of_three_streams_all_come_out_once(assigned: Log) -> None:
    sent: dict[tuple[Lane, str], list[str]] = {}
    for start in range(0, 9_000, 900):
        batch = []
        for i in range(start, start + 900):
            lane, topic = [
                (Lane.LIVE, TOPIC),
                (Lane.LIVE, "camera-events"),
                (Lane.BULK, "camera-events"),
            ][i % 3]
            batch.append(envelope(str(i), lane, topic))
            sent.setdefault((lane, topic), []).append(str(i))
        await assigned.append(batch)
    assert await drain(assigned) == sent
    assert assigned.stats().depth[Lane.LIVE] == 0


def test_settings_that_can_only_be_mistakes_are_refused(tmp_path: Path) -> None:
    from sync.values import Misconfigured  # noqa: PLC0415 - only here

    for mistake in ({"max_bytes": 1}, {"log_stall_s": 0}, {"commit_interval_s": -1}, {"commit_records": 0}):
        with pytest.raises(Misconfigured) as refused:
            LogSettings(path=tmp_path, gateway_id="gw", **mistake)  # type: ignore[arg-type]
        assert refused.value.field.startswith("log.")


async def test_receipts_are_kept_with_the_records_that_they_came_with(assigned: Log) -> None:
    assert await assigned.receipts("a") == []
    first = assigned.append(envelopes("x"), [("a", b"1"), ("b", b"other")])
    second = assigned.append(envelopes("y"), [("a", b"2")])
    await first
    await second
    await assigned.append(envelopes("z"))
    await assigned.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"), [("a", b"3")])
    assert b"".join(await assigned.receipts("a")) == b"123"
    assert await assigned.receipts("b") == [b"other"]
    batch = await assigned.lease(claim(LIVE), 1 << 20)
    assert batch is not None
    await assigned.cut(batch, "too large")
    assert b"".join(await assigned.receipts("a")) == b"123"
