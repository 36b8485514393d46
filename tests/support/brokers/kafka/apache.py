"""Older Apache Kafka: 3.9 as the newest one is started, and 2.8 with the ZooKeeper that it still needs."""

from __future__ import annotations

import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING

from tests.support.broker import BrokerError
from tests.support.brokers.packages import maven
from tests.support.children import spawn
from tests.support.kafka import ApacheKafka

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_OPTIONS = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def _server(version: str, folder: Path) -> list[str]:
    options = [*_OPTIONS, f"-Dkafka.logs.dir={folder}", "-cp", f"{_jars(version)}/*"]
    return ["java", *options, "kafka.Kafka", "server.properties"]


def _jars(version: str) -> Path:
    return maven(f"kafka-{version}", f"org.apache.kafka:kafka_2.13:{version}")


class ApacheKafka39(ApacheKafka):
    """The last release that can also do without KRaft; here it runs with it."""

    VERSION = "3.9.1"

    def _format(self) -> None:
        controller = f"{self.host}:{self._controller_port}"
        alone = {"offsets.topic.replication.factor": "1", "transaction.state.log.replication.factor": "1"}
        self._write_properties(
            {"controller.quorum.bootstrap.servers": controller, "transaction.state.log.min.isr": "1"} | alone
        )
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["java", "-cp", f"{_jars(self.VERSION)}/*", "kafka.tools.StorageTool", "format", "--standalone"]
        done = subprocess.run(
            [*tool, f"--cluster-id={cluster}", "-c", "server.properties"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise BrokerError(f"StorageTool format: {(done.stdout + done.stderr)[-2_000:]}")

    def _command(self) -> Sequence[str]:
        return _server(self.VERSION, self.folder)


class ApacheKafka28(ApacheKafka):
    """Its ZooKeeper is started with it, and stays when the broker is stopped or killed."""

    VERSION = "2.8.2"

    def __init__(self, folder: Path | None = None, config: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, config)
        self._zookeeper: subprocess.Popen[bytes] | None = None

    def _format(self) -> None:
        (self.folder / "zookeeper.properties").write_text(
            # Sessions of 1 s may be asked for: a broker that was killed is forgotten before it starts again.
            f"dataDir={self.folder}/zookeeper\nclientPort={self._controller_port}\nclientPortAddress={self.host}\n"
            "tickTime=500\nadmin.enableServer=false\n"
        )
        self._end_zookeeper()
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        with (self.folder / "zookeeper.log").open("ab") as log:
            self._zookeeper = spawn(
                ["java", *_OPTIONS, "-cp", f"{_jars(self.VERSION)}/*", main, "zookeeper.properties"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )
        listeners = f"PLAINTEXT://{self.bootstrap}"
        link = f"LINK://{self.host}"
        properties = {
            "broker.id": "1",
            "zookeeper.connect": f"{self.host}:{self._controller_port}",
            "zookeeper.session.timeout.ms": "2000",
            "listeners": f"{listeners},{link}:{self.behind_link_port}",
            "advertised.listeners": f"{listeners},{link}:{self.link_port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,LINK:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "2",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
        }
        lines = "".join(f"{key}={value}\n" for key, value in properties.items())
        (self.folder / "server.properties").write_text(lines)

    def _command(self) -> Sequence[str]:
        return _server(self.VERSION, self.folder)

    def _end_zookeeper(self) -> None:
        process, self._zookeeper = self._zookeeper, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(self.stop_timeout_s)

    def __exit__(self, *about: object) -> None:
        self.kill()
        self._end_zookeeper()
        super().__exit__(*about)
