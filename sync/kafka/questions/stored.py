"""What stands in a partition, as one answer brings it: batches, and which of them hold records for a consumer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NO_BATCH: Final = (KafkaError, ValueError, IndexError, OverflowError)
"""What aiokafka makes of bytes that are no batch."""
_BEFORE_LENGTH, _LENGTH = 8, 4


class Damaged(NotReady):
    """What stands at an offset cannot be read: its checksum does not match, or it is no batch."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A batch as it stands in a partition: offsets from `first` on, the next batch begins at `after` or later.

    `producer_id` is -1 if it was written without one. Records before offset `since` were not asked for.
    """

    where: str
    first: int
    after: int
    producer_id: int
    since: int
    batch: Any

    def records(self) -> Iterator[Any]:
        """Its records as aiokafka gives them (`offset`, `key`, `value`, `headers`); raises Damaged."""
        if not self.batch.validate_crc():
            raise Damaged(f"{self.where}: the batch at offset {self.first} is corrupt")
        try:
            for record in self.batch:
                if record.offset >= self.since:
                    yield record
        except Exception as error:
            raise Damaged(f"{self.where}: the batch at offset {self.first} cannot be unpacked: {error}") from error


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer: the bytes of batches; up to where may be read, of what is replicated (`high_watermark`).

    `aborted` has the transactions that were aborted, by producer id and first offset.
    """

    records: bytes
    readable: int
    high_watermark: int
    aborted: Sequence[tuple[int, int]]

    @property
    def cut_off(self) -> bool:
        """Whether not even the first batch is whole: brokers before 0.10.1 keep to the bytes that were asked for."""
        length = int.from_bytes(self.records[_BEFORE_LENGTH : _BEFORE_LENGTH + _LENGTH], signed=True)
        return bool(self.records) and _BEFORE_LENGTH + _LENGTH + length > len(self.records)

    def batches(self, where: str, since: int, end: int | None = None) -> tuple[list[Stored], int]:
        """The batches from `since` to `end` that hold records for a consumer, and the offset behind all of them.

        Batches that hold none, and gaps, are passed over. Raises Damaged.
        """
        found: list[Stored] = []
        position = since
        aborting = _Aborting(self.aborted)
        try:
            records = MemoryRecords(self.records)
            while (batch := records.next_batch()) is not None:
                first = getattr(batch, "base_offset", position)  # formats before 0.11 do not say
                if end is not None and first >= end:
                    return found, end
                if batch.next_offset > since and aborting.counts(batch, first):
                    producer_id = -1 if batch.producer_id is None else batch.producer_id
                    found.append(Stored(where, first, batch.next_offset, producer_id, since, batch))
                position = max(position, batch.next_offset)
        except _NO_BATCH as error:
            raise Damaged(f"{where}: what stands at offset {position} is no batch: {error}") from error
        return found, position


class _Aborting:
    """Which batches of one answer belong to transactions that were aborted."""

    def __init__(self, aborted: Sequence[tuple[int, int]]) -> None:
        self._waiting = sorted(aborted, key=lambda one: one[1], reverse=True)
        self._producers: set[int] = set()

    def counts(self, batch: Any, first: int) -> bool:
        """Whether a batch, the next one in order, has records for a consumer."""
        while self._waiting and self._waiting[-1][1] <= first:
            self._producers.add(self._waiting.pop()[0])
        if batch.is_control_batch:
            if batch.producer_id in self._producers:
                marker = next(iter(batch), None)
                if marker is not None and ControlRecord.parse(marker.key) == ABORT_MARKER:
                    self._producers.discard(batch.producer_id)
            return False
        return not (batch.is_transactional and batch.producer_id in self._producers)
