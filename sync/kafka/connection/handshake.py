"""What it means that a connection to a broker fails before it serves, in words for whoever has to mend it."""

from __future__ import annotations

import os
import re
import ssl
from typing import TYPE_CHECKING, Final

from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from sync.kafka.errors import error_of
from sync.values import Misconfigured

if TYPE_CHECKING:
    from aiokafka.errors import KafkaError

    from sync.kafka.settings import KafkaSettings
    from sync.values import Unreachable

NO_KAFKA: Final = (AssertionError, EOFError, OverflowError, TypeError, ValueError)
"""What aiokafka makes of a list of versions that is none: a proxy's answer, or another server's on that port."""
LOGIN_FAULTS: Final = (
    AuthenticationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
_LOGIN_FAILED: Final = 58
_CLOSED: Final = (
    ConnectionResetError,
    ConnectionAbortedError,
    BrokenPipeError,
    KafkaConnectionError,
    ssl.SSLEOFError,
)
_ERROR_NAME: Final = re.compile(r"^\[Error \d+\] \w+(?:: |$)")
_CONNECTION: Final = re.compile(r"<AIOKafkaConnection[^>]*>")
"""aiokafka puts it in place of the broker's words if there are none."""


def said(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, NO_KAFKA):
        return "its answer is not Kafka's protocol"
    if isinstance(error, _CLOSED):
        return "it closed the connection"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS failed: {error.reason.lower().replace('_', ' ')}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return (str(error) or type(error).__name__).splitlines()[0]


def cure(error: BaseException, settings: KafkaSettings) -> str:
    """What to look at if a connection never served; empty if nothing is known."""
    if settings.security.endswith("ssl"):
        if isinstance(error, (*_CLOSED, ssl.SSLError)):
            return "if that port has no TLS, set kafka.security: plaintext or sasl_plaintext"
    elif isinstance(error, (*_CLOSED, *NO_KAFKA)):
        return "check that the port is Kafka's, and whether it needs TLS or a login (kafka.security)"
    return ""


def with_cure(error: Unreachable) -> str:
    """The reason with its hint: one of several addresses that were tried."""
    return f"{error.reason} ({error.hint})" if error.hint else error.reason


def of_login(where: str, error: KafkaError, settings: KafkaSettings) -> Misconfigured:
    """One of LOGIN_FAULTS: the broker does not let us in by this name, or does not ask for one."""
    if isinstance(error, IllegalSaslStateError):
        hint = f"set it to {settings.security.removeprefix('sasl_')}, or name the port that asks for a login"
        return Misconfigured(f"{where} asks for no login", "kafka.security", hint, where)
    if isinstance(error, UnsupportedSaslMechanismError):
        hint = "set it to one that this port offers"
        return Misconfigured(f"{where} does not offer {settings.sasl_mechanism}", "kafka.sasl_mechanism", hint, where)
    words = _CONNECTION.sub("", _ERROR_NAME.sub("", str(error)))
    reason = f"{where} refuses user {settings.username!r}{words and f': {words}'}"
    return Misconfigured(reason, "kafka.password_file", error_of(_LOGIN_FAILED).cure, where)
