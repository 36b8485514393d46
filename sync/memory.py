"""A broker in memory, shipped: dry runs without a cluster, and tests of everything above the sink."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from aiokafka.record.default_records import DefaultRecordBatch

from sync.batches import frame_batch
from sync.values import (
    WRAP,
    Absent,
    Accepted,
    CannotTell,
    ClusterChanged,
    Forgotten,
    Found,
    Known,
    NotReady,
    Outcome,
    Producer,
    Refused,
    Unknown,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.values import Batch, LookedUp, ReadBack, Stream

_REMEMBERED: Final = 5
_TOO_LARGE: Final = 10
_OUT_OF_ORDER: Final = 45


class Fault(StrEnum):
    """What may happen to a batch on its way."""

    REQUEST_LOST = "request lost"
    """It left, and did not arrive."""
    ANSWER_LOST = "answer lost"
    """It was taken, and the acknowledgement did not arrive."""
    NOT_CONNECTED = "not connected"
    """It never left."""


@dataclass(slots=True)
class _Partition:
    batches: list[tuple[int, Batch]] = field(default_factory=list)
    start: int = 0
    end: int = 0
    producers: dict[int, deque[tuple[int, int, int]]] = field(default_factory=dict)
    """For each producer id the base sequence, count and offset of its last batches."""


class MemorySink:
    """Takes batches as Apache Kafka does (F1 to F3), checked against it by the contract tests.

    For each producer id and partition it remembers the last five batches: the same again is answered with its
    first offset, a gap or other boundaries with error 45; of an unknown id any first sequence is taken.

    `fault(batch)` may name what goes wrong with an attempt, or give the outcome (and nothing is taken).
    `reachable` False is a link that is down. A body over `max_body_bytes` is too large for good. What a broker may
    do beside that: `forget` an id (F4), `lose_tail` in a change of leader, `move_start` as its history ages out,
    refuse reading (`may_read` False), and not answer a look-up yet (`replicated` False, F7). `rebuild` puts another
    cluster in its place; `create_again` deletes a topic and creates it again.
    """

    def __init__(self, partitions: int = 1, *, idempotent: bool = True, max_body_bytes: int = 1024 * 1024) -> None:
        self._partitions = partitions
        self._idempotent = idempotent
        self.has_time = True
        self.tells_topic_ids = True
        self._created: Counter[str] = Counter()
        self._next_id = 0
        self._logs: dict[tuple[str, int], _Partition] = {}
        self.max_body_bytes = max_body_bytes
        self.reachable = True
        self.missing_topics: set[str] = set()
        self.may_read = True
        self.replicated = True
        self.expiration_s: float | None = None
        self.cluster = "memory"
        self._found: str | None = None
        self.fault: Callable[[Batch], Fault | Outcome | None] = lambda _: None
        self.attempts = 0

    @property
    def idempotent(self) -> bool:
        """As set when made."""
        return self._idempotent

    @property
    def expansion(self) -> float:
        """Bodies are taken as they are."""
        return 1.0

    @property
    def timed(self) -> bool:
        """As set."""
        return self.has_time

    async def send(self, batch: Batch) -> Outcome:
        """Take one batch, as `fault` allows."""
        if self.reachable:
            self._same_cluster()
        self.attempts += 1
        trouble = self.fault(batch) if self.reachable else Fault.NOT_CONNECTED
        stream = batch.claim.stream
        match trouble:
            case Fault.NOT_CONNECTED:
                return Unknown(str(trouble), left=False)
            case Fault.REQUEST_LOST:
                return Unknown(str(trouble))
            case Accepted() | Refused() | Unknown():
                return trouble
        if stream.topic in self.missing_topics or not 0 <= stream.partition < self._partitions:
            return Refused(3, f"topic {stream.topic}: UnknownTopicOrPartition (3)", permanent=False)
        outcome = self._take(batch)
        return Unknown(str(trouble)) if trouble is Fault.ANSWER_LOST else outcome

    def _take(self, batch: Batch) -> Outcome:
        if len(batch.body) > self.max_body_bytes:
            return Refused(_TOO_LARGE, "MessageTooLarge (10)", permanent=True)
        claim = batch.claim
        partition = self._logs.setdefault((claim.stream.topic, claim.stream.partition), _Partition())
        if claim.producer.id >= 0:
            known = partition.producers.setdefault(claim.producer.id, deque(maxlen=_REMEMBERED))
            for base, count, offset in known:
                if (base, count) == (claim.base_sequence, batch.count):
                    return Accepted(offset)
            if known and (known[-1][0] + known[-1][1]) % WRAP != claim.base_sequence:
                return Refused(_OUT_OF_ORDER, "OutOfOrderSequenceNumber (45)", permanent=False)
            known.append((claim.base_sequence, batch.count, partition.end))
        first = partition.end
        partition.batches.append((first, batch))
        partition.end += batch.count
        return Accepted(first)

    def records(self, topic: str, partition: int = 0) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
        """What stands in a partition, in order: key, value and headers of each record."""
        found: list[tuple[bytes | None, bytes | None, dict[str, bytes]]] = []
        for _, batch in self._logs.get((topic, partition), _Partition()).batches:
            found.extend((r.key, r.value, dict(r.headers)) for r in DefaultRecordBatch(frame_batch(batch, 0)))
        return found

    def forget(self, producer: Producer) -> None:
        """Forget a producer id on all partitions."""
        for partition in self._logs.values():
            partition.producers.pop(producer.id, None)

    def lose_tail(self, topic: str, batches: int = 1, partition: int = 0) -> None:
        """Lose the last batches of a partition, and what they left in the memory of their ids."""
        log = self._logs[topic, partition]
        log.end = log.batches[-batches][0]
        del log.batches[-batches:]
        for producer, known in list(log.producers.items()):
            kept = [batch for batch in known if batch[2] < log.end]
            if kept:
                log.producers[producer] = deque(kept, maxlen=_REMEMBERED)
            else:
                del log.producers[producer]

    def create_again(self, topic: str) -> None:
        """Delete a topic and create it again, empty and under another id."""
        for name in [name for name in self._logs if name[0] == topic]:
            del self._logs[name]
        self._created[topic] += 1

    async def topic_id(self, topic: str, *, refresh: bool) -> str:  # noqa: ARG002 - nothing is kept here
        """Counts how often it was created again, as far as `tells_topic_ids`."""
        await self.partition_count(topic)
        return f"{topic}-{self._created[topic]}" if self.tells_topic_ids else ""

    def move_start(self, topic: str, offset: int, partition: int = 0) -> None:
        """Let all that stood before an offset age out; ids stay known."""
        log = self._logs[topic, partition]
        log.start = offset
        log.batches = [found for found in log.batches if found[0] >= offset]

    async def look_up(self, batch: Batch) -> LookedUp:
        """What the partition remembers of the batch's producer id."""
        partition = await self._behind_barrier(batch.claim.stream)
        if not self.may_read:
            return CannotTell("TopicAuthorizationFailed (29)", may_not_read=True)
        known = partition.producers.get(batch.claim.producer.id)
        if not known:
            return Forgotten()
        base, count, _ = known[-1]
        return Known((base + count - 1) % WRAP, partition.end)

    async def read_back(self, batch: Batch) -> ReadBack:
        """Look through all batches behind the lease's offset."""
        partition = await self._behind_barrier(batch.claim.stream)
        if not self.may_read:
            return CannotTell("TopicAuthorizationFailed (29)", may_not_read=True)
        offset = batch.acked_offset + 1
        wanted = (batch.claim.producer, batch.claim.base_sequence, batch.first, batch.count)
        for first, found in partition.batches:
            claim = found.claim
            if first >= offset and (claim.producer, claim.base_sequence, found.first, found.count) == wanted:
                return Found(first)
        if not partition.start <= offset <= partition.end:
            end = partition.end if partition.end < offset else -1
            return CannotTell(
                f"the partition holds {partition.start} to {partition.end}, not from {offset} on", end=end
            )
        return Absent()

    async def _behind_barrier(self, stream: Stream) -> _Partition:
        if not stream.partition < await self.partition_count(stream.topic):
            raise NotReady(f"{stream.topic}, partition {stream.partition} is not there")
        if not self.replicated:
            raise NotReady(f"{stream.topic}: the high watermark has not reached the log's end")
        return self._logs.get((stream.topic, stream.partition), _Partition())

    async def id_expiration_s(self) -> float | None:
        """As set."""
        await self.reach()
        return self.expiration_s

    async def reach(self) -> None:
        """Raises Unreachable while `reachable` is False."""
        if not self.reachable:
            raise Unreachable("the link is down")
        self._same_cluster()

    async def cluster_id(self, *, anew: bool) -> str:
        """The name of the present one."""
        if anew:
            self._found = None
        await self.reach()
        return self.cluster

    def rebuild(self, cluster: str, like: MemorySink | None = None) -> None:
        """Put a cluster of another name in the place of this one: an empty one, or one with what `like` holds."""
        like = like or MemorySink()
        self.cluster = cluster
        self._logs, self._next_id = like._logs, like._next_id  # noqa: SLF001 - one of its own kind

    def _same_cluster(self) -> None:
        self._found = self._found or self.cluster
        if self.cluster != self._found:
            raise ClusterChanged(f"cluster {self.cluster} answers in place of {self._found}")

    async def keep_ready(self, stream: Stream) -> None:
        """There is no connection to keep; raises Unreachable as `reach` does."""
        await self.partition_count(stream.topic)

    async def new_producer(self) -> Producer:
        """Ids count up from 0."""
        await self.reach()
        self._next_id += 1
        return Producer(self._next_id - 1, 0)

    async def partition_count(self, topic: str) -> int:
        """The same for all topics but `missing_topics`."""
        await self.reach()
        if topic in self.missing_topics:
            raise NotReady(f"topic {topic}: UnknownTopicOrPartition (3)", f"create the topic {topic}")
        return self._partitions

    async def log_end(self, stream: Stream) -> int:
        """One more than the partition's last offset."""
        await self.partition_count(stream.topic)
        return self._logs.get((stream.topic, stream.partition), _Partition()).end

    async def close(self) -> None:
        """Nothing is held open."""
