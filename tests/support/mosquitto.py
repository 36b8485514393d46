"""The real mosquitto for tests and for the demo: one child process on an ephemeral loopback port.

It has the surface of the Kafka brokers: a context manager, `start`, `stop` (orderly), `kill` (SIGKILL), `restart`
(same port, same data), `pause` and `resume`, `host`, `port`. All of them block; none needs an event loop.
"""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.certificates import Certificates, issue
from tests.support.children import spawn
from tests.support.kafka import BrokerError, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEPLOYED = Path(__file__).parents[2] / "deploy" / "mosquitto" / "tidegate.conf"
"""The configuration that is shipped for gateways."""

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0
_OURS = ("listener", "port", "allow_anonymous", "persistence_location", "log_dest", "pid_file", "user")


def executable() -> str:
    """The path of mosquitto; Debian puts it where the PATH of an ordinary user does not look.

    Raises:
        BrokerError: it is not installed.
    """
    found = shutil.which("mosquitto", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise BrokerError("mosquitto is not installed: apt-get install -y mosquitto mosquitto-clients")
    return found


class Mosquitto:
    """A mosquitto with persistence on, otherwise as it comes (`conf=None`) or as a file says (`conf=DEPLOYED`).

    `lines` are added to the configuration. `users` (name to password) closes it to anybody else. With `tls` the
    port speaks TLS only, under `certificates`. A file's own listeners, paths and rights give way to the test's.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        conf: Path | None = None,
        lines: Sequence[str] = (),
        users: Mapping[str, str] | None = None,
        tls: bool = False,
    ) -> None:
        self._own_folder = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="mosquitto-")) if folder is None else folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self.port = 0
        self.certificates: Certificates | None = issue(self.folder / "tls") if tls else None
        self._conf = conf
        self._lines = list(lines)
        self._users = users
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def database(self) -> Path:
        """Where sessions, queues and retained messages are saved."""
        return self.folder / "data" / "mosquitto.db"

    def _write_configuration(self) -> None:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        text = "persistence true\n" if self._conf is None else self._conf.read_text()
        kept = [line for line in text.splitlines() if line.split(" ", 1)[0] not in _OURS]
        ours = [
            f"user {getpass.getuser()}",
            f"persistence_location {data}/",
            "log_dest stderr",
            f"allow_anonymous {'false' if self._users is not None else 'true'}",
        ]
        if self._users is not None:
            passwords = self.folder / "passwords"
            passwords.write_text("".join(f"{name}:{password}\n" for name, password in self._users.items()))
            passwords.chmod(0o600)
            subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True, capture_output=True, timeout=60)
            ours.append(f"password_file {passwords}")
        ours.append(f"listener {self.port} {self.host}")
        if self.certificates is not None:
            pair = self.certificates
            ours += [f"cafile {pair.ca_file}", f"certfile {pair.server_cert}", f"keyfile {pair.server_key}"]
        (self.folder / "mosquitto.conf").write_text("\n".join([*kept, *self._lines, *ours, ""]))

    def start(self) -> Self:
        """Start and wait until it listens, its database read; a first start that meets a taken port tries another.

        Raises:
            BrokerError: it is not installed, ended, or did not listen in time.
        """
        command = [executable(), "-c", str(self.folder / "mosquitto.conf")]
        first = self.port == 0
        for attempt in range(3):
            if first:
                (self.port,) = free_ports(1)
                self._write_configuration()
            with (self.folder / "broker.log").open("ab") as log:
                self._process = spawn(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
            if self._listens():
                return self
            self.kill()
            if not first or attempt == 2:
                break
        raise BrokerError(f"mosquitto did not start: {self.log_tail()}")

    def _listens(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.running:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return True
        return False

    def stop(self) -> None:
        """Ask it to end, which writes its database, and wait for it."""
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
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Orderly stop where it runs, then start on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

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
