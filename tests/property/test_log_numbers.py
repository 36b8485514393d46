"""Every number of a log, through any mixture of appends, deliveries, thinning, evictions, stalls, damage and crashes.

The account is kept by a reader of what was delivered, who knows nothing of the log (tests/support/days.py). L10.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from agent.events import Encoder, Minutes
from drivers import Reading
from sync.log.commit.engine import Engine
from sync.log.commit.file import LogFile
from sync.log.commit.work import Append, Request, Work
from sync.log.leasing import leases
from sync.values import Batch, Envelope, Lane, Stream
from tests.support.days import Centre, MovedClock
from tests.support.log import bulky, claim, settings

_TOPICS = ("sensor-data", "system-events", "pictures")


class NumbersMachine(RuleBasedStateMachine):
    """Crashes close the file without a word; what was committed is on it."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="log-numbers-"))
        self.loop = asyncio.new_event_loop()
        self.clock = MovedClock()
        self.few = mock.patch("sync.log.book.content.RESERVE", 64)
        self.few.start()
        self.given = settings(self.home, fold=Minutes())
        self.file = LogFile(self.given, self.clock)
        self.sequence = 0
        self.batches: dict[tuple[Lane, str], Batch] = {}
        self._open()
        self.centre = Centre(self.book.names.log_id)

    @rule(count=st.integers(1, 30), sensors=st.integers(1, 3), forward_s=st.integers(1, 90))
    def readings(self, count: int, sensors: int, forward_s: int) -> None:
        self.clock.at += timedelta(seconds=forward_s)
        encoder = Encoder("gw-1", "site-a")
        readings = (
            Reading(f"s{index % sensors}", "t", float(index), "degC", "tank", "site", self.clock.at, False, 0)
            for index in range(count)
        )
        self._append(encoder.readings(readings))

    @rule(count=st.integers(1, 5))
    def pictures(self, count: int) -> None:
        self._append(bulky(count, Lane.BULK, "pictures"))

    @rule(lane=st.sampled_from([Lane.ALERT, Lane.LIVE, Lane.BACKFILL, Lane.BULK]), topic=st.sampled_from(_TOPICS))
    def lease(self, lane: Lane, topic: str) -> None:
        if (lane, topic) in self.batches:
            return
        self.sequence += 1_000
        wanted = claim(Stream(lane, topic, 0), self.sequence)
        done = self.loop.create_future()
        answers = self._commit(Work([], [Request(lambda book: leases.lease(book, wanted, 2_000), done)]))
        if answers and answers[0].value is not None:
            self.batches[lane, topic] = answers[0].value

    @rule()
    def settle(self) -> None:
        batches, self.batches = self.batches, {}
        for batch in batches.values():
            self.centre.take(batch)
            self._commit(Work([], [Request(lambda book, batch=batch: leases.settle(book, batch, 0))]))

    @rule()
    def hand_over(self) -> None:
        self._commit(Work([], [Request(lambda book: leases.hand_to_backfill(book, 1.0))]))

    @rule(bound=st.sampled_from([0, 20_000, 60_000]))
    def evict(self, bound: int) -> None:
        """Thinned first where there is something to thin."""
        self.engine.max_bytes = bound
        for _ in range(4):
            self._commit(Work())
        self.engine.max_bytes = 1 << 30

    @rule()
    def thin(self) -> None:
        done = self.loop.create_future()
        self.engine.thinner.wish(0, done)
        for _ in range(8):
            for answer in self._commit(Work()):
                if not answer.done.done():
                    answer.done.set_result(answer.value)
        done.cancel()

    @rule(count=st.integers(1, 9))
    def stall(self, count: int) -> None:
        self._commit(Work(stalled=Counter({(Lane.LIVE, "sensor-data"): count})))

    @rule(which=st.integers(0, 1_000))
    def damage(self, which: int) -> None:
        """A bit of a block that is neither leased nor discarded."""
        leased = [state.lease for state in self.book.streams.values() if state.lease]
        keys = [key for (key,) in self.book.connection.execute("SELECT key FROM blocks ORDER BY key")]
        keys = [
            key for key in keys if not any(lease.first <= key & ((1 << 48) - 1) <= lease.last for lease in leased)
        ]
        if keys:
            key = keys[which % len(keys)]
            self.book.connection.execute("UPDATE blocks SET checksum=checksum+1 WHERE key=?", (key,))

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:  # noqa: FBT001 - as hypothesis gives it
        self.file.close(clean=clean)
        self._open()

    def teardown(self) -> None:
        try:
            for _ in range(3):
                self.clock.at += timedelta(hours=1)
                self._commit(Work())
                self.settle()
                for state in list(self.book.streams.values()):
                    while state.lane and self._drained(state.lane, state.topic):
                        self.settle()
            assert set(self.centre.numbers.values()) <= {1}
            assert self.centre.unexplained(self.book.next_number - 1) == []
        finally:
            self.file.close(clean=False)
            self.few.stop()
            self.loop.close()
            shutil.rmtree(self.home, ignore_errors=True)

    def _drained(self, lane: Lane, topic: str) -> bool:
        self.lease(lane, topic)
        return (lane, topic) in self.batches

    def _open(self) -> None:
        self.book = self.file.open()
        self.engine = Engine(1 << 30, self.given.fold)
        self.engine.opened(self.book)
        for topic in _TOPICS:
            self._commit(Work([], [Request(lambda book, topic=topic: book.assign_partition(topic, 1))]))

    def _append(self, records: list[Envelope]) -> None:
        self._commit(Work([Append(records, self.loop.create_future(), 0.0)]))

    def _commit(self, work: Work) -> list:
        answers = self.engine.transact(self.book, work)
        self.engine.between(self.book)
        return answers


NumbersMachine.TestCase.settings = examples(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestNumbers = NumbersMachine.TestCase
