"""The sink of the shipper: one pre-built batch a request, acknowledged by all replicas in sync."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest

from sync.batches import frame_batch, recompressed, sending_ms
from sync.kafka.connection.client import Client, TopicUnavailable
from sync.kafka.connection.pacing import Pacing
from sync.kafka.errors.answers import UNSUPPORTED_VERSION, outcome_of
from sync.kafka.questions.assess import EXPIRY, Role, TopicAssessment, assess
from sync.kafka.questions.configs import broker_config
from sync.kafka.questions.lookup import LookUp, cannot_ask
from sync.kafka.questions.newest import NewestOf
from sync.kafka.questions.partition import Partition
from sync.kafka.questions.producers import Producers
from sync.values import (
    Accepted,
    BrokerUnreachable,
    Lane,
    NotOffered,
    NotReady,
    Outcome,
    Producer,
    Refused,
    Stream,
    Unknown,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sync.kafka.connection.logins import Logins
    from sync.kafka.connection.traffic import Traffic
    from sync.kafka.settings import Compression, KafkaSettings
    from sync.values import Batch, LookedUp, ReadBack

_EXPANSION: Final[Mapping[Compression, float]] = {"zstd": 1.0, "gzip": 1.5, "lz4": 2.0, "none": 10.0}
"""How many times larger than in zstd a body is, until one was sent: telemetry in JSON."""
_SMALL_BYTES: Final = 16 * 1024
"""So much is compressed again within a few ms; more than that is done in a thread, beside the loop."""
_ALL_IN_SYNC = -1
_ASK_AGAIN_S = 3600.0


class KafkaSink:
    """Apache Kafka (D2, D3, D5): a batch leaves on its lane's own connection, and only its answer keeps that open.

    `clock_trusted` says whether the wall clock is believed now; without it, it is.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        traffic: Traffic | None = None,
        *,
        logins: Logins | None = None,
        clock_trusted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._clock_trusted = clock_trusted
        create = settings.create_topics
        self._client = Client(settings, create_topics=create, traffic=traffic, logins=logins, one_cluster=True)
        self._producers = Producers(self._client)
        self._expiration_s: float | None = None
        self._ask_expiration_again_s = 0.0
        self._ask_topic_again_s: dict[str, float] = {}
        self._pacing: dict[tuple[int, Lane], Pacing] = {}
        self.expansion = _EXPANSION[settings.compression]

    @property
    def idempotent(self) -> bool:
        """Whether batches must carry a producer id from `new_producer`."""
        return self._settings.idempotent

    @property
    def timed(self) -> bool:
        """Whether what is sent now bears a time (D5)."""
        return self._now_ms() >= 0

    def _now_ms(self) -> int:
        return sending_ms(trusted=self._clock_trusted())

    async def send(self, batch: Batch) -> Outcome:
        """Send one batch and wait for its answer; what a broker or a link does to it is in the outcome.

        Cancelled, it closes the connection: the batch may have been taken.

        Raises:
            ClusterChanged: another cluster answers; nothing was sent.
            Misconfigured: the cluster refuses this gateway's credentials.
        """
        stream = batch.claim.stream
        client = self._client
        try:
            node = await client.leader(stream.topic, stream.partition)
            connection = await client.connection(node, stream.lane)
        except (Unreachable, BrokerUnreachable) as error:
            client.forget(stream.topic)
            broker = error.broker if isinstance(error, BrokerUnreachable) else ""
            return Unknown(error.reason, left=False, broker=broker, hint=error.hint)
        except TopicUnavailable as error:
            return Refused(error.code, error.reason, permanent=False, hint=error.hint)
        outcome: Outcome | None = None
        try:
            body = await self._as_it_leaves(batch.body)
            pacing = self._pacing.setdefault((node, stream.lane), Pacing())
            if stream.lane is not Lane.ALERT:
                pacing.apply(connection)
            frame = frame_batch(batch, self._now_ms(), self._settings.compression, body)
            began_s = time.monotonic()
            milliseconds = int(self._settings.request_timeout_s * 1000)
            topics = [(stream.topic, [(stream.partition, frame)])]
            answer = await client.ask(connection, ProduceRequest(None, _ALL_IN_SYNC, milliseconds, topics))
            _partition, code, offset, *_ = answer.topics[0][1][0]
            outcome = outcome_of(code, offset)
            pacing.answered(len(frame), time.monotonic() - began_s)
        except Unreachable as error:
            outcome = Unknown(error.reason)
        except NotOffered as error:
            outcome = Refused(UNSUPPORTED_VERSION, error.reason, permanent=False)
        finally:
            if not isinstance(outcome, Accepted):
                client.forget(stream.topic)
            if not isinstance(outcome, Accepted | Refused):
                # What is refused was answered: no late copy of it is under way, and others of the lane wait on it.
                why = (
                    (f"connection closed while a batch of {stream.topic} was in flight: {outcome.reason}")
                    if outcome is not None
                    else ""
                )
                client.drop(node, stream.lane, why)
        return outcome

    async def _as_it_leaves(self, body: bytes) -> bytes:
        """A body of the log in the codec of the settings."""
        compression = self._settings.compression
        if compression == "zstd":
            return body
        if len(body) <= _SMALL_BYTES:
            leaves = recompressed(body, compression)
        else:
            leaves = await asyncio.to_thread(recompressed, body, compression)
        self.expansion = max(len(leaves) / len(body), 1.0)
        return leaves

    async def look_up(self, batch: Batch) -> LookedUp:
        """What the brokers remember of the batch's producer id, replicated and under one leader epoch (D6, F7).

        Raises:
            NotReady: the partition has no leader, its leader changed meanwhile, or not all of it is replicated
                yet; Unreachable where nobody answers.
            Misconfigured: the cluster refuses this gateway's credentials.
        """
        return await LookUp(self._client, batch).look_up()

    async def read_back(self, batch: Batch) -> ReadBack:
        """Whether the batch stands in its partition, read from the lease's offset to the end; raises as `look_up`."""
        return await LookUp(self._client, batch).read_back()

    async def cannot_look_up(self) -> str:
        """What the brokers lack for `look_up` and `read_back` to answer, empty if nothing; raises NotReady."""
        return await cannot_ask(self._client)

    async def id_expiration_s(self) -> float | None:
        """After how long the brokers forget a producer id (F4); None where this user may not ask. Raises NotReady.

        What they say, or that they do not, is believed for an hour: a setting may change, a right be granted.
        """
        now_s = time.monotonic()
        if now_s >= self._ask_expiration_again_s:
            value = await broker_config(self._client, EXPIRY)
            self._expiration_s = int(value) / 1_000 if value else None
            self._ask_expiration_again_s = now_s + _ASK_AGAIN_S
        return self._expiration_s

    async def assess(self, topics: Mapping[str, Role]) -> list[TopicAssessment]:
        """What the cluster grants for topics, each by its role (D12); raises Unreachable or Misconfigured."""
        return await assess(self._client, topics)

    async def unreachable_brokers(self) -> list[BrokerUnreachable]:
        """What cannot be reached of all that the cluster announces; raises Unreachable or Misconfigured."""
        return await self._client.unreachable_nodes()

    def newest_of(self, topic: str, key: bytes) -> NewestOf:
        """Asks over the sink's own connections for the newest record of a key (D11)."""
        return NewestOf(self._client, topic, key)

    async def keep_ready(self, stream: Stream) -> None:
        """Make the stream's own connection, or use it once, lest it be closed as idle; raises NotReady."""
        client = self._client
        try:
            node = await client.leader(stream.topic, stream.partition)
            kept = client.keeps(node, stream.lane)
            connection = await client.connection(node, stream.lane)
        except TopicUnavailable as error:
            raise NotReady(error.reason, error.hint) from error
        if kept:
            await client.ask(connection, MetadataRequest([], allow_auto_topic_creation=False))

    async def reach(self) -> None:
        """One round trip to the cluster; raises Unreachable where there is none."""
        await self._client.reach()

    async def cluster_id(self, *, anew: bool) -> str:
        """Which cluster this is; raises NotReady, and ClusterChanged where it is another one and not asked `anew`."""
        if anew:
            await self._client.forget_cluster()
            self._ask_expiration_again_s = 0.0
            self._pacing.clear()
        return await self._client.cluster_id()

    async def new_producer(self) -> Producer:
        """A fresh producer id (D9); raises NotReady, or Misconfigured where the broker has none."""
        return await self._producers.new()

    async def partition_count(self, topic: str) -> int:
        """How many partitions a topic has; raises NotReady."""
        try:
            return await self._client.partition_count(topic)
        except TopicUnavailable as error:
            raise NotReady(error.reason, f"create the topic {topic}, or give the gateway rights to it") from error

    async def topic_id(self, topic: str, *, refresh: bool) -> str:
        """Which topic goes by this name, empty if the brokers do not say (before 2.8); raises NotReady."""
        now_s = time.monotonic()
        if refresh or now_s >= self._ask_topic_again_s.setdefault(topic, now_s + _ASK_AGAIN_S):
            self._ask_topic_again_s[topic] = now_s + _ASK_AGAIN_S
            self._client.forget(topic)
        try:
            return await self._client.topic_id(topic)
        except TopicUnavailable as error:
            raise NotReady(error.reason) from error

    async def log_end(self, stream: Stream) -> int:
        """The offset of the partition's next record, for the first lease on it (D1); raises NotReady."""
        try:
            return await Partition(self._client, stream.topic, stream.partition).end()
        except TopicUnavailable as error:
            raise NotReady(error.reason, error.hint) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()
