"""The real mosquitto for tests and for the demo."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.broker import Broker, BrokerError, free_ports
from tests.support.certificates import Certificates, issue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEPLOYED = Path(__file__).parents[2] / "deploy" / "mosquitto" / "tidegate.conf"
"""The configuration that is shipped for gateways."""

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


class Mosquitto(Broker):
    """A mosquitto with persistence on, otherwise as it comes (`conf=None`) or as a file says (`conf=DEPLOYED`).

    `lines` are added to the configuration, `late` behind its listener. `users` (name to password) closes it to
    anybody else. With `tls` the port speaks TLS only, under `certificates`, made for it or given. A file's own
    listeners, paths and rights give way to the test's.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        conf: Path | None = None,
        lines: Sequence[str] = (),
        users: Mapping[str, str] | None = None,
        tls: bool | Certificates = False,
        late: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        ours = issue(self.folder / "tls") if tls is True else None
        self.certificates = tls if isinstance(tls, Certificates) else ours
        self._late = list(late)
        self._conf = conf
        self._lines = list(lines)
        self._users = users

    @property
    def database(self) -> Path:
        """Where sessions, queues and retained messages are saved."""
        return self.folder / "data" / "mosquitto.db"

    def _prepare(self) -> None:
        (self.port,) = free_ports(1)
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
        (self.folder / "mosquitto.conf").write_text("\n".join([*kept, *self._lines, *ours, *self._late, ""]))

    def _command(self) -> Sequence[str]:
        return [executable(), "-c", str(self.folder / "mosquitto.conf")]

    def _answers(self) -> bool:
        """It listens once its database is read."""
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True
