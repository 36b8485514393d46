"""Losses that nobody can count stand in the ledger like all others, and `tidegate log losses` lists them (L5)."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.cli.audit import _take_in
from sync.audit import Topics
from sync.kafka import KafkaSettings
from sync.log import SqliteLog
from sync.log.commit.file import LogFile
from sync.log.disk import aside
from sync.log.inspect.reader import LogReader
from sync.log.ledger import entries
from sync.values import Lane
from tests.support.log import SetClock, drain, envelopes, running, settings, until

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))


def losses(folder: Path, *words: str) -> list[str]:
    command = [TIDEGATE, "log", "--state-dir", str(folder), "losses", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()


async def begin_with_a_file_of_noise(folder: Path) -> str:
    """Its name once it was put aside."""
    path = folder / "log.sqlite"
    noise = aside.place(path, aside.DAMAGED)
    noise.write_bytes(b"noise" * 1_000)
    async with running(SqliteLog(settings(folder))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not aside.waiting(path))
        await drain(log)
    return noise.name


async def test_one_is_listed_with_its_time_and_the_file_also_when_all_is_delivered(tmp_path: Path) -> None:
    name = await begin_with_a_file_of_noise(tmp_path)
    (line,) = losses(tmp_path)
    at, said = line.split(" ", 1)
    assert at.endswith("Z")
    assert said == f"an unknown number of records: corrupt, {name} could not be read completely"
    found = json.loads(*losses(tmp_path, "--json"))
    assert (found["at"], found["reason"]) == (at, "corrupt")
    assert found["text"] == f"{name} could not be read completely"
    assert [found[key] for key in ("lane", "topic", "first", "last", "records")] == [None] * 5


async def test_a_run_that_ended_while_its_disk_took_nothing_is_listed_once_the_next_has_told_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "log-stalled").write_text('{"log_id": "ab"}')
    async with running(SqliteLog(settings(tmp_path, runtime_dir=tmp_path))) as log:
        await log.append(envelopes("after"))
    (loss,) = LogReader(tmp_path / "log.sqlite").losses(9)
    assert (loss.uncounted, loss.reason, loss.log_id) == (True, "stalled", "ab")
    assert loss.topic == "a run ended while its log could not write to its disk"


@pytest.mark.parametrize("told", [False, True])
async def test_an_entry_that_is_noise_is_listed_once_before_and_after_it_is_told(
    tmp_path: Path, *, told: bool
) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("before"))
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as file:
        file.execute(
            "INSERT INTO ledger(at_ms, until_ms, lane, topic, first, last, records, reason, reported, log_id)"
            " VALUES(1, 1, 'live', 'sensor-data', 7, 7, -1, 'evicted', 0, 'ab')"
        )
        file.commit()
    if told:
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.append(envelopes("after"))
    (line,) = losses(tmp_path)
    assert line.endswith("an unknown number of records: corrupt, corrupt entry in the loss ledger")
    assert line.startswith("(time unknown)") is not told


def test_one_whose_event_is_lost_itself_is_told_once_more(tmp_path: Path) -> None:
    file = LogFile(settings(tmp_path), clock := SetClock())
    book = file.open()
    book.begin()
    number = book.next_number
    entries.lose_uncounted(book, "corrupt", "ab", "what happened")
    state = book.stream(Lane.ALERT, "system-events")
    entries.lose(book, state, entries.Missing(number, number, 1, "evicted"))
    book.delete(state.id, number)
    book.commit()
    reading = Topics(KafkaSettings(("localhost:1",)), "gw-1", [])
    _take_in(reading, tmp_path / "log.sqlite")
    assert reading.accounts["ab"].statement().uncounted == {"corrupt": None}, (
        "the audit has it from the file meanwhile"
    )
    clock.ahead_ms += entries.REPORT_AFTER_MS
    book.begin()
    before = book.next_number
    entries.report(book)
    assert book.next_number == before + 2, "the loss of the event, and what it told"
    assert book.losses == {}
    book.commit()
    file.close(clean=True)
    found = LogReader(tmp_path / "log.sqlite").losses(9)
    assert [(loss.topic, loss.uncounted) for loss in found] == [("what happened", True), ("system-events", False)]
