"""A small certificate authority for tests of TLS: made by OpenSSL's own command, good for a day."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files in PEM: the authority, a server's pair for localhost and 127.0.0.1, a client's pair."""

    ca_file: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def issue(
    folder: Path,
    *,
    names: str = "DNS:localhost,IP:127.0.0.1",
    environment: Mapping[str, str] | None = None,
) -> Certificates:
    """Make a new authority and what it signs in `folder`.

    `names` are those of the certificates; an environment may give OpenSSL another clock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key = folder / "ca.pem", folder / "ca.key"
    _openssl(
        "req",
        "-x509",
        *_NEW_KEY,
        "-subj",
        "/CN=test authority",
        "-keyout",
        str(ca_key),
        "-out",
        str(ca),
        environment=environment,
    )
    for name in ("server", "client"):
        subject = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={names}")
        signed = ("-CA", str(ca), "-CAkey", str(ca_key), "-addext", "basicConstraints=CA:FALSE")
        files = ("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem"))
        _openssl("req", "-x509", *_NEW_KEY, *subject, *signed, *files, environment=environment)
    return Certificates(
        ca, folder / "server.pem", folder / "server.key", folder / "client.pem", folder / "client.key"
    )


def issue_client(folder: Path, authority: Path, *, days: int = 1) -> tuple[Path, Path]:
    """Another client's certificate and key, signed by the authority made in a folder; expired where `days` is -1."""
    folder.mkdir(parents=True, exist_ok=True)
    key, request, certificate = folder / "client.key", folder / "client.req", folder / "client.pem"
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=client")
    _openssl("req", "-new", *new, "-keyout", str(key), "-out", str(request))
    signed = ("-CA", str(authority / "ca.pem"), "-CAkey", str(authority / "ca.key"), "-CAcreateserial")
    _openssl("x509", "-req", "-in", str(request), *signed, "-days", str(days), "-out", str(certificate))
    return certificate, key


def _openssl(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    environment = {**os.environ, **(environment or {})}
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60, env=environment)
