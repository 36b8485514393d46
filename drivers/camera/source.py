"""Where a camera's frames come from: reading the address, showing it without its secrets, looking before leaping."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, unquote, urlsplit

from drivers.values import Misconfigured, NotReady

_MOST_CHARACTERS = 4096
_PAIR = re.compile(r"([A-Za-z_]+)=([^&/?;]*)")
_LOGIN = re.compile(r"(?:^|/)[^/:@]+:[^/@]+@")
_SECRET_KEY = re.compile("pass|pwd|auth|token|key|user|login", re.IGNORECASE)


class Kind(StrEnum):
    """A file comes to an end; a stream and a device are live."""

    FILE = "file"
    STREAM = "stream"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Source:
    """One source. `address` is for OpenCV alone; `shown` is safe in logs, status and metrics."""

    kind: Kind
    address: str = field(repr=False)
    shown: str
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def redact(self, text: str) -> str:
        """Take out of a library's words what must not be shown."""
        for secret in self.secrets:
            text = text.replace(secret, "…")
        return text


def parse(source: str) -> Source:
    """Read a source as config gives it.

    Raises:
        Misconfigured: it is of no kind that OpenCV is asked to open here.
    """
    hint = "give an rtsp:// address, a device such as /dev/video0, or a video file"
    if not source or len(source) > _MOST_CHARACTERS or not source.isprintable():
        message = (
            f"the source is empty, longer than {_MOST_CHARACTERS} characters, or has characters that do not print"
        )
        raise Misconfigured(message, field="source", hint=hint)
    if source.isdecimal():
        return Source(Kind.DEVICE, f"/dev/video{int(source)}", f"/dev/video{int(source)}")
    if "://" not in source:
        if _LOGIN.search(source):
            # Not taken for a file, whose name every message would show.
            raise Misconfigured("the source has a login but no rtsp:// before it", field="source", hint=hint)
        kind = Kind.DEVICE if source.startswith("/dev/") else Kind.FILE
        return Source(kind, source, source)
    scheme = source.partition("://")[0].lower()
    if scheme not in {"rtsp", "rtsps"}:
        if scheme == "file":
            hint = "write the path alone, without file://"
        elif scheme in {"http", "https"}:
            hint = "use the camera's rtsp:// address; its manual or web page names it"
        raise Misconfigured(f"cameras are not read from {scheme[:20]}:// addresses", field="source", hint=hint)
    _look_for_raw_characters(source, scheme)
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        hint = f"write {scheme}://host/path or {scheme}://host:port/path; an IPv6 address goes into [ ]"
        raise Misconfigured(f"the {scheme}:// address has no host, or a wrong port", field="source", hint=hint)
    place = f"[{host}]" if ":" in host else host
    # Cheap cameras take user and password in the path or the query too, so neither is ever shown.
    shown = f"{scheme}://{place}{f':{port}' if port else ''}/…"
    password = parts.password or ""
    tail = source.partition("://")[2].partition("/")[2]
    told = [value for key, value in _PAIR.findall(tail) if _SECRET_KEY.search(key)]
    secrets = {source, parts.netloc.rpartition("@")[0], password, unquote(password), tail, *told, *map(unquote, told)}
    longest_first = sorted((secret for secret in secrets if len(secret) > 1), key=len, reverse=True)
    return Source(Kind.STREAM, source, shown, tuple(longest_first))


def _look_for_raw_characters(source: str, scheme: str) -> None:
    """A `#`, `/` or `?` in a login ends the address's host there, for FFmpeg as for us: the rest is taken for a path.

    Raises:
        Misconfigured: there is one that cannot be anything else.
    """
    rest = source.partition("://")[2]
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    sign = rest[len(host) : len(host) + 1]
    port = host.rpartition(":")[2] if ":" in host and not host.endswith("]") else ""
    # After a host that is one, a path may well hold an @.
    if "@" in rest and "@" not in host and (sign == "#" or not (port == "" or port.isdecimal())):
        message = f"the login in the {scheme}:// address has a raw {sign}"
        raise Misconfigured(message, field="source", hint=f"write {quote(sign, safe='')} in place of {sign}")


def look(source: Source) -> None:
    """See without OpenCV whether there is anything to open, so that a missing camera costs no process a try.

    Raises:
        NotReady: the file or device is not there (yet), or may not be read.
        Misconfigured: it is there and can never be a camera.
    """
    if source.kind is Kind.STREAM:
        return
    try:
        mode = os.stat(source.address).st_mode  # noqa: PTH116 - the caller's string is the address, /dev or not
    except FileNotFoundError:
        hint = "is the camera plugged in?" if source.kind is Kind.DEVICE else "check the path"
        raise NotReady(f"{source.shown} does not exist", hint) from None
    except OSError as error:
        raise NotReady(f"{source.shown} cannot be checked: {error.strerror}") from None
    if source.kind is Kind.DEVICE and not stat.S_ISCHR(mode):
        raise Misconfigured(f"{source.shown} is not a video device", field="source")
    if source.kind is Kind.FILE and not stat.S_ISREG(mode):
        raise Misconfigured(f"{source.shown} is not a file", field="source", hint="give one video file")
    if not os.access(source.address, os.R_OK):
        hint = "put tidegate into the group video" if source.kind is Kind.DEVICE else "let the user tidegate read it"
        raise NotReady(f"this user may not read {source.shown}", hint)
