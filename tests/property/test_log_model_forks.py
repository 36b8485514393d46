"""The log against its model through forks: copies of copies, decided upon or not, and all else (D10, D11).

What a record is to be called is kept as the rule has it: by the id that the log had when it came in, or by the next
one if it came in since the log was last known to be no copy. Nothing else ever changes a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import rule

from sync.log.commit.work import Request
from sync.log.disk.blocks import decode
from sync.log.disk.schema import MAX_NUMBER
from sync.log.inspect.undelivered import undelivered
from sync.log.leasing import fork, leases
from sync.values import Batch, Standing, Stream
from tests.property.test_log_model import LogMachine
from tests.support.log import claim, names, values
from tests.support.model_streams import LEASABLE, Where

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from sync.log.book.content import Book


class ForkedLogMachine(LogMachine):
    """`called` says by which log id a record leaves, where that is not the present one."""

    def __init__(self) -> None:
        self.called: dict[str, str] = {}
        super().__init__()

    @rule(standing=st.sampled_from([Standing.WAITS, Standing.MARKED]), broken_off=st.booleans())
    def turn_out_to_be_a_copy(self, standing: Standing, broken_off: bool) -> None:  # noqa: FBT001 - as hypothesis gives it
        """D11; or a kill ahead of its commit."""
        self._commit()
        if broken_off:
            self.work.requests.append(Request(lambda book: fork.fork(book, standing)))
            self.crash(within=True)
            return
        old_id = self.book.names.log_id
        since, unsettled = set(self.since), sum(batch.count for batch in self.leased.values())
        older = [len({*self.pending[where], *self.waiting[where]} - since) for where in LEASABLE]

        def forked() -> None:
            for where, batch in self.leased.items():
                self.pending[where] = sorted([*values(batch), *self.pending[where]], key=int)
            self.leased.clear()
            for where in LEASABLE:
                stays = [value for value in self.pending[where] if value in since]
                sent = [value for value in self.pending[where] if value not in since]
                for value in (*sent, *self.waiting[where]):
                    self.called.setdefault(value, old_id)
                if standing is Standing.MARKED:
                    self.marked.update(sent)
                else:
                    self.pending[where] = stays
                    self.waiting[where] = sorted([*sent, *self.waiting[where]], key=int)
            self.since.clear()
            self.sequences.clear()

        told = self._other_records()
        assert self._ask(lambda book: fork.fork(book, standing), forked) - told == sum(older) + unsettled
        assert self.book.names.log_id != old_id

    @rule(where=st.sampled_from(LEASABLE), max_bytes=st.sampled_from([1, 300, 1 << 20]))
    def lease_broken_off(self, where: Where, max_bytes: int) -> None:
        """A kill ahead of a lease's commit, which renames what it takes."""
        if where in self.leased:
            return
        self._compare()
        wanted = claim(Stream(*where, 0), 0, 999)
        self.work.requests.append(Request(lambda book: leases.lease(book, wanted, max_bytes)))
        self.crash(within=True)

    @rule()
    def adopt(self) -> None:
        waiting = {where: list(found) for where, found in self.waiting.items()}

        def adopted() -> None:
            for where, found in waiting.items():
                self.pending[where] = sorted([*self.pending[where], *found], key=int)
                self.waiting[where] = []
                self.marked.update(found)

        assert self._ask(fork.adopt, adopted) >= sum(map(len, waiting.values()))

    @rule()
    def discard(self) -> None:
        """L5, L10: each is told by the name that it would have left under."""
        numbers = self._numbers()

        def discarded() -> None:
            for where in LEASABLE:
                self.done.update(self.waiting[where])
                self.waiting[where] = []

        gone = [value for waiting in self.waiting.values() for value in waiting]
        self._ask(fork.discard, discarded)
        told = self.book.connection.execute(
            "SELECT log_id, first, last FROM ledger WHERE reason='discarded' AND first IS NOT NULL"
        ).fetchall()
        for value in gone:
            of_its_id = [(first, last) for log_id, first, last in told if log_id == self._id_of(value)]
            assert any(first <= numbers[value] <= last for first, last in of_its_id), f"{value} in {told}"

    @rule()
    def audit(self) -> None:
        """An audit of the file finds each record by the name that it leaves under."""
        self._commit()
        numbers = self._numbers()
        for found in undelivered(self.book.connection):
            for number, record in enumerate(found.records, found.first):
                value = (record.value or b"").decode().rstrip(".")
                if value.isdigit():
                    assert (found.log_id, number) == (self._id_of(value), numbers[value])

    def _check_batch(self, where: Where, batch: Batch) -> None:
        super()._check_batch(where, batch)
        numbers = self._numbers()
        for name, value in zip(names(batch), values(batch), strict=True):
            log_id = self._id_of(value)
            assert name.decode() == f"/gateways/gw-1/logs/{log_id}#{log_id}-{numbers[value]}"

    def _id_of(self, value: str) -> str:
        return self.called.get(value, self.book.names.log_id)

    def _numbers(self) -> dict[str, int]:
        """The numbers of the records that the file still holds, by where they lie."""
        return {
            (record.value or b"").decode().rstrip("."): number
            for origin in self.book.streams
            for block, _, _ in self.book.rows(origin, 0, MAX_NUMBER)
            for number, record in enumerate(decode(block.body, block.records), block.first)
        }

    def _other_records(self) -> int:
        """What the log itself told before it was last known to be no copy."""
        border = self.book.next_number if self.book.lineage.unsent_from is None else self.book.lineage.unsent_from
        return sum(
            block.records
            for where, state in self.book.by_name.items()
            if where not in {(lane.value, topic) for lane, topic in LEASABLE}
            for part in state.parts
            for block, _, _ in self.book.rows(part.origin, part.first, part.last)
            if block.first < border
        )

    def _ask(self, act: Callable[[Book], Any], effect: Callable[[], None]) -> Any:
        """`effect` is what it does to the model, with whatever waits for the next commit."""
        self._commit()
        done: asyncio.Future[Any] = self.loop.create_future()
        self.work.requests.append(Request(act, done))
        self.effects.append(effect)
        return self._commit()[id(done)]


ForkedLogMachine.TestCase.settings = examples(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestForkedLog = ForkedLogMachine.TestCase
