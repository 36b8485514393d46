"""The log's content on one connection: streams, blocks, numbers and names, transaction by transaction.

Everything here runs on the writer's thread. When a commit fails the book is loaded anew, so that memory never
says more than the disk.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from aiokafka.partitioner import murmur2

from sync.log.book import lineage, losses, receipts, rows, streams
from sync.log.book.streams import StreamState
from sync.log.clock import UNSYNCHRONISED, Stamp, Timeline
from sync.log.disk import blocks
from sync.log.disk.blocks import Block, Namer
from sync.log.disk.names import Names
from sync.log.disk.schema import MAX_NUMBER, PAGE_BYTES, key_of
from sync.values import Lane

if TYPE_CHECKING:
    import asyncio
    import sqlite3
    from collections.abc import Sequence

    from sync.log.book.losses import Loss
    from sync.log.clock import Clock
    from sync.log.settings import LogSettings
    from sync.values import Batch, Envelope

RESERVE: Final = 1 << 20
"""Numbers set aside ahead of use: after anything but an orderly stop a run begins beyond them (L2)."""


class Book:
    """The content of the open file, as of the last commit and the transaction under way.

    `delivered`, `lost`, `came` (compressed) and `body_bytes` are what this transaction adds to the figures; `more`
    says that something came back to be leased; `names_changed` that the file beside is out of date. `uncertain_from`:
    a COMMIT failed, but may be on disk all the same; its numbers begin there. `unused` are those that nobody was told
    yet of such commits, from and to. `newest` is the last number that was
    found at opening. `losses` are those not told yet, `unreadable_losses` entries of such that are noise; `growing`
    says where they end; `spanned` that blocks of other logs
    lie here. `now_ms` is the wall clock, for people; `mono_ms` the boot clock, for ages (C4). `compared`: this
    process knows that the log is no copy (D11). `discards` are the keys of blocks that only wait to be removed, from
    and to.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        settings: LogSettings,
        clock: Clock,
        names: Names,
        *,
        compared: bool = False,
    ) -> None:
        self.connection = connection
        self.settings = settings
        self.clock = clock
        self.names = names
        self.limits: dict[Lane, int] = {}
        self.streams: dict[int, StreamState] = {}
        self.by_name: dict[tuple[str, str], StreamState] = {}
        self.partitions: dict[str, int | None] = {}
        self.cursors: dict[str, int] = {}
        self.losses: dict[int, Loss] = {}
        self.unreadable_losses: list[int] = []
        self.growing: dict[int, tuple[int, int]] = {}
        self.spanned = False
        self.discards: list[tuple[int, int]] = []
        self.dead_letters = 0
        self.next_number = 1
        self.timeline = Timeline(clock)
        self.now_ms = self.mono_ms = 0
        self.synced = False
        self.newest = 0
        self.uncertain_from: int | None = None
        self.first_number = 1
        self.lineage = lineage.Lineage()
        self.compared = compared
        self._began_at = 1
        self.delivered: Counter[Lane] = Counter()
        self.lost: Counter[str] = Counter()
        self.came: Counter[Lane] = Counter()
        self.packed_share: dict[int, float] = {}
        self.body_bytes = self.corrected = self.pages_touched = 0
        self.more = False
        self.names_changed = False
        self.namer = Namer(settings.gateway_id, "")
        self._reserved = self._reserved_on_disk = 0
        self.unused: tuple[int, int] | None = None
        self._touched: set[int] = set()
        self._holders: dict[int, asyncio.Future[Batch] | None] = {}
        self._receipts: bytes | None = None

    # Loading, committing, closing --------------------------------------------------------------------------

    def load(self) -> None:
        """Read what the disk holds; what an unfinished transaction did is forgotten."""
        cell = self.connection.execute
        log_id, self.lineage = lineage.load(self.connection)
        if log_id and log_id != self.names.log_id:
            self._name(log_id)
        self.streams = streams.load(self.connection, self.timeline)
        self.by_name = {(state.lane.value, state.topic): state for state in self.streams.values()}
        self.partitions = dict(cell("SELECT name, partition FROM topics").fetchall())
        # What is kept for others is worth no failure: one that is noise was never kept.
        kept = cell("SELECT name, value FROM cursors").fetchall()
        self.cursors = {name: value for name, value in kept if isinstance(value, int)}
        self.dead_letters = losses.count_dead_letters(self.connection)
        self.spanned = cell("SELECT EXISTS(SELECT 1 FROM spans)").fetchone()[0] == 1
        self.discards = rows.discarded(self.connection)
        self.growing.clear()
        self.losses, self.unreadable_losses = losses.load(self.connection)

    def set_aside(self, first: int) -> None:
        """Set numbers aside from `first` on, in the transaction under way (L2)."""
        self._reserved = first + RESERVE
        self._meta(reserved=self._reserved)

    def begin_at(self, first: int) -> None:
        """Number from `first` on; what was set aside is on the disk."""
        self.next_number = self.first_number = first
        self._reserved_on_disk = self._reserved
        self.names_changed = True

    def take_name(self, log_id: str) -> None:
        """Number under another log id from now on, in the transaction under way (D11)."""
        self._meta(log_id=log_id)
        self._name(log_id)

    def log_id_of(self, number: int | None) -> str:
        """The log id that a number was given under; for none the present one."""
        return self.lineage.log_id_of(number, self.names.log_id)

    def _name(self, log_id: str) -> None:
        self.names.log_id = log_id
        self.namer = Namer(self.settings.gateway_id, log_id)
        self.names_changed = True

    def begin(self) -> None:
        """Start a transaction."""
        self._began_at = self.next_number
        self.connection.execute("BEGIN IMMEDIATE")
        self.uncertain_from = None
        self._touched.clear()
        self._holders = {state.id: state.holder for state in self.streams.values()}
        self.delivered.clear()
        self.lost.clear()
        self.came.clear()
        self.body_bytes = self.corrected = self.pages_touched = 0
        self.more = False
        self._receipts = None
        timeline = self.timeline
        timeline.look(self.names.run)
        self.now_ms, self.mono_ms, self.synced = timeline.wall_ms, timeline.now.mono_ms, timeline.trusted

    def commit(self) -> None:
        """Write the streams that changed, and make all of it durable."""
        if self.next_number > self._reserved - RESERVE // 2:
            self.set_aside(self.next_number)
        self.refresh()
        for number in self._touched:
            streams.save(self.connection, self.streams[number], self.next_number - 1)
        self.pages_touched += len(self._touched)
        note = self.timeline.to_note()
        if note is not None:
            self._meta(clock=note)
        self.uncertain_from = self._began_at
        self.connection.execute("COMMIT")
        self.uncertain_from = self.unused = None
        self._reserved_on_disk = self._reserved
        if note is not None:
            self.timeline.noted()

    def rollback(self) -> None:
        """Undo the transaction, in memory too.

        Numbers that it gave are given again, for nobody ever heard of them. Where its COMMIT failed they may be on
        disk after all: they stay `unused` (L2), which the next transaction has to tell (L10).

        Raises:
            sqlite3.Error: the disk cannot even be read.
        """
        self._reserved = self._reserved_on_disk
        if self.uncertain_from is None:
            self.next_number = self._began_at
        elif self.next_number > self.uncertain_from:
            self.unused = (self.unused or (self.uncertain_from,))[0], self.next_number - 1
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.load()
        for state in self.streams.values():
            state.holder = self._holders.get(state.id)

    def probe(self) -> None:
        """Have the disk take something small.

        Raises:
            sqlite3.Error: it does not.
        """
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self._meta(probed_ms=self.clock.wall_ms())
            self.connection.execute("COMMIT")
        except BaseException:  # raised on at once; the next commit must not find this transaction open
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def close_clean(self) -> None:
        """Note that the run ended in order, so that the next goes on with the next number."""
        self.connection.execute("BEGIN IMMEDIATE")
        self._meta(clean=self.next_number)
        self.connection.execute("COMMIT")

    def names_now(self) -> Names:
        """What must outlive the file."""
        return Names(
            self.names.log_id,
            self.names.run,
            {state.id: (state.lane.value, state.topic) for state in self.streams.values()},
            {topic: partition for topic, partition in self.partitions.items() if partition is not None},
            dict(self.cursors),
        )

    # Taking records --------------------------------------------------------------------------------------

    def stream(self, lane: Lane, topic: str) -> StreamState:
        """The stream, made where it is new."""
        state = self.by_name.get((lane.value, topic))
        if state is None:
            number = max(self.streams, default=0) + 1
            state = StreamState(number, lane, topic, head=self.next_number)
            self.streams[number] = self.by_name[lane.value, topic] = state
            self.connection.execute("INSERT OR IGNORE INTO topics VALUES(?,NULL)", (topic,))
            self.partitions.setdefault(topic, None)
            self.names_changed = True
            self.touch(state)
        return state

    def store(self, lane: Lane, topic: str, records: Sequence[Envelope], taken: Stamp | None = None) -> None:
        """Number records of one lane and topic and write them as blocks (L3); taken now if not then."""
        if taken is None and not self.timeline.now.synced:
            records = [record._replace(headers=(*record.headers, UNSYNCHRONISED)) for record in records]
        found = blocks.encode(
            records,
            self.next_number,
            self.namer,
            self.settings.compression_level,
            max_bytes=self.limits.get(lane, blocks.MAX_BYTES),
            max_records=1 if lane is Lane.ALERT else blocks.MAX_RECORDS,
        )
        state = self.stream(lane, topic)
        for block in found:
            self.add(state, block, taken)
            self.body_bytes += block.raw_bytes
            if taken is None:
                self.came[lane] += int(len(block.body) * self.packed_share.get(state.id, 1.0))

    def keep_receipts(self, given: list[tuple[str, bytes]]) -> None:
        """Let the first block of this transaction carry receipts: a row of their own would cost a page a commit."""
        self._receipts = receipts.pack(given) if given else None

    def receipts(self, name: str) -> list[bytes]:
        """The newest receipts kept by a name, oldest first."""
        return receipts.newest(self.connection, self.streams, name)

    def add(self, state: StreamState, block: Block, taken: Stamp | None = None) -> None:
        """Write a block, which begins with `next_number`, at the end of its stream, taken now if not then."""
        carried, self._receipts = self._receipts, None
        self._insert(state.id, block, state.end, taken or self.timeline.now, carried)
        state.end += block.records
        state.open_records += block.records
        self.next_number = block.last + 1
        self.touch(state)

    def give_numbers(self, lane: Lane, topic: str, count: int) -> tuple[int, int]:
        """Numbers for records that the log could not keep: the first and the last."""
        first = self.next_number
        self.next_number += count
        # The stream's row keeps the high-water mark.
        self.touch(self.stream(lane, topic))
        return first, self.next_number - 1

    def refresh(self) -> None:
        """Bring up to date when the oldest pending record was taken, in the streams that this transaction changes."""
        for number in self._touched:
            streams.refresh_oldest(self.connection, self.streams[number], self.timeline)

    def touch(self, state: StreamState) -> None:
        """This transaction changes the stream."""
        self._touched.add(state.id)

    def rows(self, origin: int, first: int, last: int) -> list[tuple[Block, int, bool]]:
        """Blocks that begin with numbers from `first` to `last`: each with when it was taken, and if it is intact.

        When is told by this boot's clock, in ms (`Timeline.taken_ms`).
        """
        found = rows.between(self.connection, self.timeline, key_of(origin, first), key_of(origin, last))
        return list(found)

    def next_row(self, origin: int, first: int, last: int) -> tuple[Block, int, bool] | None:
        """The first of them, None where there is none."""
        return rows.first(self.connection, self.timeline, key_of(origin, first), key_of(origin, last))

    def records_in(self, origin: int, first: int, last: int) -> int:
        """How many records blocks that begin with numbers from `first` to `last` hold."""
        return rows.records_between(self.connection, key_of(origin, first), key_of(origin, last))

    def records_before(self, origin: int, number: int) -> int:
        """How many records of a stream were ahead of its first block from a number on."""
        before = rows.records_before(self.connection, key_of(origin, number), key_of(origin, MAX_NUMBER))
        return self.streams[origin].end if before is None else before

    def delete(self, origin: int, first: int) -> None:
        """Remove one block."""
        self.connection.execute("DELETE FROM blocks WHERE key=?", (key_of(origin, first),))
        self.pages_touched += 3

    def replace(self, origin: int, block: Block, pieces: Sequence[Block], taken: Stamp | None = None) -> None:
        """Put blocks in a block's place, with its time, unless another is given."""
        key = key_of(origin, block.first)
        row = self.connection.execute(
            "SELECT records, before, checksum, receipts, at_ms, run, mono_ms, synced FROM blocks WHERE key=?", (key,)
        )
        records, before, checksum, carried, *found = row.fetchone()
        if not blocks.counted(key, records, before, checksum):
            before = self.records_before(origin, block.first)
        self.delete(origin, block.first)
        for piece in pieces:
            self._insert(origin, piece, before, taken or Stamp(*found), carried)
            before += piece.records
            carried = None

    def pack(self, origin: int, firsts: Sequence[int], pack: Block) -> None:
        """Put a pack in the place of blocks, with the time of the first of them."""
        row = "SELECT before, at_ms, run, mono_ms, synced FROM blocks WHERE key=?"
        before, *taken = self.connection.execute(row, (key_of(origin, firsts[0]),)).fetchone()
        self.connection.executemany("DELETE FROM blocks WHERE key=?", [(key_of(origin, first),) for first in firsts])
        # Pages that become free are not written: only what says that they are.
        self.pages_touched += len(firsts) // 8
        self._insert(origin, pack, before, Stamp(*taken), None)

    def assign_partition(self, topic: str, count: int) -> int:
        """The topic's partition, chosen when first asked (L7).

        Raises:
            ValueError: the topic has no partitions.
        """
        known = self.partitions.get(topic)
        if known is not None:
            return known
        if count < 1:
            raise ValueError(f"topic {topic} cannot have {count} partitions")
        chosen = int(murmur2(self.settings.gateway_id.encode()) & 0x7FFFFFFF) % count
        self.connection.execute("INSERT OR REPLACE INTO topics VALUES(?,?)", (topic, chosen))
        self.partitions[topic] = chosen
        self.names_changed = True
        return chosen

    def set_cursor(self, name: str, value: int) -> None:
        """Keep a number under a name, also beside the file."""
        self.connection.execute("INSERT OR REPLACE INTO cursors VALUES(?,?)", (name, value))
        self.cursors[name] = value
        self.names_changed = True

    def _insert(self, origin: int, block: Block, before: int, taken: Stamp, carried: bytes | None) -> None:
        key = key_of(origin, block.first)
        self.connection.execute(
            "INSERT INTO blocks VALUES(?,?,?,?,?,?,?,?,?,?)",
            (
                key,
                block.records,
                before,
                *taken,
                blocks.checksum(key, block.records, before, block.body),
                block.body,
                carried,
            ),
        )
        self.pages_touched += len(block.body) // (PAGE_BYTES - 4) + 2

    def _meta(self, **values: str | int) -> None:
        self.connection.executemany("INSERT OR REPLACE INTO meta VALUES(?,?)", list(values.items()))
