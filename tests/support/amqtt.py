"""An MQTT broker in pure Python, for a demo on a machine without mosquitto. It speaks MQTT 3.1.1 only.

It keeps no session over its own restart and carries a few hundred messages a second: tests use mosquitto, but for
what amqtt alone does.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pwdlib.hashers.argon2 import Argon2Hasher

from tests.support.broker import BrokerError, free_ports
from tests.support.children import spawn

if TYPE_CHECKING:
    from collections.abc import Mapping

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class Amqtt:
    """One amqtt on an ephemeral loopback port: a context manager with `start`, `stop`, `host`, `port`.

    `users` (name to password) closes it to anybody else; only a named user's session is kept.
    """

    def __init__(self, users: Mapping[str, str] | None = None) -> None:
        self._users = users
        self.folder = Path(tempfile.mkdtemp(prefix="amqtt-"))
        self.host = "127.0.0.1"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def start(self) -> Self:
        """Start and wait until it listens.

        Raises:
            BrokerError: it ended, or did not listen in time.
        """
        (self.port,) = free_ports(1)
        plugins: dict[str, dict[str, object]] = {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
        }
        if self._users is not None:
            passwords = self.folder / "passwords"
            hashed = {name: Argon2Hasher().hash(password) for name, password in self._users.items()}
            passwords.write_text("".join(f"{name}:{word}\n" for name, word in hashed.items()))
            plugins = {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)}}
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
            "plugins": plugins,
        }
        file = self.folder / "broker.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        with (self.folder / "broker.log").open("ab") as log:
            self._process = spawn(
                [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((self.host, self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return self
        self.stop()
        raise BrokerError(f"amqtt did not start: {(self.folder / 'broker.log').read_text(errors='replace')[-2_000:]}")

    def stop(self) -> None:
        """Ask it to end, and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGINT)  # the signal at which it closes its listeners
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
