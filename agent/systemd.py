"""Talks to systemd: sd_notify's datagrams, so that `systemctl status` and the watchdog know how the daemon is.

And knows the machine by the id that systemd gave it.
"""

from __future__ import annotations

import hmac
import logging
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

log = logging.getLogger("tidegate.systemd")

# systemd advises half of its limit; at a third, one late sign of life is not yet the end.
WATCHDOG_SHARE = 3
STATUS_CHARACTERS = 500
_ID_BYTES = 16


# Names this application, as machine-id(5) asks: the machine's own id must not travel.
_APPLICATION_ID = bytes.fromhex("6b1d2f9e3c0a4f7d9a55e0c4716d8b23")


def machine_id(file: Path = Path("/etc/machine-id")) -> str:
    """This machine's name for this application, as `systemd-id128 machine-id --app-specific` makes it.

    "" where the machine has no id.
    """
    try:
        machine = bytes.fromhex(file.read_text().strip())
    except (OSError, ValueError):
        return ""
    if len(machine) != _ID_BYTES:
        return ""
    mixed = bytearray(hmac.digest(machine, _APPLICATION_ID, "sha256")[:_ID_BYTES])
    # The bits of a random UUID (version 4).
    mixed[6] = mixed[6] & 0x0F | 0x40
    mixed[8] = mixed[8] & 0x3F | 0x80
    return mixed.hex()


class Notifier:
    """Tells systemd what the daemon is doing. Never blocks and never raises; without systemd it does nothing.

    What the socket does not take at once is owed and goes out with the next message, newest word only: with a
    watchdog that is one `watchdog_interval_s` later at most. Methods may be called from any one thread.
    """

    def __init__(self, address: str | None, watchdog_interval_s: float | None = None) -> None:
        """Make a notifier.

        Args:
            address: a path, or `@name` in the abstract namespace; None where nobody listens.
            watchdog_interval_s: how often `watchdog` wants to be called; None where no watchdog is set.
        """
        self.watchdog_interval_s = watchdog_interval_s
        self._address = _socket_address(address)
        self._socket: socket.socket | None = None
        self._owed: dict[str, str] = {}
        self._quiet = False

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> Notifier:
        """Read what systemd passed to this process, and take it out, so that no child speaks in our name."""
        address = environ.pop("NOTIFY_SOCKET", None)
        limit_us = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        meant_for_us = not pid or pid == str(os.getpid())
        if not (limit_us.isdecimal() and int(limit_us) and meant_for_us):
            return cls(address)
        return cls(address, int(limit_us) / 1e6 / WATCHDOG_SHARE)

    @property
    def listens(self) -> bool:
        """Whether this process was started by something that wants to hear."""
        return self._address is not None

    def ready(self) -> None:
        """Starting, or a reload, is done."""
        for field in ("RELOADING", "MONOTONIC_USEC"):
            self._owed.pop(field, None)
        self._send(READY="1")

    def reloading(self) -> None:
        """A reload has begun; `ready` must follow."""
        self._owed.pop("READY", None)
        self._send(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def stopping(self) -> None:
        """The orderly stop has begun."""
        self._send(STOPPING="1")

    def status(self, text: str) -> None:
        """Say in plain words how things are; one line, cut at 500 characters."""
        self._send(STATUS=" ".join(text.split())[:STATUS_CHARACTERS])

    def watchdog(self) -> None:
        """Give a sign of life. Call it only where loop and supervision were seen to answer."""
        self._send(WATCHDOG="1")

    def close(self) -> None:
        """Give the socket back; a later message opens a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, **fields: str) -> None:
        if self._address is None:
            return
        self._owed |= fields
        message = "\n".join(f"{name}={value}" for name, value in self._owed.items())
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket.sendto(message.encode(), self._address)
        except OSError as fault:
            if not self._quiet:
                self._quiet = True
                log.warning("cannot notify systemd: %s", fault)
            return
        self._owed.clear()
        if self._quiet:
            self._quiet = False
            log.info("systemd can be notified again")


def _socket_address(address: str | None) -> str | None:
    if not address:
        return None
    if address.startswith("@"):
        return "\0" + address[1:]
    if address.startswith("/"):
        return address
    log.warning("NOTIFY_SOCKET %s is of an unknown kind; systemd is not notified", address)
    return None
