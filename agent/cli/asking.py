"""Asks the running daemon over HTTP on its unix socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import sys
from typing import TYPE_CHECKING, Any, Never

import click

from agent.cli import NO_DAEMON, NOT_WELL

if TYPE_CHECKING:
    from pathlib import Path

_TIMEOUT_S = 10.0
# A reload answers once new units are prepared, models loaded among them.
_CHANGE_TIMEOUT_S = 120.0


def socket_path(config_path: Path, runtime_dir: Path | None) -> Path:
    """Where the daemon of a configuration listens; a broken configuration hides no daemon."""
    if runtime_dir is None:
        from agent.config import folders  # noqa: PLC0415 - pydantic, where the folder was not named

        runtime_dir = folders(config_path).runtime_dir
    return runtime_dir / "tidegate.sock"


def ask(path: Path, method: str, target: str) -> tuple[int, dict[str, Any]]:
    """One question: HTTP status and answer. Ends the process, saying why, where there is no answer to be had."""
    connection = http.client.HTTPConnection("localhost")
    try:
        with contextlib.closing(connection):
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(_TIMEOUT_S if method == "GET" else _CHANGE_TIMEOUT_S)
            connection.sock.connect(str(path))
            connection.request(method, target)
            response = connection.getresponse()
            answer = json.loads(response.read())
            return response.status, answer if isinstance(answer, dict) else {}
    except (FileNotFoundError, ConnectionRefusedError):
        _end(NO_DAEMON, f"no daemon runs: nobody listens on {path}")
    except PermissionError:
        _end(NOT_WELL, f"may not ask on {path}: be root, or in the group that owns it")
    except TimeoutError:
        _end(NOT_WELL, f"the daemon has {path} open but does not answer")
    except (OSError, http.client.HTTPException, ValueError) as fault:
        _end(NOT_WELL, f"cannot ask on {path}: {fault}")


def _end(status: int, message: str) -> Never:
    click.echo(message, err=True)
    sys.exit(status)
