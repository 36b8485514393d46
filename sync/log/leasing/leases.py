"""Leasing, settling, cutting and handing over: what the shipper asks of the log, in one transaction each (D1-D4)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sync.log.book.rows import first_since
from sync.log.book.streams import Lease, Range, StreamState
from sync.log.disk import blocks, packed
from sync.log.leasing import damage, fork, restamp, sent
from sync.log.ledger import entries
from sync.log.ledger.entries import Missing
from sync.log.packs import pack as packs
from sync.values import Lane, Standing

if TYPE_CHECKING:
    from sync.log.book.content import Book
    from sync.log.disk.blocks import Block
    from sync.values import Batch, Claim

_JOIN_BELOW_RECORDS: Final = 1_000
"""Larger blocks go as they are, encoded once."""
_JOIN_RECORDS: Final = 8_000
"""Joining holds up the writer for about 1.5 microseconds a record."""


def lease(book: Book, claim: Claim, max_bytes: int) -> Batch | None:
    """Lease the oldest pending blocks of the claim's stream (D1), intact ones only (L6).

    Raises:
        ValueError: another batch of the stream is unsettled (L4), or the partition is not the one assigned.
    """
    stream = claim.stream
    state = book.by_name.get((stream.lane.value, stream.topic))
    if state is None:
        return None
    release(book, state)
    if state.lease is not None:
        if state.lease.producer != claim.producer or state.lease.base_sequence != claim.base_sequence:
            raise ValueError(f"another batch of {stream.lane}/{stream.topic} is unsettled")
        again = leased_batch(book, state)
        if again is not None:
            return again
    if book.partitions.get(stream.topic) != stream.partition:
        raise ValueError(f"{stream.topic} goes to partition {book.partitions.get(stream.topic)}, not there")
    while (part := state.next_part()) is not None:
        found = _gather(book, state, part, max_bytes)
        if not found:
            continue
        first, at_ms = found[0]
        body = _first_body(book, state, part, first, max_bytes)
        if body is None:
            continue
        if part.standing.renamed or part.standing.marked:
            found = [(_as_it_leaves(book, part, state.topic, block), at_ms) for block, at_ms in found]
        found = restamp.correct(book, part.origin, state.topic, found)
        count = sum(block.records for block, _ in found)
        last = found[-1][0].last
        state.take(part, last, count)
        sent.begin(state, claim.producer)
        acked = max(other.acked for other in book.streams.values() if other.topic == state.topic)
        state.lease = Lease(
            part.origin,
            first.first,
            last,
            count,
            at_ms,
            claim.producer,
            claim.base_sequence,
            stream.partition,
            acked if acked >= 0 else max(claim.log_end, 0) - 1,
            book.timeline.now,
        )
        book.touch(state)
        return state.batch(_body(book, [block for block, _ in found], body), book.timeline, attempted=False)
    return None


def leased_batch(book: Book, state: StreamState) -> Batch | None:
    """The very batch that a stream's lease names (D2), read from the disk.

    A batch with a damaged block cannot go again as it was: its lease is withdrawn, what is intact goes anew
    and marked, the rest is lost; the answer is then None.
    """
    lease = state.lease
    if lease is None:
        return None
    rows = book.rows(lease.origin, lease.first, lease.last)
    intact = [block for block, _, whole in rows if whole]
    left = sum(block.records for block in intact)
    if left == lease.records:
        try:
            return state.batch(_body(book, intact), book.timeline, attempted=True)
        except ValueError:
            # A pack that does not come back as it was made: a batch holds no other block beside it.
            intact, left = [], 0
    kept = {block.first for block in intact}
    for block, _, _ in rows:
        if block.first not in kept:
            book.delete(lease.origin, block.first)
    parts = [Range(lease.origin, block.first, block.last, block.records, Standing.MARKED) for block in intact]
    _withdraw(book, state, parts)
    entries.lose(book, state, Missing(lease.first, lease.last, lease.records - left, "corrupt"))
    return None


def settle(book: Book, batch: Batch, offset: int) -> None:
    """Note that the broker has a batch; one that is not leased (any more) is left alone."""
    state = leased(book, batch)
    if state is None or state.lease is None:
        return
    if offset >= 0:
        state.acked = offset + batch.count - 1
        for other in book.streams.values():
            # As safe a bound as its own; and where the topic was made anew, its own is of one that is no more.
            if other.topic == state.topic and other.acked > state.acked:
                other.acked = state.acked
                book.touch(other)
    else:
        # Where it stands was not said; but no lower than behind what was acknowledged before.
        state.acked = max(state.acked, state.lease.acked_offset + batch.count)
    sent.extend(book, state, state.lease)
    book.delivered[state.lane] += state.lease.records
    state.lease = None
    state.holder = None
    book.touch(state)


def unsettled(book: Book) -> list[Batch]:
    """All leased batches, oldest first."""
    found = [leased_batch(book, state) for state in book.streams.values() if state.lease]
    return sorted((batch for batch in found if batch is not None), key=lambda batch: batch.first)


def cut(book: Book, batch: Batch, reason: str) -> None:
    """Halve a refused batch, or put its one record with the dead letters (D4).

    Raises:
        ValueError: no such batch is leased.
    """
    state = leased(book, batch)
    if state is None or state.lease is None:
        raise ValueError(f"no such batch of {batch.claim.stream.lane}/{batch.claim.stream.topic} is leased")
    lease = state.lease
    if leased_batch(book, state) is None:
        return
    found = [block for block, _, _ in book.rows(lease.origin, lease.first, lease.last)]
    if lease.records == 1:
        entries.bury(book, state, lease, found[0], reason)
        state.lease = None
        state.holder = None
        book.touch(state)
        return
    level = book.settings.compression_level
    if packs.is_pack(found[0].body):
        pack, found = found[0], packed.unpacked(found[0], -(-lease.records // 2), level)
        book.replace(lease.origin, pack, found)
        parts = _halve_blocks(lease, found)
    elif len(found) == 1:
        halves = blocks.halve(found[0], level)
        book.replace(lease.origin, found[0], halves)
        parts = [Range(lease.origin, half.first, half.last, half.records) for half in halves]
    else:
        parts = _halve_blocks(lease, found)
    _withdraw(book, state, parts)


def again(book: Book, batch: Batch, last_sequence: int | None) -> int:
    """Make a batch that may have left pending again, marked (D6); how many records.

    With `last_sequence`, what the broker lost of its id goes too (D7): offsets acknowledged before mean nothing
    more then, on that whole partition.

    Raises:
        ValueError: no such batch is leased.
    """
    state = leased(book, batch)
    if state is None or state.lease is None:
        raise ValueError(f"no such batch of {batch.claim.stream.lane}/{batch.claim.stream.topic} is leased")
    lease, before = state.lease, state.pending
    parts: list[Range] = []
    if last_sequence is not None:
        lost = sent.above(book, state, lease, last_sequence)
        sent.lose(book, state, lost)
        parts = lost.parts
        for other in book.streams.values():
            if other.topic == state.topic and other.acked >= 0:
                other.acked = -1
                book.touch(other)
    if leased_batch(book, state) is not None:
        parts.append(Range(lease.origin, lease.first, lease.last, lease.records, Standing.MARKED))
    _withdraw(book, state, parts)
    state.run, state.earlier, state.earlier_changed = None, [], True
    return state.pending - before


def release(book: Book, state: StreamState) -> None:
    """Take a lease back whose batch was never handed over, because nobody waited for it any more."""
    if state.lease is not None and state.holder is not None and state.holder.cancelled():
        lease = state.lease
        _withdraw(book, state, [Range(lease.origin, lease.first, lease.last, lease.records)])


def hand_to_backfill(book: Book, older_than_s: float) -> int:
    """Let `backfill` have what `live` holds from before, and `live` go on with what is newer; how many records."""
    moved = 0
    cutoff = book.mono_ms - int(older_than_s * 1_000)
    for state in list(book.streams.values()):
        if state.lane is not Lane.LIVE or not state.open_records:
            continue
        border = first_since(book.connection, book.timeline, state, cutoff, book.next_number)
        records = state.open_records - (state.end - book.records_before(state.id, border))
        records = min(max(records, 0), state.open_records)
        if not records:
            continue
        target = book.stream(Lane.BACKFILL, state.topic)
        target.give_back([Range(state.id, state.head, border - 1, records)])
        state.head = border
        state.open_records -= records
        book.touch(state)
        book.touch(target)
        book.more = True
        moved += records
    return moved


def leased(book: Book, batch: Batch) -> StreamState | None:
    """The stream whose lease a batch is."""
    state = book.by_name.get((batch.claim.stream.lane.value, batch.claim.stream.topic))
    if state is None or state.lease is None:
        return None
    lease, claim = state.lease, batch.claim
    if (lease.producer, lease.base_sequence, lease.records) != (claim.producer, claim.base_sequence, batch.count):
        return None
    # Under a producer id the sequence is name enough, also where a salvage gave the blocks other numbers.
    return state if claim.producer.id >= 0 or lease.first == batch.first else None


def _withdraw(book: Book, state: StreamState, parts: list[Range]) -> None:
    state.lease = None
    state.holder = None
    state.give_back(parts)
    book.touch(state)
    book.more = True


def _gather(book: Book, state: StreamState, part: Range, max_bytes: int) -> list[tuple[Block, int]]:
    """The blocks at the head of a part that go together; none where the first was damaged and is now lost."""
    found: list[tuple[Block, int]] = []
    total = records = 0
    at = part.first
    while at <= part.last and at < book.next_number:
        row = book.next_row(part.origin, at, part.last)
        if row is None:
            break
        block, at_ms, intact = row
        if not intact:
            if not found:
                damage.lose(book, state, part, block.first)
                return []
            break
        alone = block.records >= _JOIN_BELOW_RECORDS or packs.is_pack(block.body)
        if found and (alone or total + len(block.body) > max_bytes or records + block.records > _JOIN_RECORDS):
            break
        found.append((block, at_ms))
        total += len(block.body)
        records += block.records
        at = block.last + 1
        if alone:
            break
    if not found:
        # The stream says that there are records, the table has none: somebody removed them.
        last = min(part.last, book.next_number - 1)
        state.take(part, last, part.records)
        book.touch(state)
        if part.standing is not Standing.RECALLED:
            entries.lose(book, state, Missing(part.first, last, part.records, "corrupt"))
    return found


def _as_it_leaves(book: Book, part: Range, topic: str, block: Block) -> Block:
    """A block of a part, on the disk as it may leave: under its names for ever, and marked where they may stand."""
    fresh = fork.as_it_leaves(
        book.settings,
        topic,
        block,
        book.lineage,
        book.names.log_id,
        renamed=part.standing.renamed,
        mark=part.standing.marked,
    )
    book.replace(part.origin, block, [fresh])
    return fresh


def _first_body(book: Book, state: StreamState, part: Range, block: Block, max_bytes: int) -> bytes | None:
    """A block's body as it leaves; None if other blocks were put in its place, to be looked at again.

    That is what becomes of one that is too large for the link, and of a pack whose records leave changed.
    """
    if not packs.is_pack(block.body):
        if len(block.body) <= max_bytes or block.records == 1:
            return block.body
        _divide(book, part.origin, block, max_bytes)
        return None
    return _pack_body(book, state, part, block, max_bytes)


def _pack_body(book: Book, state: StreamState, part: Range, pack: Block, max_bytes: int) -> bytes | None:
    level = book.settings.compression_level
    try:
        body = packed.as_batch(pack.body, level)
    except ValueError:
        damage.lose(book, state, part, pack.first)
        return None
    changes = part.standing.renamed or part.standing.marked or restamp.due(book, pack)
    if not changes and (len(body) <= max_bytes or pack.records == 1):
        return body
    pieces = -(-len(body) // max_bytes)
    most = max(pack.records // pieces, 1)
    if changes:
        most = min(most, restamp.MOST_RECORDS)
    book.replace(part.origin, pack, packed.unpacked(pack, most, level))
    return None


def _divide(book: Book, origin: int, block: Block, max_bytes: int) -> None:
    """Cut a block that is too large for the link into equal pieces."""
    pieces = min(block.records, -(-len(block.body) // max_bytes))
    borders = [block.records * index // pieces for index in range(pieces + 1)]
    sizes = [stop - start for start, stop in pairwise(borders)]
    book.replace(origin, block, blocks.split(block, sizes, book.settings.compression_level))


def _halve_blocks(lease: Lease, found: list[Block]) -> list[Range]:
    """Two ranges of whole blocks, as near to half of the records each as blocks allow."""
    border, count = 1, found[0].records
    while border < len(found) - 1 and count + found[border].records <= lease.records // 2:
        count += found[border].records
        border += 1
    left = Range(lease.origin, found[0].first, found[border - 1].last, count)
    return [left, replace(left, first=found[border].first, last=lease.last, records=lease.records - count)]


def _body(book: Book, found: list[Block], pack_body: bytes | None = None) -> bytes:
    """Blocks as one body; a pack's own if it is made already."""
    if len(found) == 1 and pack_body is not None and packs.is_pack(found[0].body):
        return pack_body
    if len(found) == 1:
        return packed.as_batch(found[0].body, book.settings.compression_level)
    return blocks.join(((block.records, block.body) for block in found), book.settings.compression_level)
