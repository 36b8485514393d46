"""What is thinned is as old as it was, and its clock is believed no more than it was. C rules: sync/log/clock.py."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from agent.events import Encoder, Minutes, restamp
from drivers import Reading
from sync.log import LogSettings, MemoryLog, SqliteLog
from sync.log.clock import CORRECTED, UNSYNCHRONISED
from sync.log.disk.blocks import Record
from sync.values import Lane, Stream
from tests.support.log import SetClock, claim, opened, running

if TYPE_CHECKING:
    from pathlib import Path

    from sync.values import Envelope

BACKFILL = Stream(Lane.BACKFILL, "sensor-data", 0)
ENCODER = Encoder("gw-1", "site-a")
MINUTE_MS = 60_000


class Unset(SetClock):
    """Boots at the first of January 1970, and has its time once `arrive` is called."""

    def __init__(self, boot: str = "one") -> None:
        super().__init__(synced=False)
        self.boot = boot
        self.begin_ms = super().wall_ms()
        self.set_by_ms = -self.begin_ms + 86_400_000

    def arrive(self) -> None:
        self.set_by_ms, self.trusted = 0, True


def reading(clock: SetClock, value: float) -> Envelope:
    at = datetime.fromtimestamp(clock.wall_ms() / 1000, UTC)
    return ENCODER.readings([Reading("s", "t", value, "1", "tank", "site-a", at, False, 0)])[0]


def a_log(tmp_path: Path, clock: SetClock, kind: type[MemoryLog | SqliteLog] = MemoryLog) -> MemoryLog | SqliteLog:
    given = LogSettings(
        tmp_path / "log.sqlite", "gw-1", "site-a", commit_interval_s=0.0, fold=Minutes(), restamp=restamp
    )
    return kind(given, clock)


async def minutes(log: MemoryLog | SqliteLog, clock: SetClock, count: int) -> None:
    """Readings every ten seconds."""
    for number in range(count * 6):
        clock.ahead_ms += 10_000
        await log.append([reading(clock, number)])


async def thinned(log: MemoryLog | SqliteLog, clock: SetClock) -> int:
    clock.ahead_ms += 2 * MINUTE_MS
    await log.append([])
    await log.hand_to_backfill(-1)
    return await log.thin_backfill(0)


async def left(log: MemoryLog | SqliteLog) -> list[tuple[str, str, int]]:
    """Of all aggregates what they say of their clock, their time, and of how many readings they are."""
    await log.assign_partition("sensor-data", 1)
    found = []
    while (batch := await log.lease(claim(BACKFILL, log.stats().next_seq), 1 << 20)) is not None:
        for value, headers in opened(batch):
            body = json.loads(value)
            assert headers["ce_time"].decode() == body["at"], "header and body say the same"
            found.append((headers.get("clock", b"").decode(), body["at"], body.get("count", 1)))
        log.settle(batch, 0)
    return found


async def test_an_aggregate_of_what_an_unset_clock_stamped_says_so(tmp_path: Path) -> None:
    """C7."""
    log = a_log(tmp_path, clock := Unset())
    await minutes(log, clock, 5)
    assert await thinned(log, clock) >= 24
    found = await left(log)
    assert {said for said, _, _ in found} == {"unsynchronised"}
    assert {at[:10] for _, at, _ in found} == {"1970-01-02"}
    assert sum(count for _, _, count in found) == 30


@pytest.mark.parametrize("thinned_first", [True, False])
async def test_it_is_set_right_with_its_minute_once_time_arrives(tmp_path: Path, *, thinned_first: bool) -> None:
    """C7."""
    log = a_log(tmp_path, clock := Unset())
    began = clock.begin_ms
    await minutes(log, clock, 5)
    if thinned_first:
        assert await thinned(log, clock) >= 24
    clock.arrive()
    await log.append([])
    if not thinned_first:
        assert await thinned(log, clock) >= 24
    found = await left(log)
    assert {said for said, _, _ in found} == {"corrected"}
    assert sum(count for _, _, count in found) == 30
    times_ms = [datetime.fromisoformat(at).timestamp() * 1_000 for _, at, _ in found]
    assert began - MINUTE_MS <= min(times_ms)
    assert max(times_ms) <= began + 6 * MINUTE_MS
    if not thinned_first:
        assert all(at.endswith(":00.000Z") for _, at, count in found if count > 1), "made once the time was right"


async def test_what_was_taken_before_and_after_time_arrived_is_not_one_minute(tmp_path: Path) -> None:
    clock = SetClock(synced=False)
    # The wall clock was right all along: only the word of it comes late.
    clock.set_by_ms = -(clock.wall_ms() % MINUTE_MS)
    log = a_log(tmp_path, clock)
    for number in range(6):
        clock.ahead_ms += 8_000
        clock.trusted = number >= 3
        await log.append([reading(clock, number)])
    assert await thinned(log, clock) == 6
    assert [(said, count) for said, _, count in await left(log)] == [("corrected", 3), ("", 3)]


async def test_first_minutes_of_two_boots_that_both_began_in_1970_are_two(tmp_path: Path) -> None:
    for boot in ("one", "two"):
        clock = Unset(boot)
        log = a_log(tmp_path, clock, SqliteLog)
        assert isinstance(log, SqliteLog)
        async with running(log):
            for number in range(4):
                clock.ahead_ms += 5_000
                await log.append([reading(clock, number)])
            if boot == "two":
                assert await thinned(log, clock) == 8
                assert [(said, count) for said, _, count in await left(log)] == [("unsynchronised", 4)] * 2


@pytest.mark.parametrize("kind", [MemoryLog, SqliteLog])
async def test_an_aggregate_is_as_old_as_its_readings(tmp_path: Path, kind: type[MemoryLog | SqliteLog]) -> None:
    """C4."""
    log = a_log(tmp_path, clock := SetClock(), kind)
    async with running(log) if isinstance(log, SqliteLog) else nullcontext():
        await minutes(log, clock, 2)
        clock.ahead_ms += 7_200_000
        assert await thinned(log, clock) > 0
        assert log.stats().oldest_pending_s[Lane.BACKFILL] >= 7_200


def test_records_that_say_different_things_of_their_clock_are_folded_apart() -> None:
    folding = Minutes.begin(0)
    body = (
        b'{"value":1,"quality":"good","at":"1970-01-01T00:00:01.000Z","sensor_id":"s","sensor_type":"t","unit":"1",'
    )
    body += b'"tank_id":"t","site_id":"s","at_from":"gateway"}'
    said = ((), (UNSYNCHRONISED,), (CORRECTED,), (UNSYNCHRONISED,))
    assert folding.add([Record(b"k", body, (*more, ("ce_id", b"l-%d" % n))) for n, more in enumerate(said)])
    found = folding.envelopes(0)
    assert [dict(envelope.headers).get("clock") for envelope in found] == [None, b"unsynchronised", b"corrected"]
