"""The user's name and password: where they come from, and invisible characters in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.spelling import unseen
from drivers.values import Misconfigured

if TYPE_CHECKING:
    from drivers.mqtt.settings import MqttSettings


def password(settings: MqttSettings) -> str | None:
    """The first line of the password's file, without a byte-order mark; None if no file is configured.

    Raises:
        Misconfigured: the file cannot be read.
    """
    if settings.password_file is None:
        return None
    try:
        return settings.password_file.read_text("utf-8-sig").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise Misconfigured(
            f"{settings.password_file}: {reason}", "password_file", "name a file that the daemon may read"
        ) from error


def unseen_in_login(settings: MqttSettings, password: str | None) -> str:
    """A hint if user name or password contain an invisible character; empty if they do not."""
    for what, text in ((f"username {settings.username}", settings.username), ("the password", password)):
        odd = unseen(text or "")
        if odd:
            return f"{what} contains {odd}: type it again instead of pasting it"
    return ""
