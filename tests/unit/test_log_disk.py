"""The log on disk: restarts, crashes, damage, a full disk, its bounds and its ledger. L rules: sync/log."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sync.log import SqliteLog
from sync.log.blocks import decode
from sync.log.clock import Clock
from sync.log.file import damaged_files
from sync.log.reader import LogReader
from sync.values import Lane, LogStalled, Misconfigured, NotReady, Stream
from tests.support.disks import LoopDisk
from tests.support.log import (
    LIVE,
    TOPIC,
    claim,
    drain,
    envelope,
    envelopes,
    names,
    opened,
    running,
    settings,
    until,
    values,
)

if TYPE_CHECKING:
    from sync.values import Envelope


class SetClock(Clock):
    """A clock that tests set, trusted unless they say otherwise."""

    def __init__(self, *, synced: bool = True) -> None:
        super().__init__()
        self.ahead_ms = 0
        self.trusted = synced

    def wall_ms(self) -> int:
        return super().wall_ms() + self.ahead_ms

    def synced(self) -> bool:
        return self.trusted


def bulky(count: int, lane: Lane = Lane.LIVE, topic: str = TOPIC) -> list[Envelope]:
    """Records that zstd cannot make smaller."""
    random_bytes = random.Random(count)
    return [envelope(random_bytes.randbytes(500).hex(), lane, topic) for _ in range(count)]


async def test_what_a_run_left_is_there_for_the_next(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.set_cursor("fleet", 5)
        await log.append(envelopes("a", "b"))
        leased = await log.lease(claim(LIVE), 1 << 20)
        await log.append(envelopes("c"))
        first = log.stats()
    async with running(SqliteLog(settings(tmp_path))) as log:
        (again,) = await log.unsettled()
        assert leased is not None
        # D2: the very same batch, said to have been tried.
        assert (again.claim.producer, again.first, again.count, again.body) == (
            leased.claim.producer,
            leased.first,
            leased.count,
            leased.body,
        )
        assert again.attempted
        assert await log.cursor("fleet") == 5
        log.settle(again, 0)
        assert await drain(log) == {(Lane.LIVE, TOPIC): ["c"]}
        second = log.stats()
    assert (second.log_id, second.run, second.next_seq) == (first.log_id, first.run + 1, first.next_seq)


async def test_an_orderly_stop_commits_all_that_waits(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, commit_interval_s=10.0))
    async with running(log):
        await log.changed(0)
        waiting = log.append(envelopes(*range(100)))
        await asyncio.sleep(0)
    await waiting
    assert [depth.pending for depth in LogReader(tmp_path / "log.sqlite").depth()] == [100]


async def test_what_is_appended_before_the_file_is_open_waits_for_it(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path))
    early = log.append(envelopes("early"))
    async with running(log):
        await early


async def test_what_comes_after_the_end_is_refused(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path))
    async with running(log):
        await log.append(envelopes("x"))
    with pytest.raises(LogStalled):
        await log.append(envelopes("late"))


async def test_a_second_daemon_on_the_same_log_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("x"))
        with pytest.raises(Misconfigured, match=str(os.getpid())) as refused:
            await SqliteLog(settings(tmp_path)).run()
        assert refused.value.field == "gateway.state_dir"
        await log.append(envelopes("y"))


async def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("x"))
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as file:
        file.execute("PRAGMA user_version=99")
    with pytest.raises(Misconfigured, match="later version"):
        await SqliteLog(settings(tmp_path)).run()


async def test_the_interval_gathers_and_alerts_and_full_windows_do_not_wait(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, commit_interval_s=3_600.0, commit_records=100))
    async with running(log):
        await log.changed(0)
        waiting = log.append(envelopes("telemetry"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        # An alert is committed at once, with all that waits.
        await log.append(envelopes("alert", lane=Lane.ALERT, topic="farm-alerts"))
        await waiting
        await log.append(envelopes(*range(100)))


CHILD = """
import asyncio, sys
from pathlib import Path
from sync.log import SqliteLog, LogSettings
from tests.support.log import envelopes, claim, LIVE, TOPIC

