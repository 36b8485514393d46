"""What a broker's refusal means, and which setting cures it: CONNACK, TLS alerts, a connection that just closes.

Reason codes: MQTT 5, 3.2.2.2 (paho translates those of 3.1.1). TLS alerts: the names that OpenSSL gives them.
"""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Final

from drivers.mqtt.connection.login import unseen_in_login
from drivers.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Mapping

    from drivers.mqtt.settings import MqttSettings
    from drivers.spelling import Location

_VERSION: Final = 132
_BAD_LOGIN, _NOT_AUTHORIZED, _BAD_METHOD = 134, 135, 140
_CURES: Final[Mapping[int, tuple[str, str]]] = {
    _VERSION: ("version", "set version to the one that the broker speaks"),
    133: ("client_id", "choose a client_id that the broker accepts"),
    138: ("client_id", "the broker bans this client"),
    _BAD_METHOD: ("username", "the broker wants another way of logging in than user name and password"),
}
_WANTS_CERTIFICATE: Final = ("TLSV13_ALERT_CERTIFICATE_REQUIRED",)
_CERTIFICATE_REFUSED: Final = (
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_DECRYPT_ERROR",
)
_TAKEN_AGAIN_S: Final = 60.0
"""After a take-over: so an alarm is heard on the farm's network within a minute, and the other client is not thrown
out more often than that."""
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
_OTHER_VERSION: Final = (
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "UNSUPPORTED_PROTOCOL",
    "TLSV1_ALERT_INSUFFICIENT_SECURITY",
    "NO_PROTOCOLS_AVAILABLE",
)


def where(settings: MqttSettings) -> str:
    """The broker's host and port, as people write them."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"


def plain(error: OSError) -> str:
    """What an error of the network says, without Python's and OpenSSL's own marks around it."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "TLS failed").replace("_", " ").lower()
    if error.errno is not None and error.errno > 0:  # asyncio's own text of it is half a repr
        return os.strerror(error.errno).lower()
    return (error.strerror or str(error) or type(error).__name__).lower()


def of_connack(settings: MqttSettings, code: int, words: str, said: str | None, password: str | None) -> Exception:
    """The broker answered CONNECT with a refusal: `words` is the code's name, `said` the broker's own text."""
    reason = f"{where(settings)} refuses the connection: {words.lower()}" + (f" ({said})" if said else "")
    if code in (_BAD_LOGIN, _NOT_AUTHORIZED):
        return Misconfigured(reason, *_login(settings, code, password))
    cure = _CURES.get(code)
    return Misconfigured(reason, *cure) if cure else NotReady(reason, "check the broker's log")


def _login(settings: MqttSettings, code: int, password: str | None) -> tuple[str, str]:
    if settings.username is None:
        return "username", "the broker wants a user name and a password: set username and password_file"
    field = "password_file" if code == _BAD_LOGIN else "username"
    hint = unseen_in_login(settings, password)
    if not hint and settings.password_file is None:
        hint = "no password_file is set: set it if this user needs a password"
    return field, hint or (
        f"does the broker know the user {settings.username}, is the password in its file right, and may this user "
        f"connect as {settings.client_id}?"
    )


def of_tls(settings: MqttSettings, error: ssl.SSLError) -> Exception:
    """The other side ended TLS, in the handshake or with its first word after it."""
    reason, place = error.reason or "", where(settings)
    field: str | Location
    if isinstance(error, ssl.SSLEOFError) or reason == "UNEXPECTED_EOF_WHILE_READING":
        return cut_in_handshake(settings)
    if reason in _NOT_TLS:
        what, field, hint = "does not speak TLS", "tls", "remove tls, or use the broker's port for TLS (usually 8883)"
    elif reason in _WANTS_CERTIFICATE or (reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and not _has_pair(settings)):
        what, field = "wants a client certificate, and none is configured", ("tls", "cert_file")
        hint = "set tls.cert_file and tls.key_file to a certificate that the broker's authority has signed"
    elif reason == "TLSV1_ALERT_UNKNOWN_CA":
        what, field = "does not know the authority that signed our client certificate", ("tls", "cert_file")
        hint = "use a certificate signed by the authority in the broker's cafile"
    elif reason in _CERTIFICATE_REFUSED:
        what, field = f"does not accept our client certificate ({plain(error)})", ("tls", "cert_file")
        hint = "use a certificate signed by the authority in the broker's cafile; the broker's log says what is wrong"
    elif reason in _OTHER_VERSION:
        what, field = f"has no TLS version in common with this machine ({plain(error)})", "tls"
        hint = "let the broker speak TLS 1.2 or newer"
    elif reason == "SSLV3_ALERT_CERTIFICATE_EXPIRED":
        return NotReady(
            f"{place} says that our client certificate has expired", "renew it, or set the broker's clock"
        )
    else:
        return NotReady(f"{place}: TLS failed: {plain(error)}", "check the broker's log")
    return Misconfigured(f"{place} {what}", field, hint)


def _has_pair(settings: MqttSettings) -> bool:
    return settings.tls is not None and settings.tls.cert_file is not None


def cut_in_handshake(settings: MqttSettings) -> NotReady:
    """The other side closed the connection before TLS stood."""
    return NotReady(
        f"{where(settings)} closed the connection during the TLS handshake",
        "does this port speak TLS? If not, remove tls, or use the broker's port for TLS (usually 8883)",
    )


def wants_tls(settings: MqttSettings) -> Misconfigured:
    """We spoke plain MQTT, and this port speaks TLS."""
    return Misconfigured(
        f"{where(settings)} speaks TLS, and no tls is configured for it",
        "tls",
        "add tls to the connection, or use the broker's port without TLS (usually 1883)",
    )


def closed_before_connack(settings: MqttSettings, why: str, password: str | None) -> NotReady:
    """The connection ended after our CONNECT, without a word that says why."""
    hints = [f"does the broker know MQTT {settings.version}"]
    if settings.tls is None:
        hints.insert(0, "is this a port for TLS (then add tls)")
    elif settings.tls.cert_file is None:
        hints.insert(0, "does it want a client certificate of TLS (tls.cert_file)")
    hint = f"{', '.join(hints)}, and what does its log say?"
    reason = f"{where(settings)} closed the connection without an answer" + (f": {why}" if why else "")
    odd = unseen_in_login(settings, password)
    return NotReady(reason, f"{odd}; {hint}" if odd else hint)


def taken_over(settings: MqttSettings) -> Misconfigured:
    """Another client uses our name; reconnecting at once would only throw it out, and it us, for ever."""
    return Misconfigured(
        f"another client at {where(settings)} uses the client id {settings.client_id}",
        "client_id",
        "give each gateway and each connection a client_id of its own",
        again_s=_TAKEN_AGAIN_S,
    )
