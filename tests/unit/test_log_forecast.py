"""When the log is full: what it says beforehand is held against when it is."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.app.health import ahead
from agent.events import NUMBERS, Minutes
from sync.log import LogSettings, MemoryLog, SqliteLog
from sync.log.retention.forecast import Basis, forecast
from sync.log.retention.packing import Packing
from sync.values import Envelope, Lane
from tests.support.days import MovedClock, live_through
from tests.support.log import LIVE, SetClock, bulky, claim, running, settings
from tests.support.site import PART, Site

MIB = 1024**2


def a_log(max_bytes: int = 8 * MIB) -> tuple[MemoryLog, SetClock]:
    return MemoryLog(LogSettings(Path("unused"), "gw-1", max_bytes=max_bytes), clock := SetClock()), clock


async def test_before_a_minute_was_measured_there_is_a_reason_and_no_number() -> None:
    log, clock = a_log()
    await log.append(bulky(50))
    clock.ahead_ms += 30_000
    found = log.stats().forecast
    assert (found.bytes_per_s, found.full_s) == ({}, {})
    assert found.why_not == "measured for 30 of 60 s so far"
    assert ahead(found, Lane.LIVE)["full_s"] is None
    clock.ahead_ms += 31_000
    assert log.stats().forecast.why_not == ""


@pytest.mark.parametrize("delivered", [False, True], ids=["empty", "full of history"])
async def test_it_is_full_when_it_was_said_to_be(*, delivered: bool) -> None:
    log, clock = a_log()
    sequence = 0
    await log.assign_partition("sensor-data", 1)
    if delivered:
        while log.stats().bytes_used < 7.9 * MIB:
            await log.append(bulky(100))
            batch = await log.lease(claim(LIVE, sequence), 1 << 22)
            assert batch is not None
            sequence += batch.count
            log.settle(batch, 0)
        clock.ahead_ms += 400_000
        await log.append([])
    said: float | None = None
    while not log.stats().lost:
        clock.ahead_ms += 20_000
        await log.append(bulky(20))
        if said is None and log.stats().depth[Lane.LIVE] >= 1_500:
            found = log.stats().forecast
            said, said_at = found.full_s[Lane.LIVE], clock.ahead_ms
            assert found.room_bytes == pytest.approx(8 * MIB - found.pending_bytes[Lane.LIVE], rel=0.01)
    assert said is not None
    assert log.stats().lost == {"evicted": log.stats().lost["evicted"]}
    assert said == pytest.approx((clock.ahead_ms - said_at) / 1_000, rel=0.1)


async def test_where_readings_can_be_thinned_it_says_when_that_begins(tmp_path: Path) -> None:
    clock = MovedClock()
    clock.mono_ms = clock.wall_ms  # type: ignore[method-assign]
    log = MemoryLog(LogSettings(tmp_path / "x", "gw-1", "site-a", max_bytes=5 * MIB, fold=Minutes()), clock)
    said = 0.0
    while not log.stats().lost:
        await live_through(log, clock, days=0.05, every_s=120, per_commit=160)
        if not said and log.stats().bytes_used > 2 * MIB:
            said, said_at = log.stats().forecast.full_s[Lane.LIVE], clock.at
    assert set(log.stats().lost) == {"thinned"}
    assert said == pytest.approx((clock.at - said_at).total_seconds(), rel=0.15)


def five_fields(number: int) -> Envelope:
    at = datetime.fromtimestamp(1_760_000_000 + number / 200, UTC).isoformat(timespec="milliseconds")
    sensor = number * 7_919 % 150
    value = round(5 + sensor / 10 + (number * 31 % 97) / 50, 2)
    body = {"sensor_id": f"sensor_{sensor:03d}", "value": value, "unit": "degC", "at": at, "quality": "good"}
    headers = (("ce_specversion", b"1.0"), ("ce_type", b"tidegate.sensor-data.v1"), ("ce_time", at.encode()))
    return Envelope(Lane.LIVE, "sensor-data", b"site/tank/%d" % sensor, json.dumps(body).encode(), headers)


@pytest.mark.parametrize(("per_commit", "days"), [(40, 3.0), (1, None)])
async def test_before_anything_is_packed_the_log_forecasts_the_days_that_blocks_would_last(
    per_commit: int, days: float | None
) -> None:
    """At 200 readings a second in the shipped 2 GiB; what is said after two minutes holds after twenty."""
    log, clock = a_log(2 * 1024**3)
    said: list[float] = []
    for commit in range(1_200 * 5 if per_commit > 1 else 1_200):
        clock.ahead_ms += 200 if per_commit > 1 else 1_000
        await log.append([five_fields(commit * per_commit + at) for at in range(per_commit)])
        if commit in {120 * 5 if per_commit > 1 else 120, 1_000}:
            said.append(log.stats().forecast.full_s[Lane.LIVE] / 86_400)
    said.append(log.stats().forecast.full_s[Lane.LIVE] / 86_400)
    assert said[0] == pytest.approx(said[-1], rel=0.25), said
    if days is not None:
        assert days <= said[-1] * 7 / 8 < days + 1


async def test_the_shipped_configuration_promises_no_more_than_the_log_forecasts() -> None:
    """At 200 readings a second in the shipped 2 GiB: what comes in counts as it will be kept once it is packed."""
    log, clock = a_log(2 * 1024**3)
    log._engine.packing = Packing(NUMBERS, 60.0, threads=False)
    site = Site()
    for part in range(14):
        envelopes = site.envelopes(part)
        for begun in range(0, PART, 40):
            clock.ahead_ms += 200
            await log.append(envelopes[begun : begun + 40])
    log._engine._measured_ms = None
    await log.append(site.envelopes(14)[:40])
    await log.append(site.envelopes(14)[:40])
    assert log.stats().forecast.full_s[Lane.LIVE] / 86_400 > 40
    shipped = (Path(__file__).parents[2] / "config.yaml").read_text()
    assert "2 GiB: forty days of outage at 200 readings a second" in shipped


def test_bulk_goes_first_then_telemetry_and_alerts_last_and_what_never_comes_in_is_never_full() -> None:
    rates = {Lane.ALERT: 1, Lane.LIVE: 10, Lane.BULK: 100}
    came = {lane: rate * 100 for lane, rate in rates.items()}
    pending = {Lane.ALERT: 10, Lane.LIVE: 100, Lane.BULK: 1_000}
    found = forecast(Basis(10_000, thins=False, pending=pending, came=came, since_ms=0), 100_000)
    assert found.bytes_per_s == {**dict.fromkeys(Lane, 0), **rates}
    assert found.full_s[Lane.BULK] == (10_000 - 1_110) / 111
    assert found.full_s[Lane.LIVE] == found.full_s[Lane.BACKFILL] == (10_000 - 110) / 11
    assert found.full_s[Lane.ALERT] == (10_000 - 10) / 1
    thins = forecast(Basis(10_000, thins=True, pending=pending, came=came, since_ms=0), 100_000)
    assert thins.full_s[Lane.LIVE] == (8_750 - 1_110) / 111
    still = forecast(Basis(10_000, thins=True, pending=pending, since_ms=0), 100_000)
    assert set(still.full_s.values()) == {math.inf}
    assert ahead(still, Lane.LIVE) == {"pending_bytes": 100, "bytes_per_s": 0.0, "full_s": None}


async def test_what_is_written_in_a_day_is_said_once_five_minutes_were_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SqliteLog(settings(tmp_path))
    file = log._writer.file
    for minute, written in enumerate([0, 10, 10, 10, 10, 50]):
        file.written_bytes = written
        assert log.stats().written_per_day is None
        file._count_day(minute * 60.0)
    assert log.stats().written_per_day == 50 / 300 * 86_400
    for minute in range(6, 200):
        file._count_day(minute * 60.0)
    assert log.stats().written_per_day == 0, "an hour ago is forgotten"
    async with running(log):
        await log.append(bulky(10))
        assert log.stats().bound_bytes == log._settings.max_bytes
