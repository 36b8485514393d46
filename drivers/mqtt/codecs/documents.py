"""JSON that is not quite JSON: one field without a value must not cost its neighbours.

Many programs write `nan` for a probe that failed, and a strict reader then refuses the whole document. Such a
document is read again here, slower, and the field alone has no value. Read so are bare nan, inf, None and undefined
in any case, a value that is left out (`"t":,`), numbers too large for a float, NUL behind the end, and text in
Latin-1.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import orjson

from drivers.mqtt.codecs.unread import Unread

MOST_BYTES: Final = 64 * 1024
"""A document that is larger, and is not JSON, is not read again: it would take too long."""

_LONGEST_INTEGER: Final = 19
# A text whose end is missing is taken to the end of the document, else each quote in it would be tried by itself.
_TOKEN: Final = re.compile(
    r'"(?:[^"\\]+|\\.)*+"?|(?<![\w.])(-?)(nan(?:\(\w*\))?|inf(?:inity)?|none|undefined)(?![\w.])|:(?=\s*[,}])',
    re.IGNORECASE | re.DOTALL,
)


class NoNumber:
    """What stands for a value that is no finite number; `word` says what stood there."""

    __slots__ = ("word",)

    def __init__(self, word: str) -> None:
        self.word = word


_NAN: Final = NoNumber("nan")
_INFINITE: Final = NoNumber("infinite")
_TOO_LARGE: Final = NoNumber("out of range")


def document_of(payload: bytes) -> Any:
    """The document in a payload.

    Raises:
        Unread: it is not JSON, and cannot be read as such by the rules above either.
    """
    try:
        return orjson.loads(payload)
    except ValueError:
        return document_from(payload)


def document_from(payload: bytes) -> Any:
    """A document that the fast reader has refused. In it, `NoNumber` stands for what is not a finite number.

    Raises:
        Unread: it is not JSON by these rules either.
    """
    trimmed = payload.strip(b" \t\r\n\0")
    if len(trimmed) > MOST_BYTES or not trimmed.removeprefix(b"\xef\xbb\xbf").startswith((b"{", b"[")):
        raise Unread("it is not JSON")
    try:
        text = trimmed.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = trimmed.decode("latin-1")
    try:
        return json.loads(
            _TOKEN.sub(_as_json, text), parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
    except (ValueError, RecursionError):
        raise Unread("it is not JSON") from None


def _as_json(found: re.Match[str]) -> str:
    text = found[0]
    if text[0] == '"':
        return text
    if text == ":":
        return ":null"
    word = found[2].lower()
    if word.startswith("nan"):
        return "NaN"
    return f"{found[1]}Infinity" if word.startswith("inf") else "null"


def _constant(name: str) -> NoNumber:
    return _NAN if name == "NaN" else _INFINITE


def _float(text: str) -> float | NoNumber:
    value = float(text)
    return value if math.isfinite(value) else _TOO_LARGE


def _integer(text: str) -> int | float | NoNumber:
    return int(text) if len(text) <= _LONGEST_INTEGER else _float(text)
