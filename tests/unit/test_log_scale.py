"""What does not grow with the log: counted in steps of SQLite's own machine, not in time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sync.log import MemoryLog
from sync.log.book.losses import count_dead_letters
from sync.log.retention.trimming import trim_dead_letters
from tests.support.log import LIVE, claim, envelopes, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sync.log.book.content import Book

_EVERY = 20


@contextmanager
def steps(book: Book, taken: list[int]) -> Iterator[None]:
    """Note how far SQLite's machine goes in the block."""
    taken.append(0)

    def count() -> int:
        taken[-1] += _EVERY
        return 0

    book.connection.set_progress_handler(count, _EVERY)
    try:
        yield
    finally:
        book.connection.set_progress_handler(None, 0)


def bury(book: Book, count: int) -> None:
    book.connection.executemany(
        "INSERT INTO dead_letters(at_ms, lane, topic, number, reason, body) VALUES(1,'live','t',?,'x',x'00')",
        [(number,) for number in range(count)],
    )


async def test_what_lies_behind_a_damaged_block_is_counted_without_being_read() -> None:
    taken: list[int] = []
    for count in (30, 3_000):
        log = MemoryLog()
        await log.assign_partition("sensor-data", 1)
        for number in range(count):
            await log.append(envelopes(number, -number))
        log._book.connection.execute("UPDATE blocks SET checksum=checksum+1 WHERE key=(SELECT min(key) FROM blocks)")
        with steps(log._book, taken):
            batch = await log.lease(claim(LIVE), 1)
        assert batch is not None
        assert values(batch)[0] == "1"
        assert log.stats().lost == {"corrupt": 2}
    assert taken[1] < 2 * taken[0]


def test_dead_letters_are_counted_right_from_none_to_some_after_the_oldest_went() -> None:
    book = MemoryLog()._book
    assert count_dead_letters(book.connection) == 0
    bury(book, 10_050)
    book.load()
    trim_dead_letters(book)
    assert book.dead_letters == count_dead_letters(book.connection)
    assert (book.dead_letters,) == book.connection.execute("SELECT count(*) FROM dead_letters").fetchone()
