"""What every broker of the tests is: one child process on ephemeral loopback ports, with a folder and a log.

The surface: a context manager, `start`, `stop` (orderly), `kill` (SIGKILL), `restart` (same ports, and the same data
where the broker keeps any), `pause` and `resume` (SIGSTOP, SIGCONT), `host`, `port`. All of it blocks, and none of it
needs or minds a running event loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from tests.support.children import spawn

if TYPE_CHECKING:
    from collections.abc import Sequence


class BrokerError(RuntimeError):
    """A broker could not be brought up; the message ends with what it logged last."""


# One byte for each port. A process locks the bytes of the ports that it has been given, and the kernel takes the
# locks back when the process ends, however it ends. Opened once: to close any other descriptor of this file would
# give up all locks. Always in /tmp: a run with a TMPDIR of its own shares the ports all the same.
_PORTS_FILE = Path("/tmp") / f"tidegate-test-ports-{os.getuid()}"
_given: set[int] = set()
_open_ports_file: list[int] = []


def _is_ours(port: int) -> bool:
    """Take a port for this process, unless it was given before, here or to a process that still runs."""
    if port in _given:
        return False
    if not _open_ports_file:
        _open_ports_file.append(os.open(_PORTS_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    try:
        fcntl.lockf(_open_ports_file[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _given.add(port)
    return True


def free_ports(count: int) -> list[int]:
    """Ports that are free and stay so: no other call gets them while this process runs, in any test run of this user.

    A broker that is down keeps its port this way, also from the tests that run beside it. The ports lie below the
    range from which the kernel takes the source ports of clients. Inside that range a client that retries while
    its broker is down can be given the broker's own port, and then either connects to itself or keeps the broker
    from coming back.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            candidate = random.randrange(15_000, 32_000)
            if not _is_ours(candidate):
                continue
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            ports.append(candidate)
    return ports


def _state(task: Path) -> str:
    """What a thread does, in the kernel's one letter; X where it has ended."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


class Broker(ABC):
    """One broker. A first start that meets a taken port tries another."""

    start_timeout_s: ClassVar[float] = 90.0
    stop_timeout_s: ClassVar[float] = 60.0

    def __init__(self, folder: Path | None = None) -> None:
        self._own_folder = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-")) if folder is None else folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Whatever must exist before the first start; picks the ports."""

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """What to start."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it serves; asked again and again after a start."""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and wait until it serves.

        Raises:
            BrokerError: it is not installed, ended, or did not serve in time.
        """
        first = self.port == 0
        for attempt in range(3):
            if self.port == 0:
                self._prepare()
            with (self.folder / "broker.log").open("ab") as log:
                self._process = spawn(
                    self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder
                )
            if self._serves():
                return self
            self.kill()
            if not first or attempt == 2:
                break
            self.port = 0
        raise BrokerError(f"{type(self).__name__} did not start: {self.log_tail()}")

    def _serves(self) -> bool:
        deadline = time.monotonic() + self.start_timeout_s
        while time.monotonic() < deadline and self.running:
            if self._answers():
                return True
            time.sleep(0.02)
        return False

    def stop(self) -> None:
        """Ask it to end, and wait for it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what it had not saved is gone."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(self.stop_timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(self.stop_timeout_s)

    def restart(self) -> None:
        """Orderly stop where it runs, then start again."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered. Done once every thread stands still."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self._process.pid}/task")
        while any(_state(task) not in "TZX" for task in tasks.iterdir()):
            time.sleep(0.001)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

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
