"""The log against a model of it, through every mixture of what is asked of it, evictions and crashes.

A crash here takes the files as they are between or within transactions and goes on from the copy; what the
power cut of a real disk adds to that is another test's. L and D rules: sync/log, docs/DELIVERY.md.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, note
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sync.log.commit.engine import Engine
from sync.log.commit.file import LogFile
from sync.log.commit.work import Append, Offer, Request, Work, carry_out
from sync.log.disk.blocks import decode
from sync.log.disk.schema import MAX_NUMBER
from sync.log.leasing import fork, leases
from sync.log.retention.packing import Packing
from sync.values import Batch, Lane, Stream
from tests.support.log import StillClock, claim, envelope, names, opened, settings, values
from tests.support.model_streams import LEASABLE, LETTERS, PACKED, STREAMS, Where

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.log.book.content import Book


class LogMachine(RuleBasedStateMachine):
    """`pending`, `waiting` and `leased` are what must be on disk now; `effects` come with the next commit.

    `since` is what came in since the log was last known to be no copy (D11).
    """

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="log-model-"))
        self.loop = asyncio.new_event_loop()
        self.clock = StillClock()
        self.runs = 0
        self.number = 0
        self.ids = 0
        self.sequences: dict[Where, tuple[int, int]] = {}
        self.sent: dict[Where, list[Batch]] = {where: [] for where in LEASABLE}
        self.marked: set[str] = set()
        self.pending: dict[Where, list[str]] = {where: [] for where in LEASABLE}
        self.waiting: dict[Where, list[str]] = {where: [] for where in LEASABLE}
        self.since: set[str] = set()
        self.leased: dict[Where, Batch] = {}
        self.done: Counter[str] = Counter()
        self.named: dict[bytes, str] = {}
        self.evicted = 0
        self.work = Work()
        self.effects: list[Callable[[], None]] = []
        self.settling: set[Where] = set()
        self.file: LogFile
        self.book: Book
        self.engine: Engine
        self._open(self.home / "0")
        self._commit()

    # What the daemon does ---------------------------------------------------------------------------------

    @rule(where=st.sampled_from(STREAMS), count=st.integers(1, 8), size=st.sampled_from([0, 40, 900]))
    def append(self, where: Where, count: int, size: int) -> None:
        lane, topic = where
        fresh = [str(self.number + i) for i in range(count)]
        self.number += count
        records = [envelope(value, lane, topic, size) for value in fresh]
        self.work.appends.append(Append(records, self.loop.create_future(), 0.0))

        def taken() -> None:
            self.pending[where].extend(fresh)
            self.since.update([] if self.book.compared else fresh)

        self.effects.append(taken)

    @rule()
    def commit(self) -> None:
        self._commit()

    @rule(where=st.sampled_from(LEASABLE), max_bytes=st.sampled_from([1, 300, 1 << 20]), offered=st.booleans())
    def lease(self, where: Where, max_bytes: int, offered: bool) -> None:  # noqa: FBT001 - as hypothesis gives it
        if where in self.leased or where in self.settling:
            return
        self._compare()
        producer, sequence = self.sequences.get(where) or self._fresh_id(where)
        wanted = claim(Stream(*where, 0), sequence, producer)
        answer: asyncio.Future[Any] = self.loop.create_future()
        if offered:
            self.work.offers.append(Offer(wanted, max_bytes, answer))
        else:
            self.work.requests.append(Request(lambda book: leases.lease(book, wanted, max_bytes), answer))
        answered = self._commit()
        batch = answered.get(id(answer))
        if batch is None:
            assert self.pending[where] == [], "something is pending, and nothing was leased"
            self.engine.standing.clear()
            return
        self._check_batch(where, batch)
        self.leased[where] = batch
        self.sequences[where] = producer, sequence + batch.count
        del self.pending[where][: batch.count]

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Takes effect with the next commit; a crash before it brings the batch back."""
        where = data.draw(st.sampled_from(sorted(set(self.leased) - self.settling) or [None]))
        if where is None:
            return
        self._compare()
        batch = self.leased[where]
        self.settling.add(where)
        self.work.requests.append(Request(lambda book: leases.settle(book, batch, 5)))

        def settled() -> None:
            del self.leased[where]
            self.settling.discard(where)
            self.done.update(values(batch))
            self.sent[where].append(batch)

        self.effects.append(settled)

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        """D4."""
        where = data.draw(st.sampled_from(sorted(set(self.leased) - self.settling) or [None]))
        if where is None:
            return
        self._compare()
        batch = self.leased.pop(where)
        self.work.requests.append(Request(lambda book: leases.cut(book, batch, "too large")))
        if batch.count == 1:
            self.effects.append(lambda: self.done.update(values(batch)))
        else:
            self.effects.append(lambda: self.pending[where].__setitem__(slice(0, 0), values(batch)))
        del self.sequences[where]
        self._commit()

    @precondition(lambda self: self.leased)
    @rule(data=st.data(), lost=st.one_of(st.none(), st.integers(0, 3)), broken_off=st.booleans())
    def again(self, data: st.DataObject, lost: int | None, broken_off: bool) -> None:  # noqa: FBT001 - as above
        """D6, and D7 where a broker lost the last so many batches of the id; or a crash ahead of its commit."""
        where = data.draw(st.sampled_from(sorted(set(self.leased) - self.settling) or [None]))
        if where is None:
            return
        self._compare()
        self._commit()
        batch, gone = self.leased[where], self.sent[where][-lost:] if lost else []
        last_sequence = None
        if lost is not None:
            last_sequence = batch.claim.base_sequence - 1 - sum(earlier.count for earlier in gone)
        answer: asyncio.Future[Any] = self.loop.create_future()
        self.work.requests.append(Request(lambda book: leases.again(book, batch, last_sequence), answer))
        if broken_off:
            self.crash(within=True)
            return
        kept = self._kept()
        back = [value for earlier in gone for value in values(earlier) if value in kept]
        told = self.engine.figures.stats.lost.get("upstream", 0)
        del self.leased[where], self.sequences[where]
        self.done.subtract(back)
        self.pending[where] = sorted([*back, *values(batch), *self.pending[where]], key=int)
        self.marked.update([*back, *values(batch)])
        assert self._commit()[id(answer)] == len(back) + batch.count
        missing = sum(earlier.count for earlier in gone) - len(back)
        assert self.engine.figures.stats.lost.get("upstream", 0) - told == missing, (
            "what is here no more is lost (L5)"
        )

    @rule()
    def hand_over(self) -> None:
        self._commit()
        self.clock.now_ms += 100
        self.work.requests.append(Request(lambda book: leases.hand_to_backfill(book, 0.05)))
        before = {where: self._on_disk(where) for where in LEASABLE}
        self._commit()
        for topic in ("data", "events"):
            live, backfill = (Lane.LIVE, topic), (Lane.BACKFILL, topic)
            moved = [value for value in before[live] if value not in set(self._on_disk(live))]
            # Only the halves of refused batches stay ahead in `live`.
            assert sorted(self._on_disk(backfill)) == sorted([*before[backfill], *moved])
            self.pending[live] = [value for value in self.pending[live] if value not in set(moved)]
            self.pending[backfill] = sorted([*self.pending[backfill], *moved], key=int)

    @rule(by_ms=st.sampled_from([365 * 86_400_000, -365 * 86_400_000, 3_000, -1_900_000_000_000]))
    def set_clock(self, by_ms: int) -> None:
        """The wall clock is set, far or near; or set right. Nothing is aged, handed over or reordered by it (C4)."""
        self.clock.set_by_ms = 0 if self.clock.set_by_ms else by_ms

    @rule()
    def lose_or_find_time(self) -> None:
        self.clock.trusted = not self.clock.trusted

    @rule(where=st.sampled_from(STREAMS[1:]), fresh=st.integers(0, 4), done=st.booleans())
    def pack(self, where: Where, fresh: int, done: bool) -> None:  # noqa: FBT001 - as hypothesis gives it
        """Z1, Z2: what is old, and so many fresh blocks, is packed, now or after whatever comes next."""
        for _ in range(fresh):
            self.append(where, 3, 40)
            self._commit()
        self._commit()
        self.engine.packing.reset()
        self.engine.between(self.book)
        if done:
            self._commit()

    @rule()
    def evict(self) -> None:
        """L5, D8."""
        self._commit()
        before = {where: self._on_disk(where) for where in LEASABLE}
        letters = sum(len(self._on_disk(where)) for where in LETTERS)
        events = self._events_lost()
        self.engine.max_bytes = 0
        self._commit(check=False)
        self.engine.max_bytes = 1 << 30
        gone = letters - sum(len(self._on_disk(where)) for where in LETTERS) + self._events_lost() - events
        for where in LEASABLE:
            after = self._on_disk(where)
            assert after == before[where][len(before[where]) - len(after) :], "not the oldest went"
            gone += len(before[where]) - len(after)
            self.done.update(before[where][: len(before[where]) - len(after)])
            self.pending[where] = self._on_disk(where, waits=False)
            self.waiting[where] = self._on_disk(where, waits=True)
        assert self.engine.figures.stats.lost.get("evicted", 0) - self.evicted == gone
        self.evicted += gone
        if gone and len(self._on_disk((Lane.ALERT, "alerts"))) < len(before[Lane.ALERT, "alerts"]):
            assert not any(self._on_disk(where) for where in LEASABLE if where[0] is not Lane.ALERT)

    # What happens to it -----------------------------------------------------------------------------------

    @rule(within=st.booleans())
    def crash(self, within: bool) -> None:  # noqa: FBT001 - as hypothesis gives it
        """What was not committed is gone; everything else is there (L1)."""
        if within:
            self.book.begin()
            carry_out(self.book, self.work, self.engine.standing)
            self.engine.packing.apply(self.book)
        self._copy_and_open(clean=False)

    @rule()
    def restart(self) -> None:
        self._commit()
        self._copy_and_open(clean=True)

    # What must always hold --------------------------------------------------------------------------------

    @invariant()
    def disk_and_model_agree(self) -> None:
        """L3, L4: each committed record is in one place, in order; figures say the same."""
        for where in LEASABLE:
            assert self._on_disk(where, waits=False) == self.pending[where], where
            assert self._on_disk(where, waits=True) == self.waiting[where], where
        described = {(found.lane, found.topic): found for found in self.engine.figures.streams}
        for where, expected in self.pending.items():
            found = described.get(where)
            assert (found.records if found else 0) == len(expected)
            assert (found.unsettled if found else False) == (where in self.leased)
        places = Counter(value for pending in self.pending.values() for value in pending)
        places.update(value for waiting in self.waiting.values() for value in waiting)
        places.update(value for batch in self.leased.values() for value in values(batch))
        places.update(self.done)
        assert all(count == 1 for count in places.values())

    def teardown(self) -> None:
        self.file.close(clean=False)
        self.loop.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def _open(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.file = LogFile(settings(folder), self.clock)
        self.book = self.file.open()
        self.engine = Engine(1 << 30, packing=Packing(PACKED, 0.0, threads=False, wait_ms=0, gain=100.0))
        self.engine.opened(self.book)
        self.evicted = 0
        for topic in ("alerts", "data", "events", "pictures"):
            self.work.requests.append(Request(lambda book, topic=topic: book.assign_partition(topic, 1)))

    def _copy_and_open(self, *, clean: bool) -> None:
        self.runs += 1
        folder = self.home / str(self.runs)
        folder.mkdir()
        if clean:
            self.file.close(clean=True)
        for file in (self.home / str(self.runs - 1)).iterdir():
            # The shared memory of the WAL does not outlive a machine.
            if not file.name.endswith(("-shm", ".ballast")):
                shutil.copy(file, folder)
        if not clean:
            if self.book.connection.in_transaction:
                self.book.connection.execute("ROLLBACK")
            self.file.close(clean=False)
        self.work, self.effects, self.settling = Work(), [], set()
        self._open(folder)
        note(f"run {self.book.names.run}")
        found = {(batch.claim.stream.lane, batch.claim.stream.topic): batch for batch in leases.unsettled(self.book)}
        assert found.keys() == self.leased.keys()
        for where, batch in found.items():
            # D2: the very same batch.
            kept = self.leased[where]
            assert (batch.claim.producer, batch.claim.base_sequence) == (
                kept.claim.producer,
                kept.claim.base_sequence,
            )
            assert (batch.first, batch.last, names(batch)) == (kept.first, kept.last, names(kept))
            assert batch.body == kept.body, "D8: what is leased is not encoded anew"
            assert batch.attempted
        self._commit()

    def _commit(self, *, check: bool = True) -> dict[int, Any]:
        work, self.work = self.work, Work()
        effects, self.effects = self.effects, []
        answers = self.engine.transact(self.book, work)
        self.file.committed()
        for effect in effects:
            effect()
        if check:
            self.disk_and_model_agree_but_for_a_lease(answers)
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return {id(answer.done): answer.value for answer in answers}

    def disk_and_model_agree_but_for_a_lease(self, answers: list[Any]) -> None:
        """Nothing outside what was asked for changed."""
        taken = sum(answer.value.count for answer in answers if isinstance(answer.value, Batch))
        depth = sum(len(values) for values in (*self.pending.values(), *self.waiting.values()))
        on_disk = sum(len(self._on_disk(where)) for where in LEASABLE)
        assert on_disk == depth - taken

    def _check_batch(self, where: Where, batch: Batch) -> None:
        found = values(batch)
        assert found == self.pending[where][: batch.count]
        for name, value in zip(names(batch), found, strict=True):
            # D10: a name belongs to one record for ever.
            assert self.named.setdefault(name, value) == value
        repeated = {value.rstrip(".") for value, headers in opened(batch) if "possibly_repeated" in headers}
        assert repeated == self.marked & set(found)

    def _fresh_id(self, where: Where) -> tuple[int, int]:
        """D9. What went under the id before is never asked for again."""
        self.ids += 1
        self.sent[where] = []
        return self.ids, 0

    def _kept(self) -> set[str]:
        """All that the file still holds, delivered or not."""
        return {value for origin in self.book.streams for value in self._decoded(origin, 0, MAX_NUMBER)}

    def _on_disk(self, where: Where, *, waits: bool | None = None) -> list[str]:
        """What the file holds pending for a stream, waits for a decision or (None) both, read block by block."""
        state = self.book.by_name.get((where[0].value, where[1]))
        return [
            value
            for part in (state.parts if state else [])
            if waits in {None, part.standing.waits}
            for value in self._decoded(part.origin, part.first, part.last)
        ]

    def _compare(self) -> None:
        """Before anything is sent the log is known to be no copy, or is forked (D11)."""
        if not self.book.compared:
            self.work.requests.append(Request(fork.compared))
            self._commit()
            self.since.clear()

    def _events_lost(self) -> int:
        """What told of losses can itself be lost; when it is told is a matter of the clock."""
        found = self.book.connection.execute("SELECT total(records) FROM ledger WHERE topic='system-events'")
        return int(found.fetchone()[0])

    def _decoded(self, origin: int, first: int, last: int) -> list[str]:
        found: list[str] = []
        for block, _, intact in self.book.rows(origin, first, last):
            assert intact
            found += [(record.value or b"").decode().rstrip(".") for record in decode(block.body, block.records)]
        return found


LogMachine.TestCase.settings = examples(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLog = LogMachine.TestCase
