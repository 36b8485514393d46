"""Copying records out of a log that goes on being written, trimmed and thinned. `tidegate log export`."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.events import Minutes
from sync.log import SqliteLog
from sync.log.commit.file import LogFile
from sync.log.inspect import export
from sync.log.inspect.export import Selection
from sync.log.inspect.reader import LogReader
from sync.log.retention import discards
from sync.values import Lane, NotReady
from tests.support.days import MovedClock, live_through
from tests.support.log import LIVE, TOPIC, SetClock, bulky, claim, envelope, envelopes, running, settings, until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sync.log.inspect.records import Entry

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


def tidegate(folder: Path, *words: str) -> list[dict[str, object]]:
    command = [TIDEGATE, "log", "--state-dir", str(folder), "export", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def started(folder: Path) -> subprocess.Popen[bytes]:
    command = [TIDEGATE, "log", "--state-dir", str(folder), "export"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def of_readings(found: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in found if entry.topic == "sensor-data"]


def values(found: Iterable[Entry]) -> list[str]:
    return [entry.record.value.decode() for entry in of_readings(found) if entry.record and entry.record.value]


async def test_records_come_in_the_order_of_numbers_whatever_their_streams(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        for number in range(10):
            await log.append(envelopes(number, -number))
            await log.append(envelopes(number, lane=Lane.ALERT, topic="farm-alerts"))
        found = list(LogReader(tmp_path / "log.sqlite").export(Selection()))
    numbers = [entry.seq for entry in found]
    assert numbers == sorted(set(numbers))
    assert len(of_readings(found)) == 20
    assert sum(entry.topic == "farm-alerts" for entry in found) == 10


async def test_a_selection_cuts_blocks_where_it_says(tmp_path: Path) -> None:
    clock = SetClock()
    async with running(SqliteLog(settings(tmp_path), clock)) as log:
        await log.append(envelopes(*range(10)))
        clock.ahead_ms += 3_600_000
        border_ms = clock.wall_ms() - 1
        await log.append(envelopes(*range(10, 20)))
        await log.append(envelopes("a", lane=Lane.ALERT, topic="farm-alerts"))
        reader = LogReader(tmp_path / "log.sqlite")
        first = of_readings(reader.export(Selection()))[0].seq
        assert values(reader.export(Selection(first + 3, first + 12))) == [str(number) for number in range(3, 13)]
        assert values(reader.export(Selection(since_ms=border_ms))) == [str(number) for number in range(10, 20)]
        assert values(reader.export(Selection(until_ms=border_ms))) == [str(number) for number in range(10)]
        assert [entry.topic for entry in reader.export(Selection(lane=Lane.ALERT))] == ["farm-alerts"]
        assert [entry.lane for entry in reader.export(Selection(topic="farm-alerts"))] == ["alert"]
        assert list(reader.export(Selection(1 << 40))) == []


async def test_nothing_comes_twice_or_is_passed_over_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks are cut in two behind the reader's back, and the newest number is fixed when it begins."""
    monkeypatch.setattr(export, "_PIECE_BLOCKS", 1)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition("sensor-data", 1)
        for number in range(0, 60, 6):
            await log.append(envelopes(*range(number, number + 6)))
        found = []
        for count, entry in enumerate(LogReader(tmp_path / "log.sqlite").export(Selection())):
            found.append(entry)
            if count % 4 == 0 and count < 30:
                batch = await log.lease(claim(LIVE, count), 1)
                assert batch is not None
                await log.cut(batch, "halve")
                await log.append(envelopes("later"))
        assert values(found) == [str(number) for number in range(60)]


async def test_an_export_goes_on_where_the_log_is_trimmed_under_it(tmp_path: Path) -> None:
    """A log that is over its bound all the time: what goes before its turn is left out, the rest comes whole."""
    given = settings(tmp_path, max_bytes=4 * 1024**2)
    async with running(SqliteLog(given)) as log:
        for _ in range(80):
            await log.append(bulky(40))
        begun, next_seq = [], log.stats().next_seq
        reading = LogReader(given.path).export(Selection())
        begun = [next(reading) for _ in range(50)]
        for _ in range(200):
            await log.append(bulky(40))
        await until(lambda: not log._figures.trim_more)
        oldest = of_readings(LogReader(given.path).export(Selection()))[0].seq
        assert begun[-1].seq < oldest
        rest = [entry.seq for entry in reading]
        assert not log.stats().checkpoint_held
        assert log.stats().wal_bytes < 8 * 1024**2
    assert rest == sorted(set(rest))
    assert rest[0] > begun[-1].seq
    assert max(rest) < next_seq


async def test_a_slow_reader_holds_nothing_while_it_waits(tmp_path: Path) -> None:
    """The WAL is emptied under a process that reads a line and then no more."""
    given = settings(tmp_path)
    async with running(SqliteLog(given)) as log:
        for _ in range(60):
            await log.append(bulky(200))
        with started(tmp_path) as reading:
            assert reading.stdout is not None
            assert b'"seq"' in reading.stdout.readline()
            for _ in range(60):
                await log.append(bulky(200))
            assert not log.stats().checkpoint_held
            with closing(sqlite3.connect(given.path)) as other:
                # Emptied to the last page: that takes that nobody reads.
                assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            lines = len(await asyncio.to_thread(reading.stdout.readlines))
            assert reading.wait(30) == 0
    assert lines >= 60 * 200 - 1


