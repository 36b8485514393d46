r"""Paths into JSON documents, level by level with dots between them: `sensors.ph.value`.

A level that is a whole number takes that element of a list. A dot inside a key is written `\.`; `\[`, `\$` and `\/`
stand for those characters in a key that would otherwise look like another way of writing a path.
"""

from __future__ import annotations

import re
from typing import Any

from drivers.spelling import Misspelt

Levels = tuple[str | int, ...]

_ELSEWHERE = re.compile(r"^\$(?:$|[.\[])|^\.|^/|(?<!\\)\[")
"""How paths begin, or take an element, in JSONPath, jq, JavaScript and JSON pointers."""


def levels(path: str) -> Levels:
    """The levels of a path.

    Raises:
        Misspelt: it is empty, or a level of it is.
    """
    found = [re.sub(r"\\([.\[$/])", r"\1", level) for level in re.split(r"(?<!\\)\.", path)]
    if not all(found) or path != path.strip():
        message = f"the path {path} has an empty level, or a space at one end" if path else "the path is empty"
        raise Misspelt(message, "write it such as data.temp or values.0.v")
    return tuple(int(level) if level.isascii() and level.isdigit() else level for level in found)


def look_at_spelling(path: str) -> None:
    """See whether a path is written in another language. It is still taken as it is: keys may have such characters.

    Raises:
        Misspelt: it is written as in JSONPath, jq, JavaScript or a JSON pointer.
    """
    if _ELSEWHERE.search(path):
        plain = _plainly(path)
        hint = f"write {plain}" if plain else "name one field, level by level, such as data.0.temp"
        raise Misspelt(f"the path {path} is not in this program's notation", hint)


def _plainly(path: str) -> str:
    """What a path of JSONPath, JavaScript or a JSON pointer would be here; empty if it does not name one field."""
    if path.startswith("/"):
        return path[1:].replace(".", r"\.").replace("/", ".").replace("~1", "/").replace("~0", "~")
    taken = r"""\.?\[\s*(?:(\d+)|'([^'\]]*)'|"([^"\]]*)")\s*\]"""
    plain = re.sub(taken, lambda found: "." + (found[1] or found[2] or found[3] or "").replace(".", r"\."), path)
    plain = plain.removeprefix("$").removeprefix(".")
    return "" if _ELSEWHERE.search(plain) or not all(plain.split(".")) or "*" in plain else plain


def followed(document: Any, way: Levels) -> Any:
    """What a document holds at a path; None if there is nothing.

    In a list the level `id=do1` is the element whose id is do1.
    """
    for level in way:
        if isinstance(document, dict):
            document = document.get(str(level))
        elif isinstance(document, list):
            document = _element(document, level)
        else:
            return None
    return document


def _element(found: list[Any], level: str | int) -> Any:
    if isinstance(level, int):
        return found[level] if level < len(found) else None
    key, sign, wanted = level.partition("=")
    if not sign:
        return None
    return next((one for one in found if isinstance(one, dict) and str(one.get(key)) == wanted), None)
