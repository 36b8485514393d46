"""An MQTT broker in pure Python, for a demo on a machine without mosquitto. It speaks MQTT 3.1.1 only.

It keeps no session over its own restart and carries a few hundred messages a second: tests use mosquitto.
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
from typing import Self

from tests.support.broker import BrokerError, free_ports
from tests.support.children import spawn

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


class Amqtt:
    """One amqtt on an ephemeral loopback port: a context manager with `start`, `stop`, `host`, `port`."""

    def __init__(self) -> None:
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
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
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
