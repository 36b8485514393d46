"""The real daemon as a child process: `tidegate run` on a config of the test's own, asked over its own HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.children import spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from prometheus_client.samples import Sample

ROOT = Path(__file__).parents[2]
EXECUTABLE = Path(sys.executable).with_name("tidegate")
TIMEOUT_S = 30.0


class DaemonError(AssertionError):
    """The daemon did not do what was waited for; the message ends with its last output."""


def document(
    *,
    mqtt_port: int,
    kafka: str,
    folder: Path,
    mqtt: Mapping[str, Any] | None = None,
    subscriptions: Sequence[Mapping[str, Any]] = ({"topic": "farm/{site}/{tank}/{metric}", "unit": "1"},),
    **sections: Any,
) -> dict[str, Any]:
    """A configuration for one local broker and one Kafka; `sections` replace or extend top-level sections."""
    whole: dict[str, Any] = {
        "gateway": {
            "id": "gw-test",
            "site": "site",
            "state_dir": str(folder / "state"),
            "runtime_dir": str(folder / "run"),
        },
        # Apache Kafka creates topics that are asked for, as its own default is.
        "kafka": {"brokers": [kafka], "create_topics": True},
        "mqtt": [
            {
                "name": "barge",
                "port": mqtt_port,
                "local": True,
                "subscriptions": [dict(s) for s in subscriptions],
                **(mqtt or {}),
            }
        ],
        "http": {"port": 0},
        # What this machine's kernel says of its clock is no part of a test.
        "log": {"clock_file": str(folder / "synchronised")},
    }
    for name, section in sections.items():
        known = whole.get(name)
        whole[name] = {**known, **section} if isinstance(known, dict) else section
    return whole


class Daemon:
    """One gateway with a folder of its own: config.yaml, state, runtime directory and all output.

    `config` may be a document or the path of a file. The folder is short-named, for a unix socket's path is
    at most 107 characters, and goes away with the context.
    """

    def __init__(
        self,
        config: Callable[[Path], Mapping[str, Any]] | Path,
        *,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        executable: Path = EXECUTABLE,
    ) -> None:
        self._executable = executable
        self.folder = Path(tempfile.mkdtemp(prefix="tg-"))
        (self.folder / "synchronised").touch()
        self.state = self.folder / "state"
        self.runtime = self.folder / "run"
        if isinstance(config, Path):
            self.config_file = config
        else:
            self.config_file = self.folder / "config.yaml"
            self.configure(config(self.folder))
        self.environment = dict(environment or {})
        self._prefix = list(prefix)
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(self.folder / "notify"))
        self._notified: list[str] = []
        threading.Thread(target=self._hear, name="notices", daemon=True).start()
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def configure(self, config: Mapping[str, Any]) -> None:
        """Write config.yaml; a running daemon sees it at the next `reload`."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))

    def start(self) -> Self:
        """Start it and return at once."""
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            # Compiled once, as an installed one is, also where this run may leave no bytecode beside the sources.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "bytecode"),
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            **self.environment,
        }
        command = [*self._prefix, str(self._executable), "run", "--config", str(self.config_file)]
        with (self.folder / "output").open("ab") as output:
            self.process = spawn(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=ROOT
            )
        self.starts += 1
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def output(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "output").read_text(errors="replace")
        return ""

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def reload(self) -> None:
        """SIGHUP."""
        self.signal(signal.SIGHUP)

    def stop(self, timeout_s: float = 35.0) -> int:
        """SIGTERM; its exit status.

        Raises:
            DaemonError: it did not end in time.
        """
        if self.running:
            self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """The exit status, once it has ended."""
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise DaemonError(f"the daemon did not end within {timeout_s:g} s:\n{self.output[-4_000:]}") from None

    def kill(self) -> None:
        """SIGKILL, for the main process alone; its children have to notice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(TIMEOUT_S)

    def request(
        self, method: str, path: str, body: bytes | None = None, *, timeout_s: float = 5.0
    ) -> tuple[int, bytes]:
        """Ask over the unix socket.

        Raises:
            OSError: nobody answers there.
        """
        connection = http.client.HTTPConnection("localhost", timeout=timeout_s)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(timeout_s)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.runtime / "tidegate.sock"))
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def health(self) -> dict[str, Any]:
        """`/health/detailed`."""
        found: dict[str, Any] = json.loads(self.request("GET", "/health/detailed")[1])
        return found

    def metrics(self) -> list[Sample]:
        """Every sample of `/metrics`."""
        page = self.request("GET", "/metrics")[1].decode()
        return [sample for family in text_string_to_metric_families(page) for sample in family.samples]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels; 0 where there are none."""
        return sum(
            sample.value
            for sample in self.metrics()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def until(self, holds: Callable[[], object], what: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until something holds, while the daemon lives; what cannot be asked yet does not hold yet.

        Raises:
            DaemonError: the time is over, or the daemon has ended.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
                if holds():
                    return
            if not self.running:
                status = self.process.returncode if self.process else None
                raise DaemonError(f"not {what}: the daemon ended with {status}:\n{self.output[-4_000:]}")
            if time.monotonic() > deadline:
                raise DaemonError(f"not {what} within {timeout_s:g} s:\n{self.output[-4_000:]}")
            time.sleep(0.05)

    def until_ready(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until every MQTT connection is up (and so its subscriptions are made)."""

        def connected() -> bool:
            sessions = [sample.value for sample in self.metrics() if sample.name == "tidegate_mqtt_connected"]
            return bool(sessions) and all(sessions)

        self.until(connected, "connected to MQTT", timeout_s)

    def until_drained(self, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until nothing is left to send."""
        self.until(lambda: self.total("tidegate_log_depth_records") == 0, "drained", timeout_s)

    def _hear(self) -> None:
        # Read as systemd would: a queue that nobody empties turns notifications away.
        while notice := self._notices.recv(65_536):
            self._notified += notice.decode(errors="replace").splitlines()

    def notices(self) -> list[str]:
        """All that it has told systemd so far, line by line."""
        return list(self._notified)

    def status(self) -> str:
        """The newest STATUS line."""
        return next((n.removeprefix("STATUS=") for n in reversed(self.notices()) if n.startswith("STATUS=")), "")

    def tree(self) -> list[int]:
        """The pids of the daemon and all its descendants."""
        return descendants(self.pid)

    def memory_bytes(self) -> int:
        """PSS over all processes."""
        return sum(pss_bytes(pid) for pid in self.tree())

    def cpu_s(self) -> float:
        """CPU time used so far, user and system, over all processes that live."""
        return sum(cpu_s(pid) for pid in self.tree())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.kill()
        self._notices.shutdown(socket.SHUT_RDWR)
        self._notices.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def descendants(pid: int) -> list[int]:
    """A process and all below it; those that end meanwhile are left out."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += descendants(int(child))
    return found


def pss_bytes(pid: int) -> int:
    """Proportional set size of one process; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid: int) -> float:
    """User and system time of one process, its ended and waited-for children included."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0
