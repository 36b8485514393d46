"""Topic patterns: what MQTT filter they are, and which levels of a topic they name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drivers.mqtt.connection.login import unseen
from drivers.mqtt.settings import Misspelt

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_MOST_BYTES = 65_535


def _shared(levels: list[str]) -> tuple[str, list[str]]:
    """`$share/GROUP/` of a shared subscription, or empty, and the levels behind it."""
    if levels[0] != "$share":
        return "", levels
    _, group, *rest = [*levels, ""][: max(len(levels), 2)]
    if not any(rest) or not group or any(sign in group for sign in "+#{}"):
        raise Misspelt("is not $share/GROUP/TOPIC", "give the group a name without wildcards, and a topic behind it")
    return f"$share/{group}/", rest


class Pattern:
    """A topic pattern: its MQTT filter, and the named levels of a topic that matches it.

    A shared subscription, `$share/GROUP/…`, is one for the broker alone: its messages come under their own topics.
    """

    __slots__ = ("_levels", "filter", "names", "text")

    def __init__(self, text: str) -> None:
        """Read a pattern.

        Raises:
            Misspelt: it is empty or has a NUL, `#` is not its last level, a wildcard or name is a part of a level, a
                share has no group or no topic, or a character cannot be seen.
        """
        if not text or "\0" in text:
            raise Misspelt("is empty or has a NUL in it", "write it such as farm/{site}/{tank}/{metric}")
        if len(text.encode(errors="replace")) > _MOST_BYTES:
            raise Misspelt("is longer than MQTT allows", "65,535 bytes are the most")
        if odd := unseen(text):
            raise Misspelt(f"contains {odd}", "type it again instead of pasting it")
        self.text = text
        self._levels: list[str] = []
        names: list[str] = []
        levels = text.split("/")
        share, levels = _shared(levels)
        for number, level in enumerate(levels, 1):
            named = _NAMED.fullmatch(level)
            if named:
                names.append(named[1])
                self._levels.append(f"{{{named[1]}")
            elif "#" in level and (level != "#" or number != len(levels)):
                raise Misspelt(
                    f"level {number}, {level}: # may only be the whole last level", "+ stands for any one level"
                )
            elif level not in ("+", "#") and any(sign in level for sign in "+{}"):
                what = "+" if "+" in level else "a placeholder"
                raise Misspelt(
                    f"level {number}, {level}: {what} stands for one whole level", "put it between slashes"
                )
            else:
                self._levels.append(level)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise Misspelt(f"{{{twice}}} is in it twice", "use + for the other level")
        self.names = frozenset(names)
        self.filter = share + "/".join("+" if level.startswith("{") else level for level in self._levels)

    def match(self, topic: str) -> dict[str, str] | None:
        """The named levels of a topic, or None if it does not match."""
        if topic.startswith("$") and self._levels[0] in ("#", "+"):
            return None
        levels = topic.split("/")
        found: dict[str, str] = {}
        for number, wanted in enumerate(self._levels):
            if wanted == "#":
                return found
            if number >= len(levels):
                return None
            if wanted.startswith("{"):
                found[wanted[1:]] = levels[number]
            elif wanted not in ("+", levels[number]):
                return None
        # `a/#` also matches `a`; any other pattern matches as many levels as it has.
        return found if len(levels) == len(self._levels) else None


def cover(wanted: Mapping[str, int]) -> dict[str, int]:
    """The fewest of these filters (with their QoS) that match all that they match together.

    A broker may deliver a message once for each filter that matches it, so one filter inside another
    is not subscribed to: the wider one takes the higher QoS of both.
    """
    kept: dict[str, int] = {}
    for name, qos in wanted.items():
        inside = [other for other in wanted if other != name and _within(name, other)]
        if not inside:
            kept[name] = max([qos, *(wanted[other] for other in wanted if _within(other, name))])
    return kept


def _within(inner: str, outer: str) -> bool:
    """Whether every topic that `inner` matches is matched by `outer` too."""
    inside, outside = inner.split("/"), outer.split("/")
    if inner.startswith("$") and outside[0] in ("+", "#"):
        return False
    for number, wanted in enumerate(outside):
        if wanted == "#":
            return True
        if number >= len(inside) or inside[number] == "#" or wanted not in ("+", inside[number]):
            return False
    return len(inside) == len(outside)
