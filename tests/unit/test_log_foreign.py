"""Somebody holds the log's file open, in a process of its own and without end. L rules: sync/log."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sync.log import SqliteLog
from sync.log.disk.foreign import readers
from tests.support.log import bulky, drain, envelopes, running, settings, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

MIB = 1024**2
BOUND = 64 * MIB
READS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT count(*) FROM blocks").fetchone()[0], flush=True)
sys.stdin.read()
print(connection.execute("SELECT count(*) FROM blocks").fetchone()[0], flush=True)
"""


@contextmanager
def reader(path: Path) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", READS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
    finally:
        child.kill()
        child.communicate()


def wals(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*-wal"))


async def test_who_holds_the_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("x"))
        assert readers(tmp_path / "log.sqlite") == []
        with reader(tmp_path / "log.sqlite") as child:
            for _ in range(40):
                await log.append(bulky(200))
            await until(lambda: log.stats().checkpoint_held)
            (named,) = readers(tmp_path / "log.sqlite")
            assert named.startswith(f"process {child.pid} (")
            assert f"{named} keeps a read transaction open on the log: the WAL grows until it ends" in caplog.messages
        for _ in range(20):
            await log.append(bulky(200))
        await until(lambda: not log.stats().checkpoint_held)


async def test_the_wal_stays_within_64_mib_and_nothing_is_lost_however_long_somebody_reads(tmp_path: Path) -> None:
    """L11."""
    log = SqliteLog(settings(tmp_path, log_stall_s=30.0))
    sent, largest = 0, 0
    async with running(log):
        await log.append(envelopes("0"))
        sent += 1
        with reader(tmp_path / "log.sqlite") as child:
            while log.stats().quarantined == 0:
                await log.append([*envelopes(sent), *bulky(400)])
                sent += 1
                largest = max(largest, wals(tmp_path))
                assert largest <= BOUND
            assert largest >= 40 * MIB, "the reader held it"
            assert f"process {child.pid} " in log.stats().quarantined_why
            for _ in range(20):
                await log.append(envelopes(sent))
                sent += 1
                largest = max(largest, wals(tmp_path))
            await until(lambda: log._writer._salvage is None and log._writer.file.book is not None)
            assert not log.stats().checkpoint_held
            assert child.communicate("")[0] == "1\n", "what it reads stands still, and it is not hurt"
        found = await drain(log)
        numbers = [int(value) for values in found.values() for value in values if value.isdecimal()]
        assert sorted(numbers) == list(range(sent))
        assert log.stats().lost == {}
        assert largest <= BOUND
    assert list(tmp_path.glob("log.sqlite.*-2*")) == [], "what it was emptied of takes no room any more"
