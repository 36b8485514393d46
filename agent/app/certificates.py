"""Dates of TLS certificates on a box whose clock may be wrong.

A gateway without a battery-backed clock boots in 1970, and every certificate is "not yet valid" then. What a wrong
clock cannot judge is left out, and nothing else: the chain and the host name are always checked.

X1  If the clock is trusted, OpenSSL judges both dates of every certificate, as usual.
X2  If it is not, `notBefore` is not judged, and `notAfter` of each certificate of the chain must not lie before the
    floor: the newest time that a trusted clock ever showed here, and at least the date of this release.
X3  A connection made under X2 is judged again, by both dates, as soon as the clock is trusted; if it fails, it is
    dropped.
X4  The floor is on disk. It rises as soon as the clock is trusted and every hour after that; it goes back only after
    the clock was trusted for an hour without a break and still shows less.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
import time
import weakref
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from agent import RELEASED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

log = logging.getLogger("tidegate.certificates")

NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL; Python's ssl has no name for it."""
NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
"""OpenSSL's own numbers, X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_LOOK_EVERY_S = 1.0
_KEEP_EVERY_S = 3600.0


class _Dropping(Protocol):
    """A connection that can be ended for a date."""

    _sslobj: Any

    def drop(self, error: ssl.SSLCertVerificationError) -> None: ...


class TimeFloor:
    """The newest time that a trusted clock showed on this box, kept in one small file (X4). Times in s since 1970."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept_s = self._read()
        self._trusted_since: float | None = None
        self._next_s = 0.0

    @property
    def seconds(self) -> float:
        """It is now at least this late."""
        return max(self._kept_s, RELEASED.timestamp())

    def look(self, *, trusted: bool, now_s: float, mono_s: float) -> None:
        """Learn from the clock. Writes the file at most once an hour; a disk that refuses is not an error here."""
        if not trusted:
            self._trusted_since = None
            self._next_s = 0.0
            return
        if self._trusted_since is None:
            self._trusted_since = mono_s
        if mono_s < self._next_s:
            return
        if now_s > self._kept_s or mono_s - self._trusted_since >= _KEEP_EVERY_S:
            self._kept_s = now_s
            self._write()
        self._next_s = mono_s + _KEEP_EVERY_S

    def _read(self) -> float:
        try:
            return datetime.fromisoformat(self._file.read_text().strip()).replace(tzinfo=UTC).timestamp()
        except (OSError, ValueError):
            return 0.0

    def _write(self) -> None:
        fresh = self._file.with_suffix(".new")
        try:
            fresh.write_text(datetime.fromtimestamp(self._kept_s, UTC).strftime("%Y-%m-%dT%H:%M:%S") + "\n")
            fresh.replace(self._file)
        except OSError as error:
            log.debug("the newest trusted time could not be saved: %s", error)


class CertificateDates:
    """Judges the dates of peers' certificates, for every TLS connection that the agent makes."""

    def __init__(self, trusted: Callable[[], bool], floor: TimeFloor) -> None:
        self._trusted = trusted
        self._floor = floor
        self._unjudged: weakref.WeakSet[_Dropping] = weakref.WeakSet()
        self._socket_class, self._object_class = _classes(self._admit)

    @property
    def floor(self) -> datetime:
        """What `notAfter` is held against while the clock is not trusted."""
        return datetime.fromtimestamp(self._floor.seconds, UTC)

    @property
    def clock_trusted(self) -> bool:
        """Whether dates are judged by the clock."""
        return self._trusted()

    def prepare(self, context: ssl.SSLContext) -> None:
        """Before a handshake: if the clock is not trusted, judge the dates here instead of in OpenSSL (X1, X2).

        The handshake raises ssl.SSLCertVerificationError if a date is wrong, so nothing is sent to such a peer.
        """
        if context.verify_mode is ssl.CERT_NONE or self._trusted():
            return
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
        context.sslsocket_class = self._socket_class
        context.sslobject_class = self._object_class

    async def run(self) -> None:
        """Keep the floor, and judge waiting connections once the clock is trusted. Until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """One look at the clock."""
        trusted = self._trusted()
        self._floor.look(trusted=trusted, now_s=time.time(), mono_s=time.monotonic())
        if not trusted or not self._unjudged:
            return
        waiting = list(self._unjudged)
        self._unjudged.clear()
        for peer in waiting:
            fault = self._fault(peer)
            if fault:
                log.warning("the clock is now trusted; TLS connection closed: %s", fault[1])
                peer.drop(_error(*fault))

    def _admit(self, peer: _Dropping) -> None:
        fault = self._fault(peer)
        if fault:
            raise _error(*fault)
        if not self._trusted():
            self._unjudged.add(peer)

    def _fault(self, peer: _Dropping) -> tuple[int, str] | None:
        if not self._trusted():
            return _first_fault(peer, math.inf, self._floor.seconds)
        now_s = time.time()
        return _first_fault(peer, now_s, now_s)


def _classes(admit: Callable[[_Dropping], None]) -> tuple[type[ssl.SSLSocket], type[ssl.SSLObject]]:
    """The two ends that Python makes of a context, with `admit` at the end of their handshake."""

    class DatedSocket(ssl.SSLSocket):
        _sslobj: Any

        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature is Python's
            super().do_handshake(block)
            admit(self)

        def drop(self, _error: ssl.SSLCertVerificationError) -> None:
            # Not SSLSocket.shutdown: that goes on without TLS.
            with contextlib.suppress(OSError):  # closed meanwhile
                socket.socket.shutdown(self, socket.SHUT_RDWR)

    class DatedObject(ssl.SSLObject):
        """What asyncio makes; it has no socket to close, so its next use fails."""

        _sslobj: Any
        fault: ssl.SSLCertVerificationError | None = None

        def do_handshake(self) -> None:
            super().do_handshake()
            admit(self)

        def drop(self, error: ssl.SSLCertVerificationError) -> None:
            self.fault = error

        def read(self, *args: Any) -> Any:
            if self.fault is not None:
                raise self.fault
            return super().read(*args)

        def write(self, *args: Any) -> Any:
            if self.fault is not None:
                raise self.fault
            return super().write(*args)

    return DatedSocket, DatedObject


def _error(code: int, reason: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, reason)
    error.verify_code, error.verify_message = code, reason
    return error


def _first_fault(peer: _Dropping, begins_by_s: float, lasts_until_s: float) -> tuple[int, str] | None:
    for certificate in _chain(peer):
        begins, ends = certificate.get("notBefore", ""), certificate.get("notAfter", "")
        name = _name(certificate)
        if ssl.cert_time_to_seconds(ends) < lasts_until_s:
            return EXPIRED, f"the certificate of {name} expired at {ends}"
        if ssl.cert_time_to_seconds(begins) > begins_by_s:
            return NOT_YET_VALID, f"the certificate of {name} is not valid before {begins}"
    return None


def _chain(peer: _Dropping) -> Iterable[dict[str, Any]]:
    """The verified chain, from the peer's own certificate to the authority's.

    Python 3.13 has a public method, which gives DER alone; the one below it gives fields since 3.10.
    """
    return [certificate.get_info() for certificate in peer._sslobj.get_verified_chain()]  # noqa: SLF001 - see above


def _name(certificate: dict[str, Any]) -> str:
    names = {key: value for part in certificate.get("subject", ()) for key, value in part}
    return str(names.get("commonName") or names.get("organizationName") or "the broker")
