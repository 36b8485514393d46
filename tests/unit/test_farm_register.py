"""Events in `farm.sqlite`, figures of them each hour, and their way into the log: once, whatever ends in between."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.events.farm import NEEDS, FarmEvent, farm_event
from agent.farm.water.score import Objective
from agent.pipeline.farm import Dispatch, FarmSettings, Hours, Register, ScoreVariable, TankSettings
from agent.pipeline.farm.register import stock_event
from agent.records import FarmFile
from agent.records.farm_file import read_events
from sync.log import LogSettings, MemoryLog
from sync.values import LogStalled, Misconfigured, NotReady

START = datetime(2026, 3, 2, 6, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def pass_by(self, **how):
        self.now += timedelta(**how)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def file(tmp_path):
    found = FarmFile(tmp_path / "farm.sqlite")
    yield found
    await found.close()


def register_on(file, clock, settings=None):
    found = Register(file, Hours(file), clock)
    found.reconfigure(settings or FarmSettings("site"))
    return found


def event(name, kind, at, **fields):
    return {"id": name, "kind": kind, "at": at.isoformat(), "tank_id": "t1", **fields}


STOCKING = event("s1", "stocking", START - timedelta(hours=1), count=1000, mean_weight_g=100.0, species="salmon")
DEAD = event("d1", "mortality", START, count=5)


async def outcomes(register, *documents):
    return [(answer.id, answer.outcome) for answer in await register.record(documents)]


def stock(register):
    return register.figures["t1"].get("stock_fish").value


async def test_g3_an_event_counts_once_however_often_it_comes_and_after_a_restart(file, clock):
    register = register_on(file, clock)
    assert await outcomes(register, STOCKING, DEAD, DEAD) == [("s1", "recorded"), ("d1", "recorded"), ("d1", "known")]
    other = register_on(file, clock)
    assert await outcomes(other, DEAD) == [("d1", "known")]
    for one in (register, other):
        await one.refresh()
        assert stock(one) == 995
    assert other.figures == register.figures


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"id": "x"}, "kind is missing"),
        ("text", "an event is a JSON object"),
        (event("x", "stocking", START), "a stocking needs count, species"),
        (event("x", "mortality", START, count=0), "count: input should be greater than 0"),
        (event("x", "mortality", START, count=3, kg=1), "a mortality has no kg"),
        (event("x", "mortality", START, count=3) | {"at": "2026-03-02T08:00:00"}, "at needs a zone"),
        (event("x", "mortality", START + timedelta(hours=1), count=3), "in the future"),
        (event("x", "mortality", START, count=3, colour="red"), "there is no colour"),
        (event("d1", "mortality", START, count=6), "the id d1 is that of another event"),
        (event("x", "feeding", START, kg=3.0, corrects="d1"), "d1 is a mortality"),
        (event("x", "void", START), "a void needs voids"),
        (event("x", "transfer", START, count=1, to_tank="t1"), "to_tank is the tank itself"),
        (event("x", "calibration", START, sensor_id="p", by="Ida", points=[[1, 1]]), "has 2 points, not 1"),
        (event("x", "feeding", START, kg=float("inf")), "finite number"),
        (event("x", "feeding", START, kg=1.0) | {"at": "0001-01-01T00:00:00+14:00"}, "is the device's clock set"),
    ],
)
async def test_an_event_that_cannot_be_is_refused_with_every_reason(file, clock, document, why):
    register = register_on(file, clock)
    await register.record([STOCKING, DEAD])
    (answer,) = await register.record([document])
    assert answer.outcome == "refused"
    assert why in answer.reason
    assert len(await file.events()) == 2


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.datetimes().map(str)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)
FIELDS = st.sampled_from([*FarmEvent.model_fields, "other"])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(FIELDS, VALUES) | st.fixed_dictionaries({"kind": st.sampled_from([*NEEDS])}) | VALUES)
def test_whatever_is_reported_is_an_event_or_is_refused(document):
    try:
        found = stock_event(farm_event(document, START))
    except ValueError:
        return
    assert found.id


async def test_g7_each_hour_has_one_record_whatever_is_reported_or_restarted_later(file, clock):
    register = register_on(file, clock)
    await register.record([STOCKING])
    assert await register.make_hourly() == 0, "the hour that runs is not over"
    clock.pass_by(hours=1, minutes=1)
    assert await register.make_hourly() == 0, "its values have two minutes to arrive"
    clock.pass_by(minutes=1)
    assert await register.make_hourly() == 1
    assert await register.make_hourly() == 0
    assert await register_on(file, clock).make_hourly() == 0, "nor after a restart"
    made = [one for one in await file.untold() if one.schema == "farm-figures"]
    assert [one.id for one in made] == ["site/t1/2026-03-02T07Z"]
    body = json.loads(made[0].body)
    assert (body["at"], body["events"]) == ("2026-03-02T07:00:00.000Z", 1)
    assert {"name": "stock_fish", "value": 1000.0, "unit": "fish"} in body["figures"]


async def test_g7_hours_of_a_stop_are_made_up_for_up_to_two_days(file, clock):
    register = register_on(file, clock)
    await register.record([STOCKING])
    await register.make_hourly()
    clock.pass_by(hours=5, minutes=3)
    assert await register_on(file, clock).make_hourly() == 5
    clock.pass_by(days=10)
    assert await register_on(file, clock).make_hourly() == 48


async def test_g7_what_a_late_event_changes_is_told_with_before_and_after(file, clock):
    register = register_on(file, clock)
    await register.record([STOCKING])
    await register.make_hourly()
    clock.pass_by(hours=2, minutes=3)
    await register.make_hourly()
    await register.record([DEAD])
    (told,) = [one for one in await file.untold() if one.schema.endswith(".recomputed")]
    body = json.loads(told.body)
    assert body["events"] == {"d1": "back_dated"}
    assert body["changed"]["stock_fish"] == [1000.0, 995.0]
    await register.record([event("v", "void", clock.now, voids="d1")])
    await register.record([event("later", "mortality", clock.now, count=1)])
    told = [json.loads(one.body)["events"] for one in await file.untold() if one.schema.endswith(".recomputed")]
    assert told == [{"d1": "back_dated"}, {"v": "void"}], "an event of now changes nothing that was told"


async def test_a_calibration_is_an_event_like_others(file, clock):
    register = register_on(file, clock)
    points = [[6.8, 7.0], [9.7, 10.0]]
    await register.record([event("c", "calibration", START, sensor_id="p", by="Ida", points=points, valid_days=30)])
    (found,) = register.calibrations()
    assert found.apply(6.8) == pytest.approx(7.0)
    assert (found.by, found.valid_days, found.on) == ("Ida", 30, START.date())
    await register.record([event("v", "void", clock.now, voids="c")])
    assert register.calibrations() == []


async def test_the_score_and_uptime_come_from_hourly_medians(file, clock):
    names = ("oxygen", "nh3", "temperature", "ph")
    tank = TankSettings("t1", variables=tuple(ScoreVariable(name, Objective(low=1, high=10)) for name in names))
    register = register_on(file, clock, FarmSettings("site", tanks=(tank,)))
    hours = register._hours
    for minute in range(6 * 60):
        at = clock.now.timestamp() + 60 * minute
        for name in names:
            hours.add(name, at, 5.0 if name != "oxygen" or minute < 300 else 0.5, at)
    clock.pass_by(hours=6)
    await hours.write(clock.now.timestamp())
    await register.refresh()
    found = register.figures["t1"]
    assert found.get("water_compliance").value == pytest.approx(100 - 100 / 24)
    assert found.get("limiting_margin").value == pytest.approx(-50)
    assert "oxygen is the limiting factor" in found.get("limiting_margin").notes
    assert found.get("uptime_day").value == pytest.approx(25)
    assert found.get("water_score").value < 90


async def test_g6_events_stay_while_hours_and_minutes_go(file, clock, tmp_path):
    register = register_on(file, clock)
    await register.record([STOCKING])
    minute = int(clock.now.timestamp() // 60)
    await file.add_minutes({"oxygen": {minute: 8.0}}, minute)
    week_later = minute + 9 * 24 * 60
    await file.add_minutes({"oxygen": {week_later: 8.0}}, week_later)
    with sqlite3.connect(tmp_path / "farm.sqlite") as db:
        assert db.execute("SELECT count(*) FROM hours WHERE minutes IS NULL").fetchone() == (1,)
    years_later = minute + 500 * 24 * 60
    await file.add_minutes({"oxygen": {years_later: 8.0}}, years_later)
    assert [one.hour for one in await file.hours(0)] == [years_later // 60]
    assert [one.id for one in await file.events()] == ["s1"]
    assert [one.id for one in read_events(tmp_path / "farm.sqlite")] == ["s1"]


async def test_a_minute_that_has_a_value_keeps_it_and_late_minutes_still_count(file, clock):
    hours = Hours(file)
    at = START.timestamp()
    hours.add("oxygen", at, 8.0, at)
    await hours.write(at + 60)
    hours.add("oxygen", at, 100.0, at + 70)
    hours.add("oxygen", at + 60, 6.0, at + 70)
    hours.add("oxygen", at - 8 * 86_400, 6.0, at)
    await hours.write(at + 120)
    hour = int(at // 3600)
    assert hours.medians("oxygen", hour, hour + 1) == {hour: 7.0}
    assert hours.seen("oxygen", hour, hour + 1) == 2
    assert hours.too_late == 1
    again = Hours(file)
    await again.load(at)
    assert again.medians("oxygen", hour, hour + 1) == {hour: 7.0}


class Stalled(MemoryLog):
    async def append(self, records, receipts=()):
        raise LogStalled("the disk takes nothing")


def memory_log(kind, tmp_path):
    return kind(LogSettings(tmp_path / "log", "gw", "site"))


async def test_g5_what_a_stalled_log_does_not_take_goes_later_and_once(file, clock, tmp_path):
    register = register_on(file, clock)
    await register.record([STOCKING, DEAD])
    assert await Dispatch(file, memory_log(Stalled, tmp_path), "site").run_once() == 0
    durable = memory_log(MemoryLog, tmp_path)
    running = Dispatch(file, durable, "site")
    assert await running.run_once() == 2
    assert await running.run_once() == 0


async def test_g5_a_mark_that_was_lost_is_told_by_the_log_s_receipt(file, clock, tmp_path):
    register = register_on(file, clock)
    await register.record([STOCKING])
    durable = memory_log(MemoryLog, tmp_path)
    await Dispatch(file, durable, "site").run_once()
    with sqlite3.connect(tmp_path / "farm.sqlite") as db:
        db.execute("UPDATE events SET told = 0")
    assert await Dispatch(file, durable, "site").run_once() == 0, "killed between the log's commit and the mark"


async def test_a_file_that_is_damaged_is_not_replaced_by_an_empty_one(tmp_path, clock):
    (tmp_path / "farm.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 8_000)
    file = FarmFile(tmp_path / "farm.sqlite")
    with pytest.raises(Misconfigured) as caught:
        await register_on(file, clock).load()
    assert "tidegate stock import" in caught.value.hint
    await file.close()


async def test_a_disk_that_does_not_take_an_event_leaves_it_unrecorded(tmp_path, clock):
    (tmp_path / "no folder").write_text("")
    register = register_on(FarmFile(tmp_path / "no folder" / "farm.sqlite"), clock)
    with pytest.raises(NotReady):
        await register.record([STOCKING])
    assert register.recorded == 0
