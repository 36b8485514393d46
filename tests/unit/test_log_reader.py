"""The log as people read it: from the file of a real log, beside its writer and after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from sync.log import LogSettings, SqliteLog
from sync.log.inspect.export import Selection
from sync.log.inspect.reader import LogReader
from sync.values import Claim, Envelope, Lane, NotReady, Producer, Stream
from tests.support import log as support

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


def envelopes(first, count, lane=Lane.LIVE, topic="sensor-data"):
    return [
        Envelope(lane, topic, b"s/t/x", b'{"value": %d}' % number, (("ce_type", b"t"),))
        for number in range(first, first + count)
    ]


@contextlib.asynccontextmanager
async def running(folder):
    log = SqliteLog(LogSettings(folder / "log.sqlite", "gw", "site", commit_interval_s=0.0))
    task = asyncio.create_task(log.run())
    try:
        yield log
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def lease(log, topic="sensor-data", lane=Lane.LIVE, base=0, max_bytes=1 << 20):
    partition = await log.assign_partition(topic, 1)
    return await log.lease(Claim(Stream(lane, topic, partition), Producer(7, 0), base), max_bytes)


async def test_what_waits_is_seen_while_the_daemon_runs(tmp_path):
    async with running(tmp_path) as log:
        await log.append(envelopes(0, 30))
        await log.append(envelopes(30, 12))
        await log.append(envelopes(0, 1, Lane.ALERT, "farm-alerts"))
        reader = LogReader(tmp_path / "log.sqlite")
        waiting = {(stream.lane, stream.topic): stream for stream in reader.depth()}
        assert waiting["live", "sensor-data"].pending == 42
        assert waiting["alert", "farm-alerts"].pending == 1
        assert waiting["live", "sensor-data"].oldest_at_ms > 1_500_000_000_000
        assert next(stream.lane for stream in reader.depth()) == "alert"
        assert [json.loads(entry.record.value)["value"] for entry in reader.tail(3, topic="sensor-data")] == [
            39,
            40,
            41,
        ]
        assert [entry.state for entry in reader.tail(100)] == ["pending"] * 43


async def test_every_record_shows_how_it_stands(tmp_path):
    async with running(tmp_path) as log:
        await log.append(envelopes(0, 10))
        first = await lease(log)
        log.settle(first, 0)
        await log.append(envelopes(10, 5))
        second = await lease(log, base=first.count)
        await log.append(envelopes(15, 2))
        reader = LogReader(tmp_path / "log.sqlite")
        (stream,) = [waiting for waiting in reader.depth() if waiting.topic == "sensor-data"]
        assert (stream.pending, stream.leased) == (2, second.count)
        states = [entry.state for entry in reader.tail(100, topic="sensor-data")]
        assert states == ["settled"] * 10 + ["leased"] * 5 + ["pending"] * 2
        names = [dict(entry.record.headers)["ce_id"] for entry in reader.tail(100, topic="sensor-data")]
        assert len(set(names)) == 17


async def test_records_that_an_outage_left_for_later_are_pending_where_they_went(tmp_path):
    async with running(tmp_path) as log:
        await log.append(envelopes(0, 10))
        await asyncio.sleep(0.05)
        assert await log.hand_to_backfill(0.0) == 10
        await log.append(envelopes(0, 1, topic="other"))
        reader = LogReader(tmp_path / "log.sqlite")
        assert [(waiting.lane, waiting.pending) for waiting in reader.depth() if waiting.topic == "sensor-data"] == [
            ("live", 0),
            ("backfill", 10),
        ]
        assert {entry.state for entry in reader.tail(100, topic="sensor-data")} == {"pending"}


async def test_a_refused_record_is_shown_with_its_reason(tmp_path):
    async with running(tmp_path) as log:
        await log.append(envelopes(0, 1))
        await log.cut(await lease(log), "MESSAGE_TOO_LARGE")
        reader = LogReader(tmp_path / "log.sqlite")
        (letter,) = reader.dead_letters(5)
    assert (letter.topic, letter.reason, letter.record.value) == ("sensor-data", "MESSAGE_TOO_LARGE", b'{"value": 0}')


async def test_the_verb_reads_it_all_when_no_daemon_runs(tmp_path):
    async with running(tmp_path) as log:
        await log.append(envelopes(0, 25))

    def tidegate(*words):
        command = [TIDEGATE, "log", "--state-dir", str(tmp_path), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    (lane,) = [line.split() for line in tidegate().splitlines() if line.endswith("sensor-data")]
    assert (lane[0], lane[1], lane[2]) == ("live", "25", "0")
    assert tidegate("depth", "--lane", "live") == "25\n"
    assert json.loads(tidegate("depth", "--json"))["live"] == 25
    last = json.loads(tidegate("tail", "-n", "1", "--topic", "sensor-data", "--json"))
    assert (last["value"], last["key"], last["state"]) == ({"value": 24}, "s/t/x", "pending")
    assert last["headers"]["ce_type"] == "t"
    assert len(tidegate("tail", "-n", "7", "--lane", "live").splitlines()) == 7
    assert tidegate("dead-letters") == tidegate("losses") == ""


async def test_reading_keeps_no_hold_on_the_file(tmp_path):
    async with running(tmp_path) as log:
        reader = LogReader(tmp_path / "log.sqlite")
        await log.append(envelopes(0, 10))
        for number in range(20):
            reader.tail(10)
            await log.append(envelopes(number, 10))
        assert not log.stats().checkpoint_held


@pytest.mark.parametrize("content", [b"", b"noise " * 1000, None])
def test_what_is_no_log_is_said_in_one_line(tmp_path, content):
    path = tmp_path / "log.sqlite"
    if content is None:
        with contextlib.closing(sqlite3.connect(path)) as foreign:
            foreign.execute("CREATE TABLE t(x)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for question in (LogReader.depth, lambda reader: reader.dead_letters(10)):
        with pytest.raises(NotReady) as caught:
            question(LogReader(path))
        assert str(path) in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_said_at_once(tmp_path, make):
    make(tmp_path / "log.sqlite")
    with pytest.raises(NotReady, match="is not a file"):
        LogReader(tmp_path / "log.sqlite").depth()


async def test_a_log_that_this_user_may_not_read_is_not_said_to_be_damaged_or_absent(tmp_path, monkeypatch):
    """The root of a test may read everything, so the refusals are played: of the folder, and of the file."""
    async with running(tmp_path) as log:
        await log.append(envelopes(0, 5))
    reader = LogReader(tmp_path / "log.sqlite")
    for where, name, refusal in ((Path, "stat", PermissionError(13, "no")), (os, "access", None)):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, Mock(side_effect=refusal, return_value=False))
            for question in (reader.depth, lambda: list(reader.export(Selection()))):
                with pytest.raises(NotReady, match="no permission to read"):
                    question()
    assert len(reader.tail(10)) == 5


async def test_a_damaged_block_is_passed_over(tmp_path):
    async with running(tmp_path) as log:
        await log.append(envelopes(0, 5))
        await log.append(envelopes(5, 5))
    with contextlib.closing(sqlite3.connect(tmp_path / "log.sqlite")) as foreign:
        (key,) = foreign.execute(
            "SELECT min(key) FROM blocks WHERE key >> 48 = (SELECT id FROM streams WHERE topic='sensor-data')"
        ).fetchone()
        foreign.execute("UPDATE blocks SET body = x'00' || body WHERE key = ?", (key,))
        foreign.commit()
    entries = LogReader(tmp_path / "log.sqlite").tail(6, topic="sensor-data")
    assert entries[0].record is None
    assert [json.loads(entry.record.value)["value"] for entry in entries[1:]] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("records", [-1, 1 << 31, 1 << 62])
async def test_a_block_whose_count_is_noise_is_passed_over(tmp_path, records):
    async with running(tmp_path) as log:
        await log.append(envelopes(0, 5))
        await log.append(envelopes(5, 5))
    with contextlib.closing(sqlite3.connect(tmp_path / "log.sqlite")) as foreign:
        foreign.execute("UPDATE blocks SET records=?, body=x'00' WHERE key=(SELECT min(key) FROM blocks)", (records,))
        foreign.commit()
    reader = LogReader(tmp_path / "log.sqlite")
    for entries in (reader.tail(100), list(reader.export(Selection()))):
        assert [entry.record for entry in entries].count(None) == 1


async def test_the_age_of_what_waits_is_right_where_the_clock_was_wrong_when_it_came(tmp_path):
    """C4."""
    clock = support.SetClock()
    clock.set_by_ms = -365 * 86_400_000
    async with support.running(SqliteLog(support.settings(tmp_path), clock)) as log:
        await log.append(support.envelopes("x"))
    (waiting,) = LogReader(tmp_path / "log.sqlite").depth()
    assert 0 <= waiting.oldest_s < 600
