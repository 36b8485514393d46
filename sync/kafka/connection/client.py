"""One cluster's client: who leads what, one connection a lane and node, and the questions a gateway asks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.conn import collect_hosts
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from sync.kafka.connection.connector import Connector, keep_send_buffer_small
from sync.kafka.connection.handshake import with_cure
from sync.kafka.connection.nodes import Nodes
from sync.kafka.connection.protocol import TopicsRequest, topics_of
from sync.kafka.connection.traffic import Traffic
from sync.kafka.errors import error_of
from sync.kafka.errors.answers import (
    NONE,
    OFFSET_OUT_OF_RANGE,
    UNKNOWN_SERVER_ERROR,
    UNSUPPORTED_VERSION,
    Fetched,
    name_of,
)
from sync.values import (
    BrokerUnreachable,
    ClusterChanged,
    Misconfigured,
    NotOffered,
    NotReady,
    Producer,
    Unreachable,
)

if TYPE_CHECKING:
    from sync.kafka.settings import KafkaSettings

CONTROL = "control"
"""The connection for questions; batches of each lane have one of their own."""

_LATEST = -1
_EARLIEST = -2
_FETCH_WAIT_MS = 500
_NO_LEADER = -1


class TopicUnavailable(Exception):  # noqa: N818 - a condition of the cluster, like NotReady
    """The cluster answered, and the topic or partition is not there or has no leader; `code` is Kafka's."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.hint = error_of(code).cure


@dataclass(frozen=True, slots=True)
class _Topic:
    """Who leads its partitions; `id` is empty where brokers tell none."""

    leaders: dict[int, int]
    id: str


