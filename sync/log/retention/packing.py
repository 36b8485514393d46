"""Old blocks are packed beside the commits: as columns they take a tenth of the space.

- Z1  A pack takes the place of blocks only if unpacking gives their records back, byte by byte, and in the
      transaction that removes them.
- Z2  Packed is what was taken longer ago than `pack_after_s`: history; and what is pending, while nothing of its
      stream is delivered. Never lane `alert`, never what is leased.
- Z3  A pack holds blocks side by side of one run, of one trust in the clock and of one part of what is pending,
      delivered or leased; so whatever is counted by whole blocks is counted as before.
- Z4  Packing delays no commit: blocks are looked at in slices between commits, and packed on a thread of its own,
      which rests for as long as it worked; for history, 20 times as long.

A block that carries receipts waits until they are no longer among the newest. What gains little stays as it is.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from sync.log.book import numbers, receipts
from sync.log.clock import Stamp
from sync.log.disk import blocks, packed
from sync.log.disk.blocks import Block
from sync.log.disk.schema import MAX_NUMBER, key_of
from sync.log.packs import pack as packs
from sync.log.retention.parts import Kind, Parts, parts_of
from sync.values import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sync.log.book.content import Book
    from sync.log.book.streams import StreamState

log = logging.getLogger("tidegate.log")

SLICE_S: Final = 0.002
SPAN_MS: Final = 900_000
"""So much time a pack holds at most: it ages, and is removed, as a whole."""
_MOST_BLOCKS: Final = 1_000
"""In one pack: they are removed in one commit."""
_LEAST_ROWS: Final = 200
"""Looked at in a slice at least, so that a slow machine gets on too."""
_REST: Final = 1.0
_REST_FOR_HISTORY: Final = 20.0
_AGAIN_S: Final = 600.0
"""From the beginning on it is looked again so much later: blocks come back where a link is bad, or a clock is set."""
_LOOK_S: Final = 1.0


class _Row(NamedTuple):
    """What is looked at of a block, without its body."""

    number: int
    records: int
    before: int
    checksum: int
    taken: Stamp
    carries: bool
    packed: bool
    last: int


@dataclass(slots=True)
class _Group:
    """Blocks of a stream that one pack is to replace."""

    origin: int
    rows: list[_Row]
    pending: bool
    body: Future[bytes | None] | None = None
    body_bytes: int = 0
    records: int = 0
    took_s: float = 0.0


@dataclass(slots=True)
class Packing:
    """On the writer's thread. `topics` says what stands before the number in a topic's bodies.

    With `threads` unset it packs at once: for tests. Blocks that do not make a whole pack wait for others for
    `wait_ms`. A pack must be smaller than the share `gain` of the blocks that it replaces.
    """

    topics: Mapping[str, bytes]
    after_s: float | None
    threads: bool = True
    wait_ms: int = SPAN_MS
    gain: float = 0.7
    packed: int = 0
    _group: _Group | None = None
    _applied: _Group | None = None
    _at: dict[int, int] = field(default_factory=dict)
    _rest_until_s: float = 0.0
    _look_again_s: float = 0.0
    _begun_s: float = 0.0
    _delivered_s: dict[int, float] = field(default_factory=dict)
    _thread: ThreadPoolExecutor | None = None

    def reset(self) -> None:
        """Another file is open."""
        self._group = self._applied = None
        self._at.clear()
        self._delivered_s.clear()
        self._begun_s = time.monotonic()
        self._look_again_s = self._begun_s + _AGAIN_S

    @property
    def under_way(self) -> bool:
        """Whether the next commit may have a pack to write."""
        return self._group is not None

    def look(self, book: Book) -> None:
        """After a commit: which streams were delivered from."""
        if self.after_s is not None and any(book.delivered.values()):
            now_s = time.monotonic()
            for state in book.streams.values():
                if book.delivered.get(state.lane):
                    self._delivered_s[state.id] = now_s

    def prepare(self, book: Book) -> None:
        """Look for blocks to pack, for one slice of time, between commits.

        Raises:
            sqlite3.Error: as the disk or the file has it.
        """
        now_s = time.monotonic()
        if self.after_s is None or self._group is not None or (self.threads and now_s < self._rest_until_s):
            return
        if now_s >= self._look_again_s:
            self._at.clear()
            self._look_again_s = now_s + _AGAIN_S
        until_s = now_s + SLICE_S
        for state in book.streams.values():
            if state.lane is Lane.ALERT or state.topic not in self.topics:
                continue
            self._group = self._next(book, state, until_s)
            if self._group is not None:
                self._begin(book, state, self._group)
                return
        if self.threads:
            self._rest_until_s = now_s + _LOOK_S

    def apply(self, book: Book) -> None:
        """In a transaction: put a pack that is ready in the place of its blocks. `keep` follows the commit."""
        self._applied = None
        group = self._group
        if group is None or group.body is None or not group.body.done():
            return
        self._group = None
        body = group.body.result()
        self._rest_until_s = time.monotonic() + group.took_s * (_REST if group.pending else _REST_FOR_HISTORY)
        first, last = group.rows[0], group.rows[-1]
        if body is None or len(body) > self.gain * group.body_bytes:
            self._at[group.origin] = last.last + 1
            return
        if not self._stands(book, group):
            return
        book.pack(group.origin, [row.number for row in group.rows], Block(first.number, group.records, body))
        book.packed_share[group.origin] = len(body) / group.body_bytes
        self._applied = group

    def keep(self) -> None:
        """What was applied is on disk."""
        if self._applied is not None:
            self._at[self._applied.origin] = self._applied.rows[-1].last + 1
            self.packed += self._applied.records
            self._applied = None

    def close(self) -> None:
        """End the thread, once it has done what it does."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    # Looking ---------------------------------------------------------------------------------------------

    def _next(self, book: Book, state: StreamState, until_s: float) -> _Group | None:
        """The next blocks of a stream that make a whole pack, or all that ever will."""
        after_ms = int((self.after_s or 0.0) * 1_000)
        old_ms = book.timeline.now.mono_ms - after_ms
        parts = parts_of(book, state.id)
        carrying = receipts.oldest_number(book.connection, state.id)
        rows: list[_Row] = []
        for looked_at, row in enumerate(_rows(book, state.id, self._at.get(state.id, 0))):
            if looked_at >= _LEAST_ROWS and not rows and time.monotonic() >= until_s:
                break
            young = book.timeline.taken_ms(row.taken) > old_ms or (row.carries and row.number >= carrying)
            if young:
                break
            kind = parts.at(row.number)[1]
            if rows and not self._together(book, rows, row, parts):
                if len(rows) > 1:
                    return self._group_of(state.id, rows, parts)
                rows = []
            if row.packed or kind == Kind.KEPT:
                self._at[state.id] = row.last + 1
                continue
            if kind == Kind.PENDING and self._delivers(book, row.number, state.id):
                # What it is going to be packed as, is known once it has left.
                return None
            if not rows:
                self._at[state.id] = row.number
            rows.append(row)
        # More of the same may come, but not for ever.
        waited_ms = old_ms - book.timeline.taken_ms(rows[0].taken) if rows else -1
        return self._group_of(state.id, rows, parts) if waited_ms >= self.wait_ms else None

    @staticmethod
    def _group_of(origin: int, rows: list[_Row], parts: Parts) -> _Group | None:
        if len(rows) < 2:
            return None
        return _Group(origin, rows, parts.at(rows[0].number)[1] == Kind.PENDING)

    def _together(self, book: Book, rows: list[_Row], row: _Row, parts: Parts) -> bool:
        first = rows[0]
        return (
            not row.packed
            and len(rows) < _MOST_BLOCKS
            and row.before + row.records - first.before <= packs.MOST_RECORDS
            and abs(row.taken.at_ms - first.taken.at_ms) <= SPAN_MS
            and row.taken.run == first.taken.run
            and row.taken.beside(first.taken)
            and row.before == rows[-1].before + rows[-1].records
            and row.number > rows[-1].last
            and parts.at(row.number)[0] == parts.at(first.number)[0]
            and book.log_id_of(first.number) == book.log_id_of(row.last)
            and book.lineage.together(first.number, row.last)
            and (not book.spanned or numbers.side_by_side(book, first.number, row.last))
        )

    def _delivers(self, book: Book, number: int, origin: int) -> bool:
        """Whether what is pending there is being delivered, or may be about to."""
        now_s = time.monotonic()
        for state in book.streams.values():
            holds = (origin == state.id and number >= state.head) or any(
                part.origin == origin and part.first <= number <= part.last for part in state.ranges
            )
            if holds:
                since_s = self._delivered_s.get(state.id, self._begun_s)
                return self.threads and now_s - since_s < (self.after_s or 0.0)
        return False

    # Packing ---------------------------------------------------------------------------------------------

    def _begin(self, book: Book, state: StreamState, group: _Group) -> None:
        """Read the blocks, and have them packed."""
        first, last = group.rows[0], group.rows[-1]
        found = book.rows(group.origin, first.number, last.number)
        whole = [block for block, _, intact in found if intact]
        if [block.first for block in whole] != [row.number for row in group.rows]:
            # One is damaged: it is found when it is leased, and what is beside it stays as it is.
            self._group = None
            self._at[group.origin] = last.last + 1
            return
        group.body_bytes = sum(len(block.body) for block in whole)
        group.records = sum(block.records for block in whole)
        before_number = self.topics[state.topic]

        def work() -> bytes | None:
            began_s = time.thread_time()
            try:
                return pack_of(whole, before_number)
            except Exception:
                # Whatever is odd about a body, its blocks stay; and nothing may end the writer (L9).
                log.exception("records %d to %d cannot be packed", first.number, last.last)
                return None
            finally:
                group.took_s = time.thread_time() - began_s

        group.body = self._run(work)

    def _run(self, work: Callable[[], bytes | None]) -> Future[bytes | None]:
        if not self.threads:
            done: Future[bytes | None] = Future()
            done.set_result(work())
            return done
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "tidegate-packing")
        return self._thread.submit(work)

    def _stands(self, book: Book, group: _Group) -> bool:
        """Whether the blocks are as they were read, and still of one part that may be packed."""
        first, last = group.rows[0].number, group.rows[-1].number
        found = book.connection.execute(
            "SELECT key & ?, checksum FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key",
            (MAX_NUMBER, key_of(group.origin, first), key_of(group.origin, last)),
        ).fetchall()
        parts = parts_of(book, group.origin)
        place, kind = parts.at(first)
        same = found == [(row.number, row.checksum) for row in group.rows]
        return same and kind != Kind.KEPT and parts.at(last)[0] == place