async def main():
    log = SqliteLog(LogSettings(path=Path(sys.argv[1]), gateway_id="gw-1", commit_interval_s=0.0))
    running = asyncio.create_task(log.run())
    await log.assign_partition(TOPIC, 1)
    sequence = sum(batch.count for batch in await log.unsettled())
    number = int(sys.argv[2])
    while True:
        batch = [f"{number + i}" for i in range(20)]
        number += 20
        await log.append(envelopes(*batch))
        print(*batch, flush=True)

asyncio.run(main())
"""


async def test_after_kill_9_nothing_acknowledged_is_missing_and_no_name_is_given_twice(tmp_path: Path) -> None:
    """L1, L2."""
    acknowledged: list[str] = []
    for run in range(3):
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CHILD,
            str(tmp_path / "log.sqlite"),
            str(run * 1_000_000),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        assert child.stdout is not None
        for _ in range(30 + 7 * run):
            acknowledged += (await asyncio.wait_for(child.stdout.readline(), 60)).decode().split()
        child.send_signal(signal.SIGKILL)
        rest = (await child.communicate())[0].decode()
        # A last line may have been cut off in the middle; what it says whole was acknowledged.
        acknowledged += rest[: rest.rfind("\n") + 1].split()
    async with running(SqliteLog(settings(tmp_path))) as log:
        found: list[str] = []
        called: list[bytes] = []
        sequence = 0
        await log.changed(0)
        while (batch := await log.lease(claim(LIVE, sequence), 1 << 20)) is not None:
            found += values(batch)
            called += names(batch)
            sequence += batch.count
            log.settle(batch, sequence)
    assert len(acknowledged) >= 20 * 111
    assert set(acknowledged) <= set(found)
    assert len(set(called)) == len(called) == len(found)
    assert len(set(found)) == len(found)


async def test_no_name_is_given_twice_even_where_the_tail_of_the_file_was_lost(tmp_path: Path) -> None:
    """L2: a WAL that is gone takes records with it, but their names stay theirs."""
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("first"))
    given: list[bytes] = []
    log = SqliteLog(settings(tmp_path))
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        for i in range(5):
            await log.append(envelopes(f"lost {i}"))
        while (batch := await log.lease(claim(LIVE, len(given)), 1 << 20)) is not None:
            given += names(batch)
            log.settle(batch, 0)
        survivor = tmp_path / "after"
        survivor.mkdir()
        for name in ("log.sqlite", "log.sqlite.names"):
            shutil.copy(tmp_path / name, survivor)
    async with running(SqliteLog(settings(survivor))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes("new"))
        batch = await log.lease(claim(LIVE), 1 << 20)
        while batch is not None and "new" not in values(batch):
            log.settle(batch, 0)
            batch = await log.lease(claim(LIVE, batch.last), 1 << 20)
        assert batch is not None
        name = dict(zip(values(batch), names(batch), strict=True))["new"]
        assert len(given) == 6
        assert name not in given


@dataclass(frozen=True)
class Filled:
    """A log that was closed in order: a first batch settled, a second leased, the rest pending."""

    log_id: str
    settled: set[str]
    undelivered: set[str]


async def filled(folder: Path, count: int = 40) -> Filled:
    async with running(SqliteLog(settings(folder))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.assign_partition("farm-alerts", 1)
        for i in range(count):
            await log.append([envelope(f"{i}-{k}", size=300) for k in range(5)])
        await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
        settled = await log.lease(claim(LIVE), 400)
        assert settled is not None
        log.settle(settled, 0)
        leased = await log.lease(claim(LIVE, settled.count), 400)
        assert leased is not None
        sent = {f"{i}-{k}" for i in range(count) for k in range(5)} | {"alarm"}
        return Filled(log.stats().log_id, set(values(settled)), sent - set(values(settled)))


async def collected(log: SqliteLog) -> tuple[list[str], list[bytes]]:
    """All that the log still gives out, what is unsettled first; and whether it was marked."""
    found: list[str] = []
    marks: list[bytes] = []
    for batch in await log.unsettled():
        found += values(batch)
        marks += [headers.get("possibly_repeated", b"0") for _, headers in opened(batch)]
        log.settle(batch, 0)
    for pending in log.streams():
        if pending.topic not in {TOPIC, "farm-alerts"}:
            continue
        stream = Stream(pending.lane, pending.topic, await log.assign_partition(pending.topic, 1))
        sequence = 0
        while (batch := await log.lease(claim(stream, sequence, producer=99), 1 << 20)) is not None:
            found += values(batch)
            marks += [headers.get("possibly_repeated", b"0") for _, headers in opened(batch)]
            sequence += batch.count
            log.settle(batch, sequence)
    return found, marks


async def test_a_file_overwritten_with_noise_is_put_aside_and_the_log_goes_on_under_a_new_id(tmp_path: Path) -> None:
    """L7, L8."""
    old = await filled(tmp_path)
    path = tmp_path / "log.sqlite"
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        stats = log.stats()
        assert stats.quarantined == 1
        assert stats.log_id != old.log_id
        assert stats.run == 2
        assert await log.assign_partition(TOPIC, 64) == 0
        assert "after" in (await collected(log))[0]
    (aside,) = damaged_files(path)
    assert aside.read_bytes()[:4] != b"SQLi"


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.95])
async def test_a_truncated_file_never_refuses_the_start_and_gives_what_can_be_read(
    tmp_path: Path, kept: float
) -> None:
    await filled(tmp_path)
    path = tmp_path / "log.sqlite"
    os.truncate(path, int(path.stat().st_size * kept))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not log._writer._salvage)
        found, _ = await collected(log)
        assert found.count("after") == 1
        assert len(set(found)) == len(found)


async def test_a_damaged_page_costs_its_blocks_and_no_others(tmp_path: Path) -> None:
    """What is missing is counted and told; what is whole keeps its name; a lease goes over as it was."""
    old = await filled(tmp_path, 60)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        bodies = [row[0] for row in file.execute("SELECT body FROM blocks ORDER BY key")]
    content = bytearray(path.read_bytes())
    page = content.index(bodies[len(bodies) // 2][:40]) // 1024
    content[page * 1024 : (page + 1) * 1024] = random.Random(2).randbytes(1024)
    path.write_bytes(content)
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        seen: list[str] = []
        for _ in range(200):
            found, marks = await collected(log)
            seen += found
            if log.stats().quarantined and not log._writer._salvage and not found:
                break
            await asyncio.sleep(0.01)
        stats = log.stats()
        assert b"1" not in marks
        missing = len(old.undelivered - set(seen))
        assert set(seen) == (old.undelivered & set(seen)) | {"after"}
        assert 0 < missing <= 100
        assert len(seen) == len(set(seen))
        assert stats.lost.get("corrupt", 0) == missing
        if stats.quarantined:
            assert stats.log_id != old.log_id
    losses = LogReader(path).losses(10)
    assert sum(loss.records for loss in losses if loss.reason == "corrupt") == missing


async def test_a_flipped_bit_in_a_block_is_found_before_it_is_sent(tmp_path: Path) -> None:
    """L5, L6."""
    old = await filled(tmp_path, 20)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        keys = [row[0] for row in file.execute("SELECT key FROM blocks ORDER BY key")]
        key = keys[len(keys) // 2]
        body, records = file.execute("SELECT body, records FROM blocks WHERE key=?", (key,)).fetchone()
        lost = {(record.value or b"").decode().rstrip(".") for record in decode(body, records)}
        flipped = bytearray(body)
        flipped[len(body) // 2] ^= 4
        file.execute("UPDATE blocks SET body=? WHERE key=?", (bytes(flipped), key))
        file.commit()
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        found, _ = await collected(log)
        assert lost <= old.undelivered
        assert set(found) == (old.undelivered - lost) | {"after"}
        assert log.stats().lost == {"corrupt": len(lost)}
        assert log.stats().quarantined == 0


async def test_an_unsettled_batch_with_a_damaged_block_goes_anew_and_says_so(tmp_path: Path) -> None:
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        for i in range(3):
            await log.append(envelopes(f"{i}a", f"{i}b"))
        batch = await log.lease(claim(LIVE), 1 << 20)
        assert batch is not None
        assert batch.count == 6
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        key = file.execute("SELECT key FROM blocks ORDER BY key LIMIT 1 OFFSET 1").fetchone()[0]
        file.execute("UPDATE blocks SET body=zeroblob(50) WHERE key=?", (key,))
        file.commit()
    async with running(SqliteLog(settings(tmp_path))) as log:
        assert await log.unsettled() == []
        found, marks = await collected(log)
        assert found == ["0a", "0b", "2a", "2b"]
        assert set(marks) == {b"1"}
        assert log.stats().lost == {"corrupt": 2}


async def test_without_the_streams_table_everything_readable_goes_marked(tmp_path: Path) -> None:
    await filled(tmp_path, 10)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE streams")
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not log._writer._salvage)
        found, marks = await collected(log)
        assert set(found) == {f"{i}-{k}" for i in range(10) for k in range(5)} | {"alarm", "after"}
        assert marks.count(b"0") == 1
        assert log.stats().quarantined == 1


async def test_a_salvage_goes_on_after_a_restart_and_doubles_nothing(tmp_path: Path) -> None:
    old = await filled(tmp_path, 400)
    path = tmp_path / "log.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE runs")
    for _ in range(4):
        async with running(SqliteLog(settings(tmp_path))) as log:
            await log.append(envelopes("x"))
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.append(envelopes("after"))
        await until(lambda: not log._writer._salvage)
        found, _ = await collected(log)
        assert sorted(value for value in found if value not in {"x", "after"}) == sorted(old.undelivered)


@pytest.mark.parametrize("lane", [Lane.LIVE, Lane.BULK])
async def test_over_its_bytes_the_log_evicts_the_oldest_and_says_how_many(tmp_path: Path, lane: Lane) -> None:
    """L5: counted by reason, one ledger entry, told upstream on lane alert."""
    log = SqliteLog(settings(tmp_path, max_bytes=4 * 1024**2), clock := SetClock())
    sent = 0
    async with running(log):
        await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
        while not log.stats().lost.get("evicted"):
            await log.append(bulky(200, lane))
            sent += 200
            assert sent < 100_000
        await log.append(bulky(200, lane))
        sent += 200
        await until(lambda: not log._figures.trim_more)
        stats = log.stats()
        assert stats.bytes_used <= 4 * 1024**2
        assert stats.depth[lane] + stats.lost["evicted"] == sent
        clock.ahead_ms += 10_000
        await log.append(envelopes("x", topic="camera-events"))
        found = await drain(log)
        assert found[Lane.ALERT, "farm-alerts"] == ["alarm"]
        events = [json.loads(value) for value in found[Lane.ALERT, "system-events"]]
        assert sum(event["data"]["count"] for event in events) == stats.lost["evicted"]
        assert {(event["event"], event["data"]["reason"], event["data"]["lane"]) for event in events} == {
            ("records_lost", "evicted", lane.value)
        }
        assert len(found[lane, TOPIC]) == sent - stats.lost["evicted"]


async def test_delivered_history_goes_before_anything_undelivered(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, max_bytes=4 * 1024**2))
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        await log.append(bulky(10, topic="camera-events"))
        sequence = 0
        for _ in range(60):
            await log.append(bulky(200))
            batch = await log.lease(claim(LIVE, sequence), 1 << 22)
            assert batch is not None
            sequence += batch.count
            log.settle(batch, sequence)
        await until(lambda: not log._figures.trim_more)
        assert log.stats().lost == {}
        assert log.stats().bytes_used <= 4 * 1024**2
        assert log.stats().depth[Lane.LIVE] <= 210


async def test_what_is_leased_is_never_evicted(tmp_path: Path) -> None:
    """D8."""
    log = SqliteLog(settings(tmp_path, max_bytes=4 * 1024**2))
    async with running(log):
        await log.assign_partition(TOPIC, 1)
        await log.append(bulky(50))
        leased = await log.lease(claim(LIVE), 1 << 22)
        assert leased is not None
        while log.stats().lost.get("evicted", 0) < 1_000:
            await log.append(bulky(200))
        (again,) = await log.unsettled()
        assert again.body == leased.body


async def test_what_is_too_old_goes_only_by_a_clock_that_can_be_trusted(tmp_path: Path) -> None:
    clock = SetClock(synced=False)
    log = SqliteLog(settings(tmp_path, max_age_s=1_000.0), clock)
    async with running(log):
        await log.append(envelopes(*range(10)))
        clock.ahead_ms = 5_000_000
        await log.append(envelopes("x", topic="camera-events"))
        assert log.stats().lost == {}
        clock.trusted = True
        clock.ahead_ms += 20_000
        await log.append(envelopes("y", topic="camera-events"))
        assert log.stats().lost == {"aged": 10}
        assert [pending.records for pending in log.streams() if pending.topic == TOPIC] == [0]


async def test_a_disk_that_refuses_stalls_the_log_and_readings_are_counted_as_lost_until_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """L9: one line when it begins, one when it ends; a ledger entry for what was lost."""
    log = SqliteLog(settings(tmp_path, log_stall_s=0.3))
    async with running(log):
        await log.append(envelopes("before"))
        with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # a disk that takes nothing, as the writer sees it
            with pytest.raises(LogStalled):
                await log.append(envelopes("lost", "too"))
            assert log.stats().stalled
            with pytest.raises(LogStalled):
                await log.append(envelopes("and this"))
            other.execute("ROLLBACK")
        await until(lambda: not log.stats().stalled)
        await log.append(envelopes("after"))
        # A commit that was under way when they were given up may have brought the last one to disk after all.
        kept = [value for value in (await drain(log))[Lane.LIVE, TOPIC] if value not in {"before", "after"}]
        assert set(kept) <= {"and this"}
        lost = 3 - len(kept)
        assert log.stats().lost == {"stalled": lost}
    told = [loss.records for loss in LogReader(tmp_path / "log.sqlite").losses(5) if loss.reason == "stalled"]
    assert told == [lost]
    assert sum("refuses a commit" in line for line in caplog.messages) == 1
    assert sum("takes commits again" in line for line in caplog.messages) == 1


async def test_a_writer_that_hangs_in_the_disk_stalls_the_log_too(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path, log_stall_s=0.3))
    async with running(log):
        await log.append(envelopes("before"))
        begun, held = threading.Event(), threading.Event()

        def hang(_: object) -> None:
            begun.set()
            held.wait(60)

        log._ask(hang)
        await until(begun.is_set)
        with pytest.raises(LogStalled):
            await log.append(envelopes("lost"))
        assert log.stats().stalled
        held.set()
        await until(lambda: not log.stats().stalled)
        await log.append(envelopes("after"))
        assert (await drain(log))[Lane.LIVE, TOPIC] == ["before", "after"]


BOUND_CHILD = """
import asyncio, resource, sys
from pathlib import Path
from sync.log import SqliteLog
from sync.values import LogStalled
from tests.support.log import drain, envelopes, running, settings, until

