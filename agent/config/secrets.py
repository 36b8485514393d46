"""Secrets stand in files: systemd's credentials, or files that only the agent can read. Never in a document.

C1  Nothing here puts a secret's content into a message or a log.
C2  A pushed document may name only files in systemd's credentials directory or below the folder of config.yaml,
    so that whoever pushes cannot have some other file of the machine sent to a broker as a password.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BYTES = 64 * 1024


class SecretUnreadable(Exception):  # noqa: N818 - a state of a file
    """A secret cannot be had; the text says why, without the secret."""


def read_secret(path: Path) -> str:
    """The first line of a file, without its end.

    Raises:
        SecretUnreadable: there is no such file, it cannot be read, or it is empty, no text or absurdly large.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as fault:
        raise SecretUnreadable(f"cannot be read: {(fault.strerror or str(fault)).lower()}") from None
    if len(raw) > MOST_BYTES:
        raise SecretUnreadable(f"is larger than {MOST_BYTES // 1024} KiB")
    try:
        lines = raw.decode().splitlines()
    except UnicodeDecodeError:
        raise SecretUnreadable("is not UTF-8 text") from None
    if not lines or not lines[0]:
        raise SecretUnreadable("has nothing in its first line")
    return lines[0]


def push_may_name(path: Path, folder: Path, env: Mapping[str, str]) -> bool:
    """Whether a pushed document may have this file used (C2)."""
    credentials = env.get("CREDENTIALS_DIRECTORY")
    real = Path(os.path.realpath(path))
    allowed = [folder, Path(credentials)] if credentials else [folder]
    return any(real.is_relative_to(os.path.realpath(place)) for place in allowed)