def pack_of(whole: list[Block], before_number: bytes) -> bytes | None:
    """Blocks that lie side by side as one body; None if they would not come back the same (Z1)."""
    section = blocks.joined((block.records, block.body) for block in whole)
    runs: list[packs.Run] = []
    end = whole[0].first
    for block in whole:
        later_ms = 0 if block.taken is None or whole[0].taken is None else block.taken.at_ms - whole[0].taken.at_ms
        if block.first > end:
            runs[-1] = runs[-1]._replace(gap=block.first - end)
        runs.append(packs.Run(block.records, 0, later_ms))
        end = block.last + 1
    return packs.pack(section, runs, before_number)


def _rows(book: Book, origin: int, number: int) -> Iterator[_Row]:
    for key, records, before, checksum, beginning, carries, *stamp in book.connection.execute(
        "SELECT key, records, before, checksum, substr(body, 1, ?), receipts IS NOT NULL, at_ms, run, mono_ms, synced"
        " FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key",
        (packs.HEADER_BYTES, key_of(origin, number), key_of(origin, MAX_NUMBER)),
    ):
        first = key & MAX_NUMBER
        sound = blocks.counted(key, records, before, checksum) and isinstance(beginning, bytes)
        if not sound or not all(isinstance(value, int) for value in stamp):
            return  # corrupt: it is found when it is leased
        last = packed.last_number(first, records, beginning)
        yield _Row(first, records, before, checksum, Stamp(*stamp), bool(carries), packs.is_pack(beginning), last)
