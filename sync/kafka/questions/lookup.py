"""What became of a batch: the broker's own memory of its producer, and the partition itself (D6, D7).

What either says counts only behind a barrier (F7). A leader also tells of records that are not replicated yet and may
still be cut off by a change of leader; so its log end is asked for after the answer, and the answer counts once the
high watermark has reached that end. All of it must have been said under one leader epoch, which the leader confirms
before and after, and another broker at the end: a leader that was deposed and has not heard of it confirms anything.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.default_records import DefaultRecordBatch

from sync.batches import frame_batch
from sync.kafka.connection.client import TopicUnavailable
from sync.kafka.connection.kept import CONTROL
from sync.kafka.connection.protocol import DescribeProducersRequest, DescriptionRequest, EpochEndRequest
from sync.kafka.errors import error_of
from sync.kafka.errors.answers import NONE, TOPIC_AUTHORIZATION_FAILED, name_of
from sync.kafka.questions.partition import Partition
from sync.kafka.questions.stored import Damaged
from sync.side_by_side import both
from sync.values import Absent, CannotTell, Forgotten, Found, Known, NotOffered, NotReady

if TYPE_CHECKING:
    from sync.kafka.connection.client import Client
    from sync.kafka.questions.stored import Stored
    from sync.values import Batch, LookedUp, ReadBack

log = logging.getLogger("tidegate.kafka")

_CANNOT_ASK: Final = (
    "an unanswered batch is sent again under its own producer id for half of producer.id.expiration.ms, later "
    "marked possibly_repeated"
)

READ_BACK: Final = "read back"
"""A connection of its own: what others wrote meanwhile may be a lot on a slow link."""

_LATEST: Final = -1
_EARLIEST: Final = -2
_FETCH_BYTES: Final = 64 * 1024
_PATIENCE_S: Final = 2.0
"""How long replication is given here; what takes longer is waited for by asking again."""
_NAMES: Final = ("ce_id", "ce_source")


@dataclass(frozen=True, slots=True)
class _Lead:
    """Who leads a partition, and under which epoch."""

    node: int
    epoch: int


async def cannot_ask(client: Client) -> str:
    """What a broker lacks so that it cannot be asked what became of a batch; empty if it lacks nothing.

    Raises:
        Unreachable: no broker answers.
    """
    connection = await client.connection(await client.any_node(), CONTROL)
    asked = (EpochEndRequest("", 0, 0), DescriptionRequest([]))
    return ", ".join(request.TITLE for request in asked if not connection.offers(request))


class LookUp:
    """The questions about one batch; each raises NotReady (or Unreachable) where asking again helps."""

    def __init__(self, client: Client, batch: Batch) -> None:
        self._client = client
        self._batch = batch
        self._topic = batch.claim.stream.topic
        self._partition = batch.claim.stream.partition
        self._name = _first_name(frame_batch(batch, 0))
        self._where = f"topic {self._topic}: partition {self._partition}"

    async def look_up(self) -> LookedUp:
        """What the brokers remember of the batch's producer id on its partition."""
        try:
            return await self._look_up()
        except NotOffered as error:
            return self._cannot_ask(error)

    async def _look_up(self) -> LookedUp:
        lead, connection = await self._lead(CONTROL)
        ask, epoch = self._client.ask, self._epoch_end(lead)
        producers_of = DescribeProducersRequest(self._topic, self._partition)
        if connection.offers(epoch) and not connection.offers(producers_of):
            return CannotTell("the brokers cannot list producers (Apache Kafka can from 2.8 on)")
        # A broker answers the questions of one connection in their order, so this is one round trip.
        before, answer, after, reached = await asyncio.gather(
            ask(connection, epoch),
            ask(connection, producers_of),
            ask(connection, epoch),
            self._offset(connection, _LATEST),
        )
        self._end_of(before)
        partitions = [partition for topic in answer.topics for partition in topic[1]]
        if not partitions:
            return CannotTell(f"{self._where}: the brokers' list of producers is empty")
        _, code, _, producers, _ = partitions[0]
        if code == TOPIC_AUTHORIZATION_FAILED:
            return self._may_not_read()
        self._check(code)
        await self._replicated(lead, connection, self._end_of(after), reached)
        await self._still(lead, connection)
        producer = self._batch.claim.producer
        for producer_id, its_epoch, last_sequence, *_ in producers or ():
            if (producer_id, its_epoch) == (producer.id, producer.epoch) and last_sequence >= 0:
                return Known(last_sequence, self._end_of(after))
        return Forgotten()

    async def read_back(self) -> ReadBack:
        """Whether the batch stands in its partition, by its first record's name.

        It is read from behind the last offset acknowledged before the lease, in bounded pieces. Where the log
        starts later than that, to find the batch still proves that it was taken; not to find it proves nothing.
        """
        try:
            return await self._read_back()
        except NotOffered as error:
            return self._cannot_ask(error)

    async def _read_back(self) -> ReadBack:
        lead, connection = await self._lead(READ_BACK)
        leads, reached, start = await asyncio.gather(
            self._client.ask(connection, self._epoch_end(lead)),
            self._offset(connection, _LATEST),
            self._offset(connection, _EARLIEST),
        )
        end = self._end_of(leads)
        await self._replicated(lead, connection, end, reached)
        wanted = self._batch.acked_offset + 1
        found = await self._search(connection, max(start, wanted), end)
        if isinstance(found, CannotTell):
            return found
        await self._still(lead, connection)
        if found is not None:
            return found
        if end < wanted:
            reason = f"{self._where} ends at {end}, before offset {wanted}: created again, or records were lost"
            return CannotTell(reason, end=end)
        if start > wanted:
            return CannotTell(f"{self._where} now starts at {start}, after offset {wanted}")
        return Absent()

    async def _search(self, connection: Any, start: int, end: int) -> Found | CannotTell | None:
        """The batch between two offsets, None if it is not there."""
        partition = Partition(
            self._client, self._topic, self._partition, fetch_bytes=_FETCH_BYTES, connection=connection
        )
        try:
            async for stored in partition.read(start, end, strict=True):
                for one in stored:
                    if self._is_ours(one):
                        return Found(one.first)
        except Damaged as error:
            return CannotTell(error.reason)
        except TopicUnavailable as error:
            if error.code == TOPIC_AUTHORIZATION_FAILED:
                return self._may_not_read()
            raise NotReady(error.reason, error.hint) from error
        return None

    def _is_ours(self, stored: Stored) -> bool:
        # Nobody else has our producer id, so only under it can the batch stand there: others' are not even unpacked.
        if stored.producer_id != self._batch.claim.producer.id:
            return False
        record = next(stored.records(), None)
        if record is None:  # compaction keeps the batch of a producer, and takes the records out of it
            return bool(stored.batch.base_sequence == self._batch.claim.base_sequence)
        return _name(record) == self._name

    async def _lead(self, line: str) -> tuple[_Lead, Any]:
        """Who leads now, and a connection to it."""
        lead = self._led_by(await self._client.question(DescriptionRequest([self._topic])))
        return lead, await self._client.connection(lead.node, line)

    def _led_by(self, answer: Any) -> _Lead:
        for code, _, _, partitions, _ in answer.topics:
            self._check(code)
            for _, partition, leader, epoch, *_ in partitions:
                if partition == self._partition:
                    if leader < 0:
                        raise NotReady(f"{self._where} has no leader")
                    return _Lead(leader, epoch)
        raise NotReady(f"{self._where} does not exist")

    async def _replicated(self, lead: _Lead, connection: Any, end: int, reached: int) -> None:
        """Wait until the high watermark, at `reached` when last asked, has come to `end`."""
        clock = asyncio.get_running_loop().time
        until = clock() + _PATIENCE_S
        while reached < end:
            if clock() >= until:
                raise NotReady(f"{self._where} is replicated up to {reached}, and broker {lead.node} has {end}")
            await asyncio.sleep(0.1)
            reached = await self._offset(connection, _LATEST)

    async def _still(self, lead: _Lead, connection: Any) -> None:
        """Have the leader, and another broker where one answers, confirm the leader epoch."""
        own, other = await both(
            self._client.ask(connection, self._epoch_end(lead)),
            self._client.second_opinion(lead.node, DescriptionRequest([self._topic])),
        )
        self._end_of(own)
        if self._led_by(other) != lead:
            raise NotReady(f"{self._where} has changed its leader")

    async def _offset(self, connection: Any, which: int) -> int:
        request = OffsetRequest(-1, 0, [(self._topic, [(self._partition, which)])])
        answer = await self._client.ask(connection, request)
        _, code, _, offset, *_ = answer.topics[0][1][0]
        self._check(code)
        return int(offset)

    def _epoch_end(self, lead: _Lead) -> EpochEndRequest:
        return EpochEndRequest(self._topic, self._partition, lead.epoch)

    def _end_of(self, answer: Any) -> int:
        code, _, _, end = answer.topics[0][1][0]
        self._check(code)
        return int(end)

    def _check(self, code: int) -> None:
        if code != NONE:
            self._client.forget(self._topic)
            raise NotReady(f"{self._where}: {name_of(code)}", error_of(code).cure)

    def _cannot_ask(self, error: NotOffered) -> CannotTell:
        text = f"{error.reason}, so the outcome of a batch cannot be looked up"
        if self._client.cannot_look_up != text:
            self._client.cannot_look_up = text
            log.warning("%s: %s", text, _CANNOT_ASK)
        return CannotTell(text, may_not_read=True)

    def _may_not_read(self) -> CannotTell:
        return CannotTell(f"this user has no right to READ topic {self._topic}", may_not_read=True)


def _first_name(frame: bytes) -> tuple[bytes | None, ...]:
    """The headers that name a batch's first record (D10)."""
    return _name(next(iter(DefaultRecordBatch(frame))))


def _name(record: Any) -> tuple[bytes | None, ...]:
    headers = dict(record.headers)
    return tuple(headers.get(name) for name in _NAMES)
