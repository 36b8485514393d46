"""One cluster's client: who leads what, one connection a lane and node, and the questions a gateway asks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiokafka.conn import collect_hosts

from sync.kafka.connection.connector import ConnectionCut, Connector, keep_send_buffer_small
from sync.kafka.connection.handshake import with_cure
from sync.kafka.connection.kept import CONTROL, NO_NODE, Kept
from sync.kafka.connection.nodes import Nodes
from sync.kafka.connection.protocol import TopicsRequest, topics_of
from sync.kafka.connection.traffic import Traffic
from sync.kafka.errors import error_of
from sync.kafka.errors.answers import NONE, name_of
from sync.values import BrokerUnreachable, ClusterChanged, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sync.kafka.connection.logins import Logins
    from sync.kafka.settings import KafkaSettings

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
    the connections move, and `logins` remembers what was refused, together with those of other clients of the link.
    `cluster` is the id of the cluster, None until one has answered, empty where it gives none; `one_cluster`: any
    other than the first is refused (ClusterChanged), and no connection to it is ever used. So each new one first has
    to say whose it is: an address may lead to another cluster at any moment, while connections made before still end
    at the old one.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        create_topics: bool,
        traffic: Traffic | None = None,
        logins: Logins | None = None,
        one_cluster: bool = False,
    ) -> None:
        self._brokers = list(settings.brokers)
        self._connector = Connector(settings, traffic or Traffic(), logins)
        self._create_topics = create_topics
        self._nodes = Nodes()
        self._topics: dict[str, _Topic] = {}
        self._kept = Kept()
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
            raise self._nodes.only(node, error, others=self._kept.others(node)) from error

    async def _others_answer(self, error: Unreachable) -> None:
        """Return if any broker answers within the time for one connection; raises the error if none does."""
        try:
            async with asyncio.timeout(self._connector.patience_s):
                await self.reach()
        except TimeoutError:
            raise error from None

    async def _connected(self, node: int, line: str) -> Any:
        """As `connection`; Unreachable says nothing of others."""
        async with self._kept.dialling(node, line):
            if (kept := self._kept.get(node, line)) is not None:
                return kept
            if node not in self._nodes.addresses:
                raise Unreachable(f"broker {node} is not in the cluster's list")
            host, port = self._nodes.addresses[node]
            connection = await self._dial(host, port, line)
            if line not in (CONTROL, "alert"):
                keep_send_buffer_small(connection)
            self._kept.put(node, line, connection)
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
        return self._kept.get(node, line) is not None

    async def ask(self, connection: Any, request: Any) -> Any:
        """See `Connector.ask`."""
        return await self._connector.ask(connection, request)

    async def _control(self) -> Any:
        """A connection to any broker that answers: one kept, else the known ones, else those of the settings."""
        for kept in self._kept.control().values():
            return kept
        reasons: list[str] = []
        for node in random.sample(sorted(self._nodes.addresses), len(self._nodes.addresses)):
            try:
                return await self._connected(node, CONTROL)
            except Unreachable as error:
                reasons.append(with_cure(error))
        async with self._kept.dialling(NO_NODE, CONTROL):
            if (kept := self._kept.get(NO_NODE, CONTROL)) is not None:
                return kept  # another question dialled meanwhile
            for host, port, _ in collect_hosts(self._brokers):
                try:
                    kept = await self._dial(host, port, CONTROL, first=True)
                except Unreachable as error:
                    reasons.append(with_cure(error))
                else:
                    self._kept.put(NO_NODE, CONTROL, kept)
                    return kept
        raise Unreachable("; ".join(dict.fromkeys(reasons)) or "no broker is named", "check the link")

    async def question(self, request: Any) -> Any:
        """The answer of any broker; raises Unreachable or Misconfigured."""
        return await self._over_kept(self._control, lambda connection: self._connector.ask(connection, request))

    async def _over_kept(self, connect: Callable[[], Awaitable[Any]], ask: Callable[[Any], Awaitable[Any]]) -> Any:
        """Ask over a kept connection. That the other side has cut it meanwhile says nothing of the cluster.

        So the question is asked again, at the latest over a new connection, before it counts as not answered.
        """
        while True:
            kept = self._kept.all()
            connection = await connect()
            try:
                return await ask(connection)
            except ConnectionCut:
                if not any(connection is one for one in kept):
                    raise

    async def any_node(self) -> int:
        """A node of the cluster, one that is connected if there is one; raises Unreachable."""
        await self.reach()
        known = [node for node in self._kept.control() if node in self._nodes.addresses]
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
        answer = await self._over_kept(self._control, lambda connection: self._ask_cluster(connection, topics))
        self._kept.recognise(self._nodes.addresses)
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
            raise ClusterChanged(f"another cluster ({found or 'without an id'}) answers instead of {self.cluster}")
        self.cluster = found
        told_by = f"{connection.host}:{connection.port}"
        self._nodes = Nodes({broker[0]: (broker[1], broker[2]) for broker in answer.brokers}, told_by)
        return answer

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
            reason = f"topic {topic}: partition {partition} does not exist, and this gateway writes to no other"
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

    async def ask_leader(self, topic: str, partition: int, request: Any) -> Any:
        """The answer of the node that leads a partition; raises what `leader` and `connection` raise."""

        async def leading() -> Any:
            return await self.connection(await self.leader(topic, partition), CONTROL)

        return await self._over_kept(leading, lambda connection: self._connector.ask(connection, request))

    def drop(self, node: int, line: str, why: str = "") -> None:
        """See `Kept.drop`."""
        self._kept.drop(node, line, why)

    async def close(self) -> None:
        """Close all connections; requests in flight get no answer."""
        await self._kept.close()
