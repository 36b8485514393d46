"""The log under a clock that is wrong, arrives, or is set: it says so, and nothing is lost by it (C4 to C7)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from agent.events import SCHEMAS, Encoder, SystemEvent, SystemEventKind, restamp
from agent.events.records import Severity
from drivers import Reading
from sync.log import LogSettings, SqliteLog
from sync.log.book.losses import Loss
from sync.log.disk.blocks import Record
from sync.log.ledger import entries
from sync.log.ledger.notices import loss_event
from sync.values import Lane, Stream
from tests.support.log import (
    LIVE,
    TOPIC,
    SetClock,
    claim,
    drain,
    envelopes,
    names,
    opened,
    running,
    settings,
    until,
    values,
)

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.values import Batch, Envelope

YEAR_MS = 365 * 86_400_000
ENCODER = Encoder("gw-1", "site-a")


class Unset(SetClock):
    """Boots in 1970, and has its time once `arrive` is called."""

    def __init__(self) -> None:
        super().__init__(synced=False)
        self.set_by_ms = -super().wall_ms() + 100_000

    def arrive(self) -> None:
        self.set_by_ms, self.trusted = 0, True


def reading(clock: SetClock, value: float, *, at_device: bool = False) -> Envelope:
    at = datetime(2026, 5, 1, tzinfo=UTC) if at_device else datetime.fromtimestamp(clock.wall_ms() / 1000, UTC)
    return ENCODER.readings([Reading("s", "t", value, "1", "tank", "site-a", at, at_device, 0)])[0]


def said(batch: Batch) -> list[str]:
    return [headers.get("clock", b"").decode() for _, headers in opened(batch)]


def times(batch: Batch) -> list[datetime]:
    found = []
    for value, headers in opened(batch):
        at = json.loads(value)["at"]
        assert headers["ce_time"].decode() == at, "header and body say the same"
        found.append(datetime.fromisoformat(at))
    return found


async def test_what_leaves_before_time_arrives_says_that_its_clock_was_not_synchronised(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, restamp=restamp), clock := Unset())
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        offer = log.offer(claim(LIVE), 1 << 20)
        await log.append([reading(clock, 1)])
        batch = await offer
        assert said(batch) == ["unsynchronised"]
        assert times(batch)[0].year == 1970
        assert log.stats().corrected == 0
        assert not log.stats().clock_trusted


async def test_c7_what_is_pending_when_time_arrives_leaves_with_the_right_time(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, restamp=restamp), clock := Unset())
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        taken = []
        for value in range(3):
            taken.append(clock.wall_ms() - clock.set_by_ms)
            await log.append([reading(clock, value), reading(clock, value, at_device=True)])
            clock.ahead_ms += 60_000
        first = await log.lease(claim(LIVE), 1)
        clock.arrive()
        taken.append(clock.wall_ms())
        await log.append([reading(clock, 3)])
        await log.append([reading(clock, 4)])
        assert first is not None
        log.settle(first, 0)
        rest = await log.lease(claim(LIVE, first.count), 1 << 20)
        assert rest is not None
        assert set(said(first)) == {"unsynchronised"}
        assert said(rest) == ["corrected"] * (rest.count - 1) + [""]
        assert log.stats().corrected == rest.count - 1
        bodies = [json.loads(value) for value, _ in opened(rest)]
        for body, at in zip(bodies, times(rest), strict=True):
            if body["at_from"] == "device":
                assert at == datetime(2026, 5, 1, tzinfo=UTC), "a device's own time stays"
            elif body["value"] < 4:
                assert abs(at.timestamp() * 1000 - taken[int(body["value"])]) < 1_000
        assert [name.rpartition(b"-")[2] for name in names(rest)] == [
            b"%d" % number for number in range(rest.first, rest.last + 1)
        ], "D10: names stay"
        (again,) = await log.unsettled()
        assert again.body == rest.body, "D2: what is on disk is what left"


async def test_of_a_long_backlog_that_is_corrected_each_lease_takes_a_part(tmp_path: Path) -> None:
    """The writer must not be held up for long, by whatever waits."""
    log = SqliteLog(settings(tmp_path, restamp=restamp), clock := Unset())
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        for part in range(6):
            await log.append([reading(clock, 400 * part + index) for index in range(400)])
        clock.arrive()
        counts: list[int] = []
        found: list[float] = []
        while (batch := await log.lease(claim(LIVE, sum(counts)), 1 << 22)) is not None:
            assert set(said(batch)) == {"corrected"}
            found += [json.loads(value)["value"] for value in values(batch)]
            counts.append(batch.count)
            log.settle(batch, 0)
        assert counts == [1_200, 1_200]
        assert found == list(range(2_400))


async def test_d8_what_is_leased_when_time_arrives_goes_again_as_it_was(tmp_path: Path) -> None:
    clock = Unset()
    async with running(SqliteLog(settings(tmp_path, restamp=restamp), clock)) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append([reading(clock, 1)])
        leased = await log.lease(claim(LIVE), 1 << 20)
        clock.arrive()
        await log.append([reading(clock, 2)])
        assert leased is not None
        (again,) = await log.unsettled()
        assert again.body == leased.body
    async with running(SqliteLog(settings(tmp_path, restamp=restamp), clock)) as log:
        (again,) = await log.unsettled()
        assert again.body == leased.body
        log.settle(again, 0)
        following = await log.lease(claim(LIVE, 1), 1 << 20)
        assert following is not None
        assert said(following) == ["corrected"], "an earlier process, the same boot"


async def test_what_another_boot_took_without_a_clock_only_says_so(tmp_path: Path) -> None:
    clock = Unset()
    async with running(SqliteLog(settings(tmp_path, restamp=restamp), clock)) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append([reading(clock, 1)])
    clock.boot = "another"
    clock.arrive()
    async with running(SqliteLog(settings(tmp_path, restamp=restamp), clock)) as log:
        batch = await log.lease(claim(LIVE), 1 << 20)
        assert batch is not None
        assert said(batch) == ["unsynchronised"]
        assert times(batch)[0].year == 1970
        assert log.stats().lost == {}


@pytest.mark.parametrize("by_ms", [YEAR_MS, -YEAR_MS])
async def test_a_clock_set_by_a_year_ages_nothing_and_holds_nothing_back(tmp_path: Path, by_ms: int) -> None:
    """C4: nothing is lost, fresh records stay `live`, ages go on as they were."""
    log = SqliteLog(settings(tmp_path, max_age_s=86_400.0, restamp=restamp), clock := SetClock())
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        await log.append([reading(clock, 0)])
        clock.ahead_ms = 7_200_000
        await log.append([reading(clock, 1)])
        clock.set_by_ms = by_ms
        clock.ahead_ms += 20_000
        await log.append([reading(clock, 2)])
        await log.append([reading(clock, 3)])
        assert not log.stats().clock_trusted
        assert log.stats().lost == {}
        assert 7_200 <= log.stats().oldest_pending_s[Lane.LIVE] < 7_300
        assert await log.hand_to_backfill(60.0) == 1
        live = await log.lease(claim(LIVE), 1 << 20)
        assert live is not None
        assert [json.loads(value)["value"] for value in values(live)] == [1, 2, 3]
        assert said(live) == ["", "unsynchronised", "unsynchronised"]
        log.settle(live, 0)
        clock.set_by_ms = 0
        clock.ahead_ms += 20_000
        await log.append([reading(clock, 4)])
        backfill = await log.lease(claim(Stream(Lane.BACKFILL, TOPIC, 0), 10), 1 << 20)
        assert backfill is not None
        assert [json.loads(value)["value"] for value in values(backfill)] == [0]
        assert log.stats().lost == {}


@pytest.mark.parametrize("by_ms", [YEAR_MS, -YEAR_MS])
async def test_c6_a_boot_that_begins_a_year_off_ages_nothing_until_its_clock_has_stood(
    tmp_path: Path, by_ms: int
) -> None:
    clock = SetClock()
    async with running(SqliteLog(settings(tmp_path, max_age_s=86_400.0), clock)) as log:
        await log.append(envelopes(*range(5)))
    clock.boot, clock.set_by_ms = "another", by_ms
    async with running(SqliteLog(settings(tmp_path, max_age_s=86_400.0), clock)) as log:
        for _ in range(3):
            clock.ahead_ms += 20_000
            await log.append(envelopes("x", topic="camera-events"))
        assert log.stats().lost == {}
        found = await drain(log)
        assert found[Lane.LIVE, TOPIC] == [str(number) for number in range(5)]


async def test_what_was_lost_before_time_arrived_is_told_with_the_right_time(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, restamp=restamp), clock := Unset())
    async with running(log):
        await log.append([reading(clock, 1)])

        def lose(book: Book) -> None:
            entries.note(book, Lane.LIVE, TOPIC, entries.Missing(1, 1, 1, "corrupt"), log_id=book.names.log_id)

        await log._ask(lose)
        clock.arrive()
        await log.append([reading(clock, 2)])
        clock.ahead_ms += 10_000
        await log.append([reading(clock, 3)])
        found = await drain(log)
        (event,) = [json.loads(value) for value in found[Lane.ALERT, "system-events"]]
        assert datetime.fromisoformat(event["at"]).year > 2024
        assert datetime.fromisoformat(event["data"]["until"]).year > 2024


def record(envelope: Envelope) -> Record:
    return Record(envelope.key, envelope.value, (*envelope.headers, ("ce_id", b"x-1")))


def test_a_corrected_record_keeps_to_its_schema_its_key_and_its_name() -> None:
    at = datetime(1970, 1, 1, 0, 2, tzinfo=UTC)
    event = SystemEvent(
        event=SystemEventKind.STARTED, severity=Severity.INFO, source="daemon", text="t", at=at, data={"until": 3}
    )
    loss = Loss(Lane.LIVE, "t", 1, 2, 2, "evicted", 120_000, 121_000, "log")
    right_ms = 1_800_000_000_000
    for topic, envelope in (
        ("sensor-data", ENCODER.readings([Reading("s", "t", 1.5, "1", "tank", "site", at, False, 0)])[0]),
        ("system-events", ENCODER.system_event(event)),
        ("system-events", loss_event(loss, LogSettings(Path(":memory:"), "gw-1"))),
    ):
        before = record(envelope)
        after = restamp(topic, before, 120_000, right_ms)
        SCHEMAS[topic].model_validate_json(after.value or b"")
        assert (after.key, dict(after.headers)["ce_id"]) == (before.key, b"x-1")
        assert dict(after.headers)["ce_time"] == b"2027-01-15T08:00:00.000Z"
        body = orjson.loads(after.value or b"")
        assert body["at"] == "2027-01-15T08:00:00.000Z"
        assert list(body) == list(orjson.loads(before.value or b""))
    assert body["data"]["until"] == "2027-01-15T08:00:01.000Z"


def test_a_record_without_a_time_of_its_own_goes_as_it_is() -> None:
    for odd in (
        Record(b"k", b"\xff\xd8 picture", (("content-type", b"image/jpeg"),)),
        Record(b"k", None, ()),
        Record(b"k", b"[1]", (("content-type", b"application/json"), ("ce_time", b"yesterday"))),
        Record(b"k", b"{broken", (("content-type", b"application/json"), ("ce_time", None))),
        Record(b"k", b'{"at": 5, "data": 7}', (("content-type", b"application/json"),)),
        Record(b"k", b'{"at": "9999-12-31T23:59:59Z"}', (("content-type", b"application/json"),)),
    ):
        assert restamp("t", odd, 120_000, 1_800_000_000_000) == odd


async def test_what_was_brought_over_from_a_damaged_file_still_says_that_its_clock_was_wrong(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, restamp=restamp, max_age_s=86_400.0), clock := Unset())
    async with running(log):
        await log.append([reading(clock, 1)])
        clock.arrive()
        (tmp_path / "log.sqlite").unlink()
        await log.append([reading(clock, 2)])
        await log.assign_partition(TOPIC, 1)
        await until(lambda: log.stats().depth[Lane.BACKFILL])
        clock.ahead_ms += 7_200_000
        await log.append([reading(clock, 3)])
        assert log.stats().lost == {}
        brought = await log.lease(claim(Stream(Lane.BACKFILL, TOPIC, 0)), 1 << 20)
        assert brought is not None
        assert said(brought) == ["unsynchronised"]
