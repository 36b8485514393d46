"""Apache Kafka on three nodes, each broker and controller at once, for what one node cannot show: replication,
a leader that moves, a partition without a leader.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int8, Int16, Int32, Schema, String

from tests.support.broker import BrokerError, free_ports
from tests.support.kafka import ApacheKafka, ask_admin, format_storage
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiokafka.admin import AIOKafkaAdminClient

_TOGETHER = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "auto.leader.rebalance.enable": "false",
    "replica.lag.time.max.ms": "5000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
}


class Node(ApacheKafka):
    """One of the nodes: `stop`, `kill`, `start`, `pause`, `resume` are those of every broker."""

    def __init__(self, folder: Path, number: int, ports: list[int], config: Mapping[str, str]) -> None:
        super().__init__(folder)
        self.number = number
        self.port, self._controller_port, self.link_port, self.behind_link_port = ports
        self._write_properties(dict(config) | {"node.id": str(number)})

    def adopt(self, formatted: Path) -> None:
        """Take the storage that was formatted for another node: a format costs a second of Java."""
        shutil.copytree(formatted, self.folder / "data")
        meta = self.folder / "data" / "meta.properties"
        kept = [line for line in meta.read_text().splitlines() if not line.startswith(("node.id", "directory.id"))]
        meta.write_text("\n".join([*kept, f"node.id={self.number}", ""]))

    def link(self) -> Proxy:
        """A link to stand between gateways and this node, not opened yet; see `ApacheKafka`."""
        return Proxy(self.host, self.behind_link_port, at=self.link_port)


class KafkaCluster:
    """Nodes 1 to 3 in `nodes`. Topics have three replicas and need two in sync, unless `config` says otherwise.

    `bootstrap` names all; `link_brokers` the same as gateways behind links see them, which is what the three
    proxies of `Node.link` are for. All methods block.
    """

    def __init__(self, config: Mapping[str, str] | None = None, scram: Mapping[str, str] | None = None) -> None:
        self._config = _TOGETHER | dict(config or {})
        self._scram = dict(scram or {})
        self.folder = Path(tempfile.mkdtemp(prefix="kafkacluster-"))
        self.nodes: dict[int, Node] = {}

    @property
    def bootstrap(self) -> list[str]:
        return [node.bootstrap for node in self.nodes.values()]

    @property
    def link_brokers(self) -> tuple[str, ...]:
        return tuple(f"{node.host}:{node.link_port}" for node in self.nodes.values())

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all nodes and forget what they held."""
        for node in self.nodes.values():
            node.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        ports = {number: free_ports(4) for number in (1, 2, 3)}
        voters = ",".join(f"{number}@127.0.0.1:{controller}" for number, (_, controller, *_) in ports.items())
        config = {"controller.quorum.voters": voters} | self._config
        self.nodes = {n: Node(self.folder / str(n), n, mine, config) for n, mine in ports.items()}
        first, *others = self.nodes.values()
        format_storage(first.folder, scram=self._scram)
        for node in others:
            node.adopt(first.folder / "data")
        with ThreadPoolExecutor(3) as starting:
            list(starting.map(Node.start, self.nodes.values()))
        self.wait(lambda: len(self.ask(lambda admin: admin.describe_cluster())["brokers"]) == 3, "three brokers")

    def ask(self, question: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
        """The answer of an admin request to whatever node runs and answers."""
        return ask_admin([node.bootstrap for node in self.nodes.values() if node.running], question)

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Poll until it holds.

        Raises:
            BrokerError: it did not in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with contextlib.suppress(KafkaError, OSError, asyncio.TimeoutError):
                if condition():
                    return
            time.sleep(0.1)
        raise BrokerError(f"no {what} in {timeout_s:g} s")

    def create_topic(
        self,
        name: str,
        replicas: Mapping[int, list[int]] | None = None,
        configs: Mapping[str, str] | None = None,
    ) -> None:
        """A topic whose partitions lie on the nodes named, the preferred leader first; one on all if not said."""
        topic = NewTopic(name, -1, -1, dict(replicas or {0: [1, 2, 3]}), dict(configs or {}))
        code, message = self.ask(lambda admin: admin.create_topics([topic])).topic_errors[0][1:3]
        if code != 0:
            raise BrokerError(f"topic {name}: {for_code(code).__name__} {message}")
        self.wait(lambda: all(self.leader_of(name, p) is not None for p in replicas or {0: []}), f"leader of {name}")

    def add_partitions(self, topic: str, total: int) -> None:
        """Give a topic more partitions."""
        self.ask(lambda admin: admin.create_partitions({topic: NewPartitions(total)}))
        self.wait(lambda: self.leader_of(topic, total - 1) is not None, f"leader of {topic} {total - 1}")

    def partitions(self, topic: str) -> int:
        """How many a topic has."""
        return len(self.ask(lambda admin: admin.describe_topics([topic]))[0]["partitions"])

    def leader_of(self, topic: str, partition: int = 0) -> int | None:
        """The number of the node that leads; None where there is none."""
        leader = self._described(topic, partition)["leader"]
        return None if leader < 0 else leader

    def in_sync(self, topic: str, partition: int = 0) -> set[int]:
        """The nodes whose replicas are in sync."""
        return set(self._described(topic, partition)["isr"])

    def _described(self, topic: str, partition: int) -> dict[str, Any]:
        found = self.ask(lambda admin: admin.describe_topics([topic]))[0]
        of_it = [part for part in found["partitions"] if part["partition"] == partition]
        return of_it[0] if of_it else {"leader": -1, "isr": [], "replicas": []}

    def move_leader(self, topic: str, to: int, partition: int = 0) -> None:
        """Make a replica the preferred one and have it elected; it must be in sync."""
        others = [number for number in self._described(topic, partition)["replicas"] if number != to]

        async def move(admin: AIOKafkaAdminClient) -> None:
            asked = [(topic, [(partition, [to, *others], {})], {})]
            await admin._send_to_controller(AlterPartitionReassignmentsRequest(10_000, asked, {}))
            await admin._send_to_controller(_ElectLeaders(topic, partition))

        def moved() -> bool:
            self.ask(move)
            return self.leader_of(topic, partition) == to

        self.wait(moved, f"leader {to} of {topic}")


class _ElectedResponse(Response):
    API_KEY = 43
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "topics",
            Array(
                ("name", String("utf-8")),
                (
                    "partitions",
                    Array(("partition", Int32), ("error_code", Int16), ("message", String("utf-8"))),
                ),
            ),
        ),
    )


class _ElectStruct(RequestStruct):
    API_KEY = 43
    API_VERSION = 1
    RESPONSE_TYPE = _ElectedResponse
    SCHEMA = Schema(
        ("election", Int8),
        ("topics", Array(("name", String("utf-8")), ("partitions", Array(Int32)))),
        ("timeout_ms", Int32),
    )


class _ElectLeaders(Request[_ElectStruct]):
    """The preferred replica is to lead."""

    API_KEY = 43

    def __init__(self, topic: str, partition: int) -> None:
        self._topics = [(topic, [partition])]

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(0, self._topics, 10_000)