async def test_an_export_goes_on_where_minutes_are_thinned_under_it(tmp_path: Path) -> None:
    clock = MovedClock()
    given = settings(tmp_path, fold=Minutes())
    async with running(SqliteLog(given, clock)) as log:
        await live_through(log, clock, days=0.05, every_s=20, per_commit=40)
        last = log.stats().next_seq - 1
        reading = LogReader(given.path).export(Selection())
        before = [next(reading) for _ in range(40)]
        await log.hand_to_backfill(0)
        assert await log.thin_backfill(0) > 0
        found = [*before, *reading]
    numbers = [entry.seq for entry in found]
    assert numbers == sorted(set(numbers))
    assert max(numbers) <= last
    assert {entry.state for entry in found[-40:]} <= {"pending", "thinned"}
    states = {entry.state for entry in LogReader(given.path).export(Selection(last + 1))}
    assert states == {"pending"}


async def test_what_was_thinned_is_not_called_settled(tmp_path: Path) -> None:
    clock = MovedClock()
    given = settings(tmp_path, fold=Minutes())
    async with running(SqliteLog(given, clock)) as log:
        await log.append([envelope("1")])
    file = LogFile(given, clock)
    book = file.open()
    book.begin()
    state = book.stream(Lane.LIVE, TOPIC)
    discards.add(book, state.id, state.head, state.head)
    state.take(state.parts[0], state.head, 1)
    book.touch(state)
    book.commit()
    file.close(clean=True)
    entry = next(LogReader(given.path).export(Selection()))
    assert entry.state == "thinned"


@pytest.mark.parametrize("noise", [1_000_000, 1 << 40, -1, "x"])
async def test_a_damaged_block_is_one_line_and_the_next_are_whole(tmp_path: Path, noise: int | str) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        for number in range(0, 20, 5):
            await log.append(envelopes(*range(number, number + 5)))
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as foreign:
        (key,) = foreign.execute("SELECT key FROM blocks WHERE records=5 ORDER BY key LIMIT 1 OFFSET 1").fetchone()
        foreign.execute("UPDATE blocks SET records=?, at_ms='noise', body=x'00' WHERE key=?", (noise, key))
        foreign.commit()
    found = of_readings(LogReader(tmp_path / "log.sqlite").export(Selection(since_ms=1)))
    assert values(found) == [str(number) for number in [*range(5), *range(10, 20)]]
    assert [entry.record for entry in found].count(None) == 1


@pytest.mark.parametrize("noise", [1 << 60, -(1 << 60), "noon"])
async def test_a_time_that_is_noise_keeps_no_record_back(tmp_path: Path, noise: object) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("1"))
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as foreign:
        foreign.execute("UPDATE blocks SET at_ms=?", (noise,))
        foreign.commit()
    found = await asyncio.to_thread(tidegate, tmp_path, "--topic", "sensor-data")
    assert [(line["value"], line["at"]) for line in found] == [(1, "1970-01-01T00:00:00.000Z")]


async def test_an_answer_from_a_file_that_a_daemon_began_to_write_meanwhile_does_not_count(tmp_path: Path) -> None:
    """Without a WAL the file is read as one that nobody changes."""
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("1"))
    wal = tmp_path / "log.sqlite-wal"
    assert not wal.exists()
    with pytest.raises(NotReady, match="during the read"):
        LogReader(tmp_path / "log.sqlite").undelivered(lambda _: wal.touch())


async def test_numbers_of_another_file_are_not_taken_for_this_one_s(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        for _ in range(30):
            await log.append(bulky(40))
    reading = LogReader(tmp_path / "log.sqlite").export(Selection())
    next(reading)
    (tmp_path / "log.sqlite").rename(tmp_path / "aside")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("x"))
    with pytest.raises(NotReady, match="another file"):
        list(reading)


async def test_the_verb_prints_lines_and_ends_well_where_its_reader_has_enough(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        for number in range(0, 8_000, 400):
            await log.append(envelopes(*range(number, number + 400)))
    found = tidegate(tmp_path, "--topic", "sensor-data")
    assert [line["value"] for line in found] == list(range(8_000))
    assert set(found[0]) == {"seq", "lane", "topic", "at", "state", "key", "headers", "value"}
    first = found[0]["seq"]
    assert isinstance(first, int)
    assert len(tidegate(tmp_path, "--from-seq", str(first + 5), "--until-seq", str(first + 9))) == 5
    assert len(tidegate(tmp_path, "--since", "2020-01-01", "--until", "2020-01-02T00:00:00+02:00")) == 0
    with started(tmp_path) as reading:
        assert reading.stdout is not None
        assert b'"seq"' in reading.stdout.readline()
        reading.stdout.close()
        # As other tools end, and with no word.
        assert reading.wait(30) == -signal.SIGPIPE
        assert reading.stderr is not None
        assert reading.stderr.read() == b""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--since", "yesterday"), "is not a time: write 2026-03-01"),
        (("--from-seq", "-1"), "--from-seq"),
        ((), "no log at"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    command = [TIDEGATE, "log", "--state-dir", str(tmp_path), "export", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
