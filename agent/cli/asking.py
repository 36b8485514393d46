"""Asks the running daemon over HTTP on its unix socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Never

import click

from agent.cli import NO_DAEMON, NOT_WELL, options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIMEOUT_S = 10.0
CHANGE_TIMEOUT_S = 60.0
"""A reload answers once new units are prepared, models loaded among them. The daemon itself ends a connection that it
has not answered for so long (H3)."""
_PATIENT_S = 1.0


def socket_path(config_path: Path, runtime_dir: Path | None) -> Path:
    """Where the daemon of a configuration listens. Ends the process, saying why, where that is not known."""
    return (runtime_dir or options.configured(config_path, "runtime_dir")) / "tidegate.sock"


def ask(
    path: Path, method: str, target: str, waits: Callable[[int], str] | None = None, body: bytes | None = None
) -> tuple[int, dict[str, Any]]:
    """One question: HTTP status and answer. Ends the process, saying why, where there is no answer to be had.

    Where an answer takes its time that is said at once, and again where none came: `waits` says for what, by the
    daemon's process.
    """
    connection = http.client.HTTPConnection("localhost")
    try:
        with contextlib.closing(connection):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_TIMEOUT_S if method == "GET" else CHANGE_TIMEOUT_S)
            connection.sock.connect(str(path))
            connection.request(method, target, body)
            if waits is not None:
                _wait(connection.sock, waits)
            response = connection.getresponse()
            answer = json.loads(response.read())
            return response.status, answer if isinstance(answer, dict) else {}
    except (FileNotFoundError, ConnectionRefusedError):
        _end(NO_DAEMON, f"the daemon is not running: nothing listens on {path}")
    except PermissionError:
        _end(NOT_WELL, f"no permission for {path}: run as root, or join the group that owns it")
    except TimeoutError:
        _end(NOT_WELL, f"the daemon does not answer on {path}")
    except (OSError, http.client.HTTPException, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        _end(NOT_WELL, f"cannot talk to the daemon on {path}: {why}")


def _wait(daemon: socket.socket, waits: Callable[[int], str]) -> None:
    """Until an answer begins."""
    if select.select([daemon], [], [], _PATIENT_S)[0]:
        return
    process = int.from_bytes(daemon.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)
    until = (datetime.now(UTC) + timedelta(seconds=CHANGE_TIMEOUT_S - _PATIENT_S)).strftime("%H:%M:%S")
    click.echo(f"{waits(process)}; waiting until {until} UTC", err=True)
    if not select.select([daemon], [], [], CHANGE_TIMEOUT_S - _PATIENT_S)[0]:
        later = "the daemon still does it once it can: see `tidegate status`"
        _end(NOT_WELL, f"no answer after {CHANGE_TIMEOUT_S:.0f} s: {waits(process)}; {later}")


def _end(status: int, message: str) -> Never:
    click.echo(message, err=True)
    sys.exit(status)
