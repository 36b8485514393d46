"""What the Kafka spoke is told: brokers, security, deadlines."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from sync.values import Misconfigured

if TYPE_CHECKING:
    from pathlib import Path


class CertificateDates(Protocol):
    """Judges the dates of certificates on a machine whose clock may be wrong."""

    def prepare(self, context: ssl.SSLContext) -> None:
        """Called before each handshake; one that fails for a date then raises ssl.SSLCertVerificationError."""


Compression = Literal["zstd", "gzip", "lz4", "none"]
Security = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """The upstream cluster.

    `brokers` are `host:port`, tried in random order to find the rest. `compression` is what batches leave in; in the
    log they are zstd. `request_timeout_s` is how long a
    request may go without progress (bytes leaving, or the answer once all have left), not how long it may
    take. With `create_topics` a topic that is not there is created if the cluster is set to do so; without it no
    request creates one. `password_file` and the TLS files are read again for each connection, so a replaced one is
    taken up. Without `dates` the clock is trusted to judge certificates.
    """

    brokers: tuple[str, ...]
    client_id: str = "tidegate"
    create_topics: bool = True
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    compression: Compression = "zstd"
    request_timeout_s: float = 30.0
    connect_timeout_s: float = 10.0
    security: Security = "plaintext"
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str | None = None
    password_file: Path | None = None
    dates: CertificateDates | None = field(default=None, compare=False)

    @property
    def idempotent(self) -> bool:
        """Whether batches carry a producer id and sequence (D13 says what it is without)."""
        return self.delivery == "exactly_once"


def tls_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """The TLS side of `security`, with host names checked; None where there is none.

    Raises:
        Misconfigured: a certificate file cannot be read or does not hold what it should.
    """
    if settings.security not in ("ssl", "sasl_ssl"):
        return None
    at = "kafka.ca_file"
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            at = "kafka.cert_file"
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as error:  # SSLError is an OSError; named for the reader
        raise Misconfigured(
            f"TLS files cannot be used: {error}", at, "they must be PEM and readable by the user tidegate"
        ) from error
    if settings.dates is not None:
        settings.dates.prepare(context)
    return context


def credentials(settings: KafkaSettings) -> bytes:
    """A digest of all that a login is made of: names, and what is in the files now. Reads them; never raises."""
    digest = hashlib.sha256(repr((settings.security, settings.sasl_mechanism, settings.username)).encode())
    for file in (settings.ca_file, settings.cert_file, settings.key_file, settings.password_file):
        try:
            content = b"" if file is None else b"+" + file.read_bytes()
        except OSError as error:
            content = b"-" + type(error).__name__.encode()
        digest.update(len(content).to_bytes(8) + content)
    return digest.digest()


def password(settings: KafkaSettings) -> str | None:
    """The SASL password, the first line of its file; None where there is no SASL.

    Raises:
        Misconfigured: SASL without user or password, or an unreadable file.
    """
    if not settings.security.startswith("sasl"):
        return None
    if settings.username is None or settings.password_file is None:
        missing = "kafka.username" if settings.username is None else "kafka.password_file"
        raise Misconfigured(f"security {settings.security} needs a user and a password", missing)
    try:
        # Editors on Windows put a byte-order mark before the text; it is not part of the password.
        return settings.password_file.read_text("utf-8-sig").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Misconfigured(
            f"the password in {settings.password_file} cannot be read: {reason}",
            "kafka.password_file",
            "name a file of UTF-8 text that the user tidegate may read",
        ) from error
