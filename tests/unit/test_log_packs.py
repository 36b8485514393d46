"""What is old in the log is packed, and everything that asks the log finds it as it was (Z1 to Z4)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from agent.events import NUMBERS
from sync.log import SqliteLog
from sync.log.commit.engine import Engine
from sync.log.commit.file import LogFile
from sync.log.commit.work import Append, Request, Work
from sync.log.disk import blocks
from sync.log.disk.schema import MAX_NUMBER
from sync.log.inspect.export import Selection
from sync.log.inspect.reader import LogReader
from sync.log.leasing import fork, leases
from sync.log.packs import pack as packs
from sync.log.retention import packing as packing_room
from sync.log.retention.packing import Packing
from sync.values import Batch, Lane, Standing, Stream
from tests.support.log import TOPIC, SetClock, StillClock, bulky, claim, envelope, names, opened, running, settings
from tests.support.site import Site

if TYPE_CHECKING:
    from pathlib import Path

    from sync.log.book.content import Book
    from sync.values import Envelope

READINGS = Site().envelopes(0)
LIVE = Stream(Lane.LIVE, TOPIC, 0)
BACKFILL = Stream(Lane.BACKFILL, TOPIC, 0)


class Packed:
    """A log without a thread: commits of 40 readings, and between them events of another stream if `crowded`."""

    def __init__(self, folder: Path, *, after_s: float = 60.0, **more: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.clock = StillClock()
        self.path = folder / "log.sqlite"
        self._settings = settings(folder, **more)
        self.after_s = after_s
        self._open()

    def _open(self) -> None:
        self.file = LogFile(self._settings, self.clock)
        self.book: Book = self.file.open()
        self.engine = Engine(1 << 30, self._settings.fold, Packing(NUMBERS, self.after_s, threads=False))
        self.engine.opened(self.book)
        self.do(lambda book: book.assign_partition(TOPIC, 1))
        self.do(fork.compared)

    def reopen(self) -> None:
        self.file.close(clean=True)
        self._open()

    def do(self, act: Any = None, *records: Envelope) -> Any:
        work = Work()
        loop = asyncio.new_event_loop()
        if records:
            work.appends.append(Append(records, loop.create_future(), 0.0))
        done = loop.create_future()
        if act is not None:
            work.requests.append(Request(act, done))
        answers = self.engine.transact(self.book, work)
        loop.close()
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return next((answer.value for answer in answers if answer.done is done), None)

    def take(self, count: int, *, crowded: bool = False) -> list[str]:
        """So many readings, 200 ms apart, and the time after which they are packed; their names."""
        first = len(READINGS) - count
        for begun in range(first, len(READINGS), 40):
            self.do(None, *READINGS[begun : begun + 40])
            if crowded:
                self.do(None, envelope("event", topic="system-events"))
            self.clock.now_ms += 200
        self.clock.now_ms += 1_000_000
        self.do()
        return [self.value(record) for record in READINGS[first:]]

    @staticmethod
    def value(record: Any) -> str:
        return f"{(record.key or b'').decode()} {(record.value or b'').decode()}"

    def pack(self) -> int:
        """Pack all that can be; how many records that were."""
        before = self.engine.packing.packed
        for _ in range(30):
            self.engine.between(self.book)
            self.do()
        return self.engine.packing.packed - before

    def packs(self) -> int:
        return sum(packs.is_pack(body) for (body,) in self.book.connection.execute("SELECT body FROM blocks"))

    def drain(self, stream: Stream = LIVE, max_bytes: int = 1 << 20, most: int = 10_000) -> list[Batch]:
        found: list[Batch] = []
        sequence = 0
        while len(found) < most:
            batch = self.do(lambda book, at=sequence: leases.lease(book, claim(stream, at, producer=9), max_bytes))
            if batch is None:
                break
            assert batch.body.startswith(blocks.ZSTD), "only batches leave"
            assert len(batch.body) <= max_bytes or batch.count == 1
            found.append(batch)
            sequence += batch.count
            self.do(lambda book, batch=batch: leases.settle(book, batch, 5))
        return found


def read(found: list[Batch]) -> list[str]:
    return [
        f"{(record.key or b'').decode()} {(record.value or b'').decode()}"
        for batch in found
        for record in blocks.decode(batch.body, batch.count)
    ]


@pytest.fixture
def log(tmp_path):
    made = Packed(tmp_path / "log")
    yield made
    made.file.close(clean=False)


@pytest.mark.parametrize("crowded", [False, True])
@pytest.mark.parametrize("max_bytes", [1 << 20, 4_096])
def test_z1_a_packed_backlog_leaves_as_it_came(log, crowded, max_bytes):
    wanted = log.take(2_000, crowded=crowded)
    entries = list(LogReader(log.path).export(Selection(topic=TOPIC)))
    assert log.pack() == 2_000
    assert log.packs() == 1
    assert list(LogReader(log.path).export(Selection(topic=TOPIC))) == entries
    batches = log.drain(max_bytes=max_bytes)
    assert read(batches) == wanted
    assert [name for batch in batches for name in names(batch)] == [
        dict(entry.record.headers)["ce_source"] + b"#" + dict(entry.record.headers)["ce_id"] for entry in entries
    ]
    assert log.engine.figures.stats.lost == {}


def test_z2_history_is_packed_too_and_what_is_leased_never(log):
    """Z3: and a pack is either history or pending."""
    wanted = log.take(2_000)
    batch = log.do(lambda book: leases.lease(book, claim(LIVE), 8_192))
    log.pack()
    kept = log.book.rows(log.book.by_name["live", TOPIC].id, batch.first, batch.last)
    assert not any(packs.is_pack(block.body) for block, _, _ in kept)
    assert log.do(lambda book: leases.leased_batch(book, book.by_name["live", TOPIC])).body == batch.body
    log.do(lambda book: leases.settle(book, batch, 5))
    log.clock.now_ms += 1_000_000
    log.engine.packing.reset()
    log.pack()
    assert log.packs() == 2, "history and what is pending are not one pack"
    assert read([batch, *log.drain()]) == wanted


def test_a_lease_of_a_pack_is_the_same_batch_after_a_restart(log):
    log.take(1_000)
    log.pack()
    batch = log.do(lambda book: leases.lease(book, claim(LIVE), 1 << 20))
    assert batch.count == 1_000
    log.reopen()
    (again,) = log.do(leases.unsettled)
    assert (again.first, again.last, again.count, again.body) == (batch.first, batch.last, batch.count, batch.body)


@pytest.mark.parametrize("crowded", [False, True])
def test_a_refused_batch_of_a_pack_is_halved(log, crowded):
    wanted = log.take(400, crowded=crowded)
    log.pack()
    batch = log.do(lambda book: leases.lease(book, claim(LIVE), 1 << 20))
    log.do(lambda book: leases.cut(book, batch, "too large"))
    batches = log.drain()
    assert len(batches) == 2
    assert max(batch.count for batch in batches) <= 240
    assert read(batches) == wanted


def test_what_a_broker_lost_goes_again_to_the_record(log):
    """D7: a pack of several batches is parted where the first of them ends that was lost."""
    log.take(1_000)
    batches = log.drain(max_bytes=3_000)
    log.engine.packing.reset()
    assert log.pack() > 0
    assert log.packs() == 1
    lost = batches[-3:]
    wanted = read(lost)
    log.take(40)
    last = batches[-4].claim.base_sequence + batches[-4].count - 1
    sequence = sum(batch.count for batch in batches)
    newest = log.do(lambda book: leases.lease(book, claim(LIVE, sequence, producer=9), 1 << 20))
    log.do(lambda book: leases.again(book, newest, last))
    again = log.drain()
    assert read(again)[: len(wanted)] == wanted
    assert sum(batch.count for batch in again) == len(wanted) + newest.count
    assert log.engine.figures.stats.lost == {}


@pytest.mark.parametrize("crowded", [False, True])
def test_a_damaged_pack_is_lost_with_its_numbers(log, crowded):
    log.take(800, crowded=crowded)
    log.pack()
    more = log.take(40)
    origin = log.book.by_name["live", TOPIC].id
    (key,) = log.book.connection.execute("SELECT min(key) FROM blocks WHERE key>>48=?", (origin,)).fetchone()
    log.file.close(clean=True)
    with sqlite3.connect(log.path) as file:
        (body,) = file.execute("SELECT body FROM blocks WHERE key=?", (key,)).fetchone()
        file.execute("UPDATE blocks SET body=? WHERE key=?", (body[:500] + b"noise" + body[505:], key))
    log._open()
    assert read(log.drain()) == more
    assert log.engine.figures.stats.lost == {"corrupt": 800}
    (loss,) = LogReader(log.path).losses(10)
    assert (loss.first, loss.records) == (key & MAX_NUMBER, 800)
    # A pack no longer says which numbers were its own: it may have had any ahead of the next block.
    assert loss.last == (key & MAX_NUMBER) + 800 - 1 + (20 if crowded else 0)


def test_a_pack_that_is_evicted_is_lost_with_its_numbers(log):
    log.take(800, crowded=True)
    log.pack()
    origin = log.book.by_name["live", TOPIC].id
    (key,) = log.book.connection.execute("SELECT min(key) FROM blocks WHERE key>>48=?", (origin,)).fetchone()
    last = log.book.next_row(origin, key & MAX_NUMBER, MAX_NUMBER)[0].last
    log.engine.max_bytes = 0
    log.do()
    losses = [loss for loss in LogReader(log.path).losses(10) if loss.topic == TOPIC]
    assert [(loss.first, loss.last, loss.records) for loss in losses] == [(key & MAX_NUMBER, last, 800)]


def test_what_a_clock_stamped_wrong_is_set_right_out_of_a_pack(log):
    """C7."""
    log.clock.trusted = False
    log.clock.set_by_ms = -1_500_000_000
    log.reopen()
    log.take(2_000)
    assert log.pack() == 2_000
    log.clock.trusted, log.clock.set_by_ms = True, 0
    log.do()
    found = [headers for batch in log.drain() for _, headers in opened(batch)]
    assert len(found) == 2_000
    assert {headers["clock"] for headers in found} == {b"corrected"}


def test_a_copy_s_packs_wait_and_go_marked_once_adopted(log):
    """D11."""
    wanted = log.take(2_000, crowded=True)
    log.pack()
    log.do(lambda book: fork.fork(book, Standing.WAITS))
    assert log.drain() == []
    assert log.do(fork.adopt) > 2_000
    batches = log.drain()
    assert read(batches) == wanted
    assert all("possibly_repeated" in headers for batch in batches for _, headers in opened(batch))


def test_an_export_that_is_overtaken_by_packing_misses_nothing(log):
    log.take(2_000, crowded=True)
    wanted = [entry.seq for entry in LogReader(log.path).export(Selection())]
    export = LogReader(log.path).export(Selection())
    found = [next(export).seq for _ in range(700)]
    assert log.pack() == 2_000
    found += [entry.seq for entry in export]
    assert found == wanted == sorted(wanted)


def test_times_are_kept_to_the_commit(log):
    log.take(800)
    entries = list(LogReader(log.path).export(Selection(topic=TOPIC)))
    log.pack()
    middle = entries[400].at_ms
    later = list(LogReader(log.path).export(Selection(topic=TOPIC, since_ms=middle)))
    assert [entry.seq for entry in later] == [entry.seq for entry in entries if entry.at_ms >= middle]


def test_receipts_stay_until_they_are_old(log):
    for number in range(0, 400, 40):
        work = Work()
        loop = asyncio.new_event_loop()
        readings = READINGS[number : number + 40]
        work.appends.append(Append(readings, loop.create_future(), 0.0, [("a", b"%d" % number)]))
        log.engine.transact(log.book, work)
        loop.close()
    log.clock.now_ms += 2_000_000
    assert log.pack() == 0
    assert len(log.book.receipts("a")) == 10


def test_an_alert_is_never_packed(log):
    for record in READINGS[:200]:
        log.do(None, record._replace(lane=Lane.ALERT))
    log.clock.now_ms += 2_000_000
    assert log.pack() == 0


def test_what_gains_nothing_stays_as_it_is(log):
    for number in range(0, 60, 20):
        log.do(None, *bulky(60)[number : number + 20])
    log.clock.now_ms += 2_000_000
    assert log.pack() == 0
    assert log.packs() == 0


def test_z2_a_backlog_that_is_being_delivered_is_left_alone(log):
    log.take(1_000)
    packing = log.engine.packing = Packing(NUMBERS, 60.0)
    packing.reset()
    log.engine.between(log.book)
    assert not packing.under_way, "nobody knows yet if there is a link"
    packing._begun_s -= 61.0
    packing._rest_until_s = 0.0
    log.drain(max_bytes=2_000, most=1)
    log.engine.between(log.book)
    assert not packing.under_way
    packing._delivered_s.clear()
    packing._rest_until_s = 0.0
    log.engine.between(log.book)
    assert packing.under_way
    packing.close()


def test_z4_commits_go_on_while_blocks_are_packed(log, monkeypatch):
    wanted = log.take(1_000)
    held, made = threading.Event(), packing_room.pack_of
    monkeypatch.setattr(packing_room, "pack_of", lambda *given: held.wait(60) and made(*given))
    packing = log.engine.packing = Packing(NUMBERS, 60.0)
    packing.reset()
    packing._begun_s -= 61.0
    log.engine.between(log.book)
    assert packing.under_way
    more = [log.value(record) for record in READINGS[:40]]
    log.do(None, *READINGS[:40])
    assert log.packs() == 0
    held.set()
    while packing.under_way:
        log.do()
    assert log.packs() == 1
    packing.close()
    assert read(log.drain()) == [*wanted, *more]


def test_a_block_that_was_leased_meanwhile_stays(log):
    """Z2: what was read when it was pending may be leased by the time that its pack is ready."""
    wanted = log.take(1_000)
    log.engine.between(log.book)
    assert log.engine.packing.under_way
    batches = log.drain(most=1)
    assert log.packs() == 0
    assert read([*batches, *log.drain()]) == wanted


async def test_the_log_packs_beside_its_commits(tmp_path):
    """The log as the daemon runs it: its own threads, and a forecast that counts what comes in as it will be kept."""
    given = settings(tmp_path, numbers=NUMBERS, pack_after_s=0.1)
    clock = SetClock()
    async with running(SqliteLog(given, clock)) as log:
        for begun in range(0, 8_000, 40):
            await log.append(READINGS[begun : begun + 40])
        clock.ahead_ms += 2_000_000
        packing = log._writer._engine.packing
        kept_before = log.stats().bytes_used
        while packing.packed < 8_000:
            await log.append(READINGS[:1])
            await asyncio.sleep(0.01)
        assert log.stats().bytes_used < kept_before / 4
        book = log._writer.file.book
        assert book is not None
        assert 0 < book.packed_share[book.by_name["live", TOPIC].id] < 0.15
    entries = [entry for entry in LogReader(given.path).export(Selection(topic=TOPIC)) if entry.record]
    assert [entry.record.value for entry in entries[:8_000]] == [record.value for record in READINGS]
    assert {entry.state for entry in entries} == {"pending"}
