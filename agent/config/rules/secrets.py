"""Secrets stand in files: systemd's credentials, or files that only the agent can read. Never in a document.

K1  Nothing here puts a secret's content into a message or a log.
K2  A pushed document may name only files in systemd's credentials directory or below the folder of config.yaml,
    so that whoever pushes cannot have some other file of the machine sent to a broker as a password.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from agent.config.rules.findings import Findings
    from drivers.spelling import Location

_FILES = ("ca_file", "cert_file", "key_file", "password_file")
_SECRET = ("key_file", "password_file")
_LOGIN_IN_ADDRESS = re.compile(r"^[a-z0-9+]+://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{[A-Za-z0-9_]+\}")
MOST_BYTES = 64 * 1024


class SecretUnreadable(Exception):  # noqa: N818 - a state of a file
    """A secret cannot be had; the text says why, without the secret."""


def read_secret(path: Path) -> str:
    """The first line of a file, without its end and without the byte-order mark of Windows editors.

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
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise SecretUnreadable("is not UTF-8 text; save it again as UTF-8") from None
    if not lines or not lines[0]:
        raise SecretUnreadable("has nothing in its first line")
    return lines[0]


def look_at_secrets(findings: Findings, place: Callable[[Path], Path]) -> list[tuple[Location, Path]]:
    """Files with secrets and certificates must be there. Returns those that hold secrets, with their keys."""
    found = []
    for location, section in _sections(findings):
        for key in _FILES:
            name = section.get(key)
            if not isinstance(name, str):
                continue
            path = place(Path(name))
            if key in _SECRET:
                found.append(((*location, key), path))
            try:
                read_secret(path)
            except SecretUnreadable as fault:
                hint = "create it, readable by the user that runs the agent"
                findings.say((*location, key), f"the file {findings.written((*location, key))} {fault}", hint)
        has = [key for key in ("cert_file", "key_file") if section.get(key) is not None]
        if len(has) == 1:
            lacking = "key_file" if has == ["cert_file"] else "cert_file"
            findings.say((*location, has[0]), f"needs {lacking} beside it", f"add {lacking}: …")
    return found


def look_at_push(
    findings: Findings, secret_files: list[tuple[Location, Path]], folder: Path, env: Mapping[str, str]
) -> None:
    """What is allowed in config.yaml but not in a push: secret files elsewhere, and passwords written out."""
    credentials = env.get("CREDENTIALS_DIRECTORY")
    allowed = [os.path.realpath(home) for home in (folder, credentials) if home]
    for location, path in secret_files:
        if not any(Path(os.path.realpath(path)).is_relative_to(home) for home in allowed):
            hint = "use ${CREDENTIALS_DIRECTORY}/… or a file beside config.yaml"
            findings.say(location, "a push may not name a secret file there", hint)
    for location, _ in findings.items("cameras"):
        if _LOGIN_IN_ADDRESS.match(_VARIABLE.sub("", findings.raw((*location, "source")))):
            hint = "write ${TIDEGATE_…} in its place and set it on the gateway"
            findings.say((*location, "source"), "a push must not contain a password", hint)


def _sections(findings: Findings) -> Iterator[tuple[Location, dict[str, Any]]]:
    yield ("kafka",), findings.section("kafka")
    for location, connection in findings.items("mqtt"):
        yield location, connection
        if isinstance(tls := connection.get("tls"), dict):
            yield (*location, "tls"), tls
