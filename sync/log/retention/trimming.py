"""Keeping the log within its bytes and days, in slices of a few milliseconds.

Settled history goes first. Nearing its bytes, old telemetry is thinned; at the bound undelivered records go, in the
order bulk, telemetry, alerts, oldest first; each such removal is an entry of the loss ledger in the same transaction
(L5). What is leased is never touched (D8).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sync.log.book import streams
from sync.log.clock import Stamp
from sync.log.disk import blocks, packed
from sync.log.disk.schema import MAX_NUMBER, PAGE_BYTES, key_of
from sync.log.leasing import damage
from sync.log.ledger import entries
from sync.log.ledger.entries import Missing
from sync.log.packs import pack as packs
from sync.log.retention import discards
from sync.log.retention.forecast import THIN_AT
from sync.values import Lane, Standing

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.book.streams import StreamState
    from sync.log.retention.thinning import Thinner

SLICE_S: Final = 0.0006
_BURST_BYTES: Final = 512 * 1024
_LEAST_BLOCKS: Final = 4
"""Removed in a slice at least, so that a slow disk cannot outrun the trimming."""
_KEEP_DEAD_LETTERS: Final = 10_000
_NEVER: Final = -(1 << 62)
_TURN: Final = {Lane.BULK: 0, Lane.BACKFILL: 1, Lane.LIVE: 1, Lane.ALERT: 2}


def bytes_used(book: Book) -> int:
    """Pages in use, in bytes; free pages inside the file do not count."""
    pages = book.connection.execute("PRAGMA page_count").fetchone()[0]
    free = book.connection.execute("PRAGMA freelist_count").fetchone()[0]
    return int(pages - free) * PAGE_BYTES


def bytes_free(book: Book) -> int:
    """Pages inside the file that the next blocks can take, in bytes."""
    return int(book.connection.execute("PRAGMA freelist_count").fetchone()[0]) * PAGE_BYTES


def trim(
    book: Book,
    max_bytes: int,
    *,
    going_on: bool,
    aging: bool,
    thinner: Thinner | None = None,
    short: bool = False,
    used: int | None = None,
) -> bool:
    """Remove what is too much or too old, for one slice of time; True where there is more to do.

    Once over the bound it goes a little below it (`going_on`), because bursts write fewer pages. What is too old goes
    only where `aging`. Where the disk is `short` of space all history goes. Nearing the bound, history makes room for
    what can be thinned, and then it is thinned. `used` is what `bytes_used` says, if that was asked already.
    """
    used = bytes_used(book) if used is None else used
    enough = max_bytes - min(_BURST_BYTES, max_bytes // 32)
    over = used > (enough if going_on else max_bytes)
    thin_at = int(max_bytes * THIN_AT)
    nearing = thinner is not None and used > thin_at and thinner.possible(book)
    if thinner is not None:
        thinner.pressing = False
    if not (over or aging or nearing or short or book.discards):
        return thinner is not None and thinner.busy
    book.refresh()
    oldest_ms = _too_old_before(book) if aging else _NEVER
    until = time.monotonic() + SLICE_S
    removed = 0
    while removed < _LEAST_BLOCKS or time.monotonic() < until:
        if discards.remove(book, _LEAST_BLOCKS):
            removed += _LEAST_BLOCKS
        elif _trim_settled(book, oldest_ms, over=over or nearing or short):
            removed += 1
        else:
            if thinner is not None:
                thinner.pressing = nearing
            if not _evict(book, oldest_ms, over=over):
                return thinner is not None and thinner.busy
            removed += 1
        used = bytes_used(book)
        over, nearing = over and used > enough, nearing and used > thin_at
    return True


def trim_dead_letters(book: Book) -> None:
    """Keep the newest dead letters, and none past the log's age."""
    newest = book.connection.execute("SELECT max(id) FROM dead_letters").fetchone()[0] or 0
    keep_from, oldest_ms = newest - _KEEP_DEAD_LETTERS + 1, _too_old_before(book)
    letters = book.connection.execute("SELECT id, at_ms, run, mono_ms, synced FROM dead_letters ORDER BY id")
    for number, *stamp in letters:
        if number >= keep_from and book.timeline.taken_ms(Stamp(*stamp)) >= oldest_ms:
            keep_from = number
            break
    cursor = book.connection.execute("DELETE FROM dead_letters WHERE id<?", (keep_from,))
    book.dead_letters -= max(cursor.rowcount, 0)


def _too_old_before(book: Book) -> int:
    """The moment of this boot's clock before which a block was taken that is too old (C4 to C6)."""
    found = book.timeline.older_than(int(book.settings.max_age_s * 1_000))
    return _NEVER if found is None else found


def _trim_settled(book: Book, oldest_ms: int, *, over: bool) -> bool:
    """Remove the oldest settled block, if it is too old or space is short."""
    candidates = []
    for state in book.streams.values():
        found = _oldest_settled(book, state.id)
        if found is not None and (over or found[1] < oldest_ms):
            candidates.append((found[1], state.id, found[0]))
    if not candidates:
        return False
    _, origin, first = min(candidates)
    book.delete(origin, first)
    return True


def _oldest_settled(book: Book, origin: int) -> tuple[int, int] | None:
    """The first number of a stream's oldest settled block, and when it was taken."""
    at = 0
    for first, last in streams.protected(book.streams, origin):
        if first > at:
            row = book.connection.execute(
                "SELECT key, at_ms, run, mono_ms, synced FROM blocks WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
                (key_of(origin, at), key_of(origin, first - 1)),
            ).fetchone()
            if row:
                return row[0] & MAX_NUMBER, book.timeline.taken_ms(Stamp(*row[1:]))
        at = max(at, last + 1)
    return None


def _evict(book: Book, oldest_ms: int, *, over: bool) -> bool:
    """Remove the oldest undelivered block of the lane whose turn it is, and write the loss down."""
    candidates = [
        (_TURN[state.lane] if over else 0, state.oldest_ms, state.id)
        for state in book.streams.values()
        if (state.pending or state.waiting) and (over or state.oldest_ms < oldest_ms)
    ]
    if not candidates:
        return False
    state = book.streams[min(candidates)[2]]
    part = state.oldest_part()
    if part is None:
        return False
    row = book.connection.execute(
        "SELECT key, records, before, checksum, substr(body, 1, ?) FROM blocks WHERE key BETWEEN ? AND ?"
        " ORDER BY key LIMIT 1",
        (packs.HEADER_BYTES, key_of(part.origin, part.first), key_of(part.origin, part.last)),
    ).fetchone()
    reason = "evicted" if over else "aged"
    if row is None:
        last = min(part.last, book.next_number - 1)
        if part.standing is not Standing.RECALLED:
            _lose(book, state, Missing(part.first, last, part.records, "corrupt"))
        book.touch(state)
        state.take(part, last, part.records)
    elif blocks.counted(*row[:4]):
        first = row[0] & MAX_NUMBER
        # Noise may say of a corrupt pack that it ends past its part.
        last = min(packed.last_number(first, row[1], row[4]), max(part.last, first + row[1] - 1))
        book.delete(part.origin, first)
        state.take(part, last, row[1])
        _lose(book, state, Missing(first, last, row[1], reason, (part.origin, row[2])))
    else:
        damage.lose(book, state, part, row[0] & MAX_NUMBER)
    streams.refresh_oldest(book.connection, state, book.timeline)
    return True


def _lose(book: Book, state: StreamState, missing: Missing) -> None:
    entries.lose(book, state, missing)
    book.touch(state)