class Client:
    """Connections to one cluster, made as they are needed and never retried here.

    `create_topics`: a topic asked for and not there is created, if the cluster is set to do so. `traffic` counts what
    the connections move, together with those of other clients of the link. `cluster` is the id of the cluster, None
    until one has answered, empty where it gives none; `one_cluster`: any other than the first is refused
    (ClusterChanged), and no connection to it is ever used. So each new one first has to say whose it is: an address
    may lead to another cluster at any moment, while connections made before still end at the old one.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        create_topics: bool,
        traffic: Traffic | None = None,
        one_cluster: bool = False,
    ) -> None:
        self._brokers = list(settings.brokers)
        self._connector = Connector(settings, traffic or Traffic())
        self._create_topics = create_topics
        self._nodes = Nodes()
        self._topics: dict[str, _Topic] = {}
        self._connections: dict[tuple[int, str], Any] = {}
        self._dialling: dict[tuple[int, str], asyncio.Lock] = {}
        self._unexplained = 0
        self.cannot_look_up = ""
        """Why what became of a batch cannot be asked here, once that was found and said."""
        self._one_cluster = one_cluster
        self.cluster: str | None = None

    async def connection(self, node: int, line: str) -> Any:
        """The connection to a node kept for `line` (a lane, or CONTROL), made where there is none.

        Raises:
            BrokerUnreachable: it cannot be reached at the address that the cluster announces, and others answer.
            Unreachable: nobody answers.
            ClusterChanged: another cluster answers there.
            Misconfigured: it refuses our credentials.
        """
        tried = self._nodes.addresses.get(node)
        try:
            return await self._connected(node, line)
        except Unreachable as error:
            await self._others_answer(error)
            if self._nodes.addresses.get(node) not in (tried, None):
                return await self._connected(node, line)  # the list of nodes was of another time
            kept = ((at, one) for (at, _), one in self._connections.items() if at not in (node, _NO_LEADER))
            raise self._nodes.only(node, error, others=any(one.connected() for _, one in kept)) from error

    async def _others_answer(self, error: Unreachable) -> None:
        """Return if any broker answers within the time for one connection; raises the error if none does."""
        try:
            async with asyncio.timeout(self._connector.patience_s):
                await self.reach()
        except TimeoutError:
            raise error from None

    async def _connected(self, node: int, line: str) -> Any:
        """As `connection`; Unreachable says nothing of others."""
        key = (node, line)
        async with self._dialling.setdefault(key, asyncio.Lock()):
            open_one = self._connections.get(key)
            if open_one is not None and open_one.connected():
                return open_one
            if node not in self._nodes.addresses:
                raise Unreachable(f"broker {node} is not in the cluster's list")
            host, port = self._nodes.addresses[node]
            connection = await self._dial(host, port, line)
            if line not in (CONTROL, "alert"):
                keep_send_buffer_small(connection)
            self._connections[key] = connection
            return connection

    async def _dial(self, host: str, port: int, line: str, *, first: bool = False) -> Any:
        """A new connection, to the cluster known; raises what `connection` raises. The `first` is asked next."""
        connection = await self._connector.dial(host, port, line)
        try:
            if self._one_cluster and not (first and self.cluster is None):
                await self._ask_cluster(connection, [])
        except BaseException:  # raised on at once; a connection that nobody vouched for must not stay open
            connection.close()
            raise
        return connection

    def keeps(self, node: int, line: str) -> bool:
        """Whether there is such a connection already."""
        kept = self._connections.get((node, line))
        return kept is not None and bool(kept.connected())

    async def ask(self, connection: Any, request: Any) -> Any:
        """See `Connector.ask`."""
        return await self._connector.ask(connection, request)

    async def _control(self) -> Any:
        """A connection to any broker that answers: one kept, else the known ones, else those of the settings."""
        for (_, line), kept in self._connections.items():
            if line == CONTROL and kept.connected():
                return kept
        reasons: list[str] = []
        for node in random.sample(sorted(self._nodes.addresses), len(self._nodes.addresses)):
            try:
                return await self._connected(node, CONTROL)
            except Unreachable as error:
                reasons.append(with_cure(error))
        async with self._dialling.setdefault((_NO_LEADER, CONTROL), asyncio.Lock()):
            kept = self._connections.get((_NO_LEADER, CONTROL))
            if kept is not None and kept.connected():
                return kept  # another question dialled meanwhile
            for host, port, _ in collect_hosts(self._brokers):
                try:
                    kept = self._connections[_NO_LEADER, CONTROL] = await self._dial(host, port, CONTROL, first=True)
                except Unreachable as error:
                    reasons.append(with_cure(error))
                else:
                    return kept
        raise Unreachable("; ".join(dict.fromkeys(reasons)) or "no broker is named", "is the link up?")

    async def question(self, request: Any) -> Any:
        """The answer of any broker; raises Unreachable or Misconfigured."""
        return await self._connector.ask(await self._control(), request)

    async def any_node(self) -> int:
        """A node of the cluster, one that is connected if there is one; raises Unreachable."""
        await self.reach()
        connected = [node for (node, line), kept in self._connections.items() if line == CONTROL and kept.connected()]
        known = [node for node in connected if node in self._nodes.addresses]
        return random.choice(known or sorted(self._nodes.addresses))  # noqa: S311 - spreads questions, not a secret

    async def unreachable_nodes(self) -> list[BrokerUnreachable]:
        """What cannot be reached of all that the cluster announces; raises what `reach` raises."""
        await self.reach()
        found: list[BrokerUnreachable] = []
        for node in sorted(self._nodes.addresses):
            try:
                await self.connection(node, CONTROL)
            except BrokerUnreachable as error:
                found.append(error)
        return found

    async def second_opinion(self, node: int, request: Any) -> Any:
        """The answer of the first broker other than `node` that gives one; `node`'s own where no other does.

        Raises:
            Unreachable: nobody answers.
        """
        if not self._nodes.addresses:
            await self.reach()

        async def opinion(other: int) -> Any:
            return await self._connector.ask(await self._connected(other, CONTROL), request)

        asked = [asyncio.ensure_future(opinion(other)) for other in self._nodes.addresses if other != node]
        try:
            for answered in asyncio.as_completed(asked):
                with contextlib.suppress(Unreachable):
                    return await answered
        finally:
            for slow in asked:
                slow.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return await opinion(node)

    async def cluster_id(self) -> str:
        """The id of the cluster, asked for where none has answered yet; raises what `reach` raises."""
        while self.cluster is None:
            await self.reach()
        return self.cluster

    async def reach(self) -> None:
        """One round trip to any broker, and the cluster's list of nodes anew.

        Raises:
            Unreachable: none answers.
            ClusterChanged: another cluster answers than the first one that did, and `one_cluster` was asked for.
            Misconfigured: ours is refused.
        """
        await self._refresh([])

    async def _refresh(self, topics: list[str]) -> dict[str, int]:
        """Ask for nodes and topics; the error code of each topic."""
        answer = await self._ask_cluster(await self._control(), topics)
        self._recognise_first()
        codes: dict[str, int] = {}
        for code, name, topic_id, partitions in topics_of(answer):
            codes[name] = code
            if code == NONE:
                leaders = {partition: leader for _code, partition, leader, *_ in partitions}
                self._topics[name] = _Topic(leaders, topic_id)
        return codes

    async def _ask_cluster(self, connection: Any, topics: list[str]) -> Any:
        """What a broker says of its cluster, and of `topics`; raises ClusterChanged."""
        answer = await self._connector.ask(connection, TopicsRequest(topics, create=self._create_topics))
        found = getattr(answer, "cluster_id", None) or ""
        if self._one_cluster and self.cluster not in (None, found):
            raise ClusterChanged(f"cluster {found or 'without an id'} answers in place of {self.cluster}")
        self.cluster = found
        told_by = f"{connection.host}:{connection.port}"
        self._nodes = Nodes({broker[0]: (broker[1], broker[2]) for broker in answer.brokers}, told_by)
        return answer

    def _recognise_first(self) -> None:
        """The connection made before any node was known is one to a node: it need not be made again."""
        first = self._connections.get((_NO_LEADER, CONTROL))
        if first is None:
            return
        for node, address in self._nodes.addresses.items():
            if (first.host, first.port) == address and (node, CONTROL) not in self._connections:
                self._connections[node, CONTROL] = self._connections.pop((_NO_LEADER, CONTROL))
                return

    async def _topic(self, name: str) -> _Topic:
        if name not in self._topics:
            code = (await self._refresh([name])).get(name, NONE)
            if name not in self._topics:
                raise TopicUnavailable(code, f"topic {name}: {name_of(code)}")
        return self._topics[name]

    async def forget_cluster(self) -> None:
        """Take whatever cluster answers next for ours; all connections are closed."""
        await self.close()
        self.cluster = None
        self._nodes = Nodes()
        self._topics.clear()

    def forget(self, topic: str) -> None:
        """Ask for the topic's leaders again before its next use."""
        self._topics.pop(topic, None)

    async def leader(self, topic: str, partition: int) -> int:
        """The node that leads a partition.

        Raises:
            Unreachable: no broker answers.
            TopicUnavailable: no such topic or partition, no rights, or no leader now.
        """
        leaders = (await self._topic(topic)).leaders
        leader = leaders.get(partition)
        if leader is None:
            self.forget(topic)
            reason = f"topic {topic}: partition {partition} is not there, and this gateway writes to no other"
            raise TopicUnavailable(
                3, f"{reason}: the topic has {len(leaders)}, raise that to {partition + 1} or more"
            )
        if leader == _NO_LEADER:
            self.forget(topic)
            raise TopicUnavailable(5, f"topic {topic}: partition {partition} has no leader")
        return leader

    async def partition_count(self, topic: str) -> int:
        """How many partitions a topic has, from the cluster; raises what `leader` raises."""
        self.forget(topic)
        return len((await self._topic(topic)).leaders)

    async def topic_id(self, topic: str) -> str:
        """The topic's id as last heard, empty where brokers tell none; raises what `leader` raises."""
        return (await self._topic(topic)).id

    async def log_end(self, topic: str, partition: int) -> int:
        """The offset that a partition's next record gets; raises what `leader` raises."""
        return await self._offset(topic, partition, _LATEST)

    async def log_start(self, topic: str, partition: int) -> int:
        """The oldest offset that a partition still has; raises what `leader` raises."""
        return await self._offset(topic, partition, _EARLIEST)

    async def _offset(self, topic: str, partition: int, which: int) -> int:
        connection = await self.connection(await self.leader(topic, partition), CONTROL)
        answer = await self._connector.ask(connection, OffsetRequest(-1, 0, [(topic, [(partition, which)])]))
        _partition, code, _timestamp, offset, *_ = answer.topics[0][1][0]
        if code != NONE:
            self.forget(topic)
            raise TopicUnavailable(code, f"topic {topic}: {name_of(code)}")
        return int(offset)

    async def fetch(self, topic: str, partition: int, offset: int, max_bytes: int) -> Fetched | None:
        """What stands at an offset, at most about `max_bytes` of it; None where there is no such offset.

        Raises what `leader` raises.
        """
        connection = await self.connection(await self.leader(topic, partition), CONTROL)
        wanted = [(topic, [(partition, offset, max_bytes)])]
        answer = await self._connector.ask(connection, FetchRequest(_FETCH_WAIT_MS, 1, max_bytes, 0, wanted))
        found = answer.topics[0][1][0]
        code, high_watermark, records = found[1], found[2], found[-1]
        if code == OFFSET_OUT_OF_RANGE:
            return None
        if code != NONE:
            self.forget(topic)
            raise TopicUnavailable(code, f"topic {topic}: {name_of(code)}")
        return Fetched(int(high_watermark), bytes(records or b""))

    async def new_producer(self) -> Producer:
        """A producer id that nobody had before.

        Raises:
            Unreachable: no broker answers.
            NotReady: the coordinator still loads, or the user has no right to it.
            Misconfigured: the broker has no idempotent producers.
        """
        cure = "set kafka.delivery to at_least_once, or use a broker with idempotent producers"
        try:
            answer = await self._connector.ask(await self._control(), InitProducerIdRequest(None, 0))
        except NotOffered as error:
            raise Misconfigured("the broker has no idempotent producers", "kafka.delivery", cure) from error
        code = answer.error_code
        if code == NONE:
            self._unexplained = 0
            return Producer(answer.producer_id, answer.producer_epoch)
        # Tansu answers with an error of no name, and always; Kafka itself might once.
        self._unexplained = self._unexplained + 1 if code == UNKNOWN_SERVER_ERROR else 0
        if code == UNSUPPORTED_VERSION or self._unexplained >= 3:
            raise Misconfigured("the broker has no idempotent producers", "kafka.delivery", cure)
        raise NotReady(f"no producer id: {name_of(code)}", error_of(code).cure)

    def drop(self, node: int, line: str, why: str = "") -> None:
        """Close the connection to a node for a line, if there is one; others who wait on it are told why."""
        connection = self._connections.pop((node, line), None)
        if connection is not None:
            connection.closed_for = connection.closed_for or why
            connection.close()

    async def close(self) -> None:
        """Close all connections; requests in flight get no answer."""
        connections, self._connections = self._connections, {}
        closing = [connection.close() for connection in connections.values()]
        for closed in closing:
            if closed is not None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(closed, 1.0)