async def main():
    log = SqliteLog(settings(Path(sys.argv[1]), log_stall_s=0.5))
    async with running(log):
        await log.append(envelopes("before"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        lost = 0
        for i in range(4):
            try:
                await log.append(envelopes(*(f"{i}-{k}" * 50 for k in range(100))))
            except LogStalled:
                lost += 100
        assert lost and log.stats().stalled
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await until(lambda: not log.stats().stalled)
        await log.append(envelopes("after"))
        found = [value for values in (await drain(log)).values() for value in values if value in ("before", "after")]
        print(*found)

asyncio.run(main())
"""


async def test_files_that_may_not_grow_stall_the_log_and_it_goes_on_when_they_may_again(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BOUND_CHILD,
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    said, _ = await asyncio.wait_for(child.communicate(), 90)
    assert child.returncode == 0
    assert said.decode().split() == ["before", "after"]


async def test_the_lease_of_fresh_records_and_the_settle_before_ride_in_the_commit_that_stores_them(
    tmp_path: Path,
) -> None:
    """D1, D2: one fsync for each round of a shipper that keeps up."""
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        offer = log.offer(claim(LIVE, 0), 1 << 20)
        await log.append(envelopes("x0"))
        batch = await offer
        before = log.stats().commits
        for i in range(1, 6):
            log.settle(batch, i)
            offer = log.offer(claim(LIVE, i), 1 << 20)
            await log.append(envelopes(f"x{i}"))
            batch = await offer
            assert values(batch) == [f"x{i}"]
        assert log.stats().commits - before == 5
        assert log.stats().delivered[Lane.LIVE] == 5


@pytest.mark.skipif(not LoopDisk.possible(), reason="mounting a small disk needs root")
async def test_a_full_disk_costs_no_start_and_old_records_make_room_for_new_ones(tmp_path: Path) -> None:
    with LoopDisk(24) as disk:
        log = SqliteLog(settings(disk.folder, log_stall_s=2.0))
        async with running(log):
            await log.append(envelopes("alarm", lane=Lane.ALERT, topic="farm-alerts"))
            for _ in range(20):
                await log.append(bulky(200))
            disk.fill()
            for _ in range(60):
                await log.append(bulky(200))
            stats = log.stats()
            assert stats.lost["evicted"] > 0
            assert stats.depth[Lane.LIVE] + stats.lost["evicted"] == 16_000
            assert stats.depth[Lane.ALERT] == 1
        # Nothing is free, and it starts all the same.
        log = SqliteLog(settings(disk.folder, log_stall_s=2.0))
        async with running(log):
            with suppress(LogStalled):
                await log.append(envelopes("tried"))
            disk.free()
            await until(lambda: log.stats().run == 2 and not log.stats().stalled)
            await log.append(envelopes("after"))
            assert (await drain(log))[Lane.ALERT, "farm-alerts"] == ["alarm"]


async def test_a_folder_that_cannot_be_written_is_waited_for(tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("a file where the folder should be")
    log = SqliteLog(settings(blocked, log_stall_s=0.2))
    async with running(log):
        with pytest.raises(LogStalled):
            await log.append(envelopes("lost"))
        assert log.stats().stalled
        blocked.unlink()
        await until(lambda: log.stats().run == 1)
        await log.append(envelopes("after"))


async def test_a_foreign_reader_shows_in_the_figures_and_stops_no_commit(tmp_path: Path) -> None:
    log = SqliteLog(settings(tmp_path))
    async with running(log):
        await log.append(envelopes("x"))
        with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as foreign:
            foreign.execute("BEGIN")
            foreign.execute("SELECT count(*) FROM blocks").fetchone()
            for _ in range(40):
                await log.append(bulky(200))
            await until(lambda: log.stats().checkpoint_held)
            assert log.stats().wal_bytes > 1024**2


async def test_people_can_read_the_log_beside_the_daemon_and_without_it(tmp_path: Path) -> None:
    reader = LogReader(tmp_path / "log.sqlite")
    with pytest.raises(NotReady):
        reader.depth()
    async with running(SqliteLog(settings(tmp_path))) as log:
        await log.assign_partition(TOPIC, 1)
        await log.append(envelopes("a", "b"))
        batch = await log.lease(claim(LIVE), 1 << 20)
        assert batch is not None
        log.settle(batch, 0)
        await log.append(envelopes("c"))
        poison = await log.lease(claim(LIVE, 2), 1 << 20)
        assert poison is not None
        await log.cut(poison, "INVALID_RECORD")
        await log.append(envelopes("d"))
        for _ in range(2):
            entries = reader.tail(10, topic=TOPIC)
            assert [(entry.state, entry.record.value) for entry in entries if entry.record] == [
                ("settled", b"a"),
                ("settled", b"b"),
                ("pending", b"d"),
            ]
            assert [(letter.reason, letter.seq) for letter in reader.dead_letters(5)] == [("INVALID_RECORD", 3)]
            assert sum(depth.pending for depth in reader.depth()) == 2
            assert reader.identity() == (log.stats().log_id, 1)
    assert [entry.record.value for entry in reader.tail(1, topic=TOPIC) if entry.record] == [b"d"]
