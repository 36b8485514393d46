"""Patterns of topics and of keys, and templates of names: one grammar, one matcher, one kind of error.

    pattern  = level *( "/" level )        in keys of the configuration "." separates the levels
    level    = text | "+" | "{" name "}" | "#"
    shared   = "$share/" group "/" pattern
    template = *( text | "{" field "}" )

`+` and `{name}` match any one level, and `{name}` also says which one it was; `#` is the last level and matches the
level before it with all that follow. As MQTT has it, a pattern that begins with one of them does not match a topic
that begins with `$`. A key stands for itself and for all keys below it: `kafka` matches `kafka.brokers`, as `kafka.#`
would.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from drivers.spelling import Misspelt, unseen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PLACEHOLDERS: Final = ("site", "tank", "metric", "sensor")
"""The names that a level of a topic may have."""
HOW_KEYS_ARE_WRITTEN: Final = "write it as in docs/CONFIG.md, without [], such as kafka.brokers"
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_MOST_BYTES: Final = 65_535


class Wildcard(Enum):
    """A level that matches any level, and is not asked for."""

    ONE = "+"
    REST = "#"


class Place(NamedTuple):
    """A level that matches any level, and is asked for by its name."""

    name: str


Level = str | Wildcard | Place


def match(pattern: Sequence[Level], levels: Sequence[str]) -> dict[str, str] | None:
    """The named levels, or None if these levels do not match. The one place that compares."""
    if levels[0].startswith("$") and not isinstance(pattern[0], str):
        return None
    found: dict[str, str] = {}
    for number, wanted in enumerate(pattern):
        if wanted is Wildcard.REST:
            return found
        if number >= len(levels):
            return None
        if isinstance(wanted, Place):
            found[wanted.name] = levels[number]
        elif wanted is not Wildcard.ONE and wanted != levels[number]:
            return None
    return found if len(levels) == len(pattern) else None


class Pattern:
    """A topic pattern: its MQTT filter, and the named levels of a topic that matches it.

    A shared subscription, `$share/GROUP/…`, is one for the broker alone: its messages come under their own topics.
    """

    __slots__ = ("_levels", "_share", "filter", "names", "text")

    def __init__(self, text: str) -> None:
        """Read a pattern.

        Raises:
            Misspelt: it is empty or has a NUL, `#` is not its last level, a wildcard or placeholder is a part of a
                level, a placeholder is not known or is there twice, a share has no group or no topic, or a character
                cannot be seen.
        """
        if not text or "\0" in text:
            raise Misspelt("is empty or has a NUL in it", "write it such as farm/{site}/{tank}/{metric}")
        if len(text.encode(errors="replace")) > _MOST_BYTES:
            raise Misspelt("is longer than MQTT allows", "65,535 bytes are the most")
        if odd := unseen(text):
            raise Misspelt(f"contains {odd}", "type it again instead of pasting it")
        self.text = text
        self._share, levels = _shared(text.split("/"))
        self._levels = tuple(_level(level, number, len(levels)) for number, level in enumerate(levels, 1))
        names = [level.name for level in self._levels if isinstance(level, Place)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise Misspelt(f"{{{twice}}} occurs twice", "use + for the other level")
        self.names: Final = tuple(names)
        self.filter: Final = self._share + "/".join(map(_in_filter, self._levels))

    def match(self, topic: str) -> dict[str, str] | None:
        """The named levels of a topic, or None if it does not match."""
        return match(self._levels, topic.split("/"))

    def within(self, other: Pattern) -> bool:
        """Whether every message that this one brings would come by the other one too."""
        inside, outside = self._levels, other._levels
        first = inside[0]
        if self._share != other._share or (
            isinstance(first, str) and first.startswith("$") and not isinstance(outside[0], str)
        ):
            return False
        for number, wanted in enumerate(outside):
            if wanted is Wildcard.REST:
                return True
            if number >= len(inside) or inside[number] is Wildcard.REST:
                return False
            if isinstance(wanted, str) and wanted != inside[number]:
                return False
        return len(inside) == len(outside)


def cover(wanted: Mapping[str, int]) -> dict[str, int]:
    """The fewest of these filters (with their QoS) that match all that they match together.

    A broker may deliver a message once for each filter that matches it, so one filter inside another
    is not subscribed to: the wider one takes the higher QoS of both.
    """
    patterns = {name: Pattern(name) for name in wanted}
    kept: dict[str, int] = {}
    for name, qos in wanted.items():
        inner = patterns[name]
        if not any(inner.within(outer) for other, outer in patterns.items() if other != name):
            kept[name] = max([qos, *(wanted[other] for other, one in patterns.items() if one.within(inner))])
    return kept


def published(text: str) -> str:
    """A pattern as levels of a topic to publish on, where no wildcard may be: `*` for `+`, `**` for `#`."""
    return text.replace(Wildcard.ONE.value, "*").replace(Wildcard.REST.value, "**")


class Template:
    """A text with `{field}` in it, to be filled in from the levels of a topic, or from fields of a payload."""

    __slots__ = ("_parts", "fields", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        # Text and names in turn, text first.
        self._parts = _FIELD.split(text)
        self.fields: Final = tuple(self._parts[1::2])

    def fill(self, levels: Mapping[str, str]) -> str:
        """The text with each field filled in; one that has no level stays as it is written."""
        return _FIELD.sub(lambda found: levels.get(found[1], found[0]), self.text)

    def can_make(self, wanted: str) -> bool:
        """Whether it can come out as `wanted`: a field can be any text within one level."""
        parts = ("[^/]+" if place % 2 else re.escape(part) for place, part in enumerate(self._parts))
        return re.fullmatch("".join(parts), wanted) is not None


class Keys:
    """Keys of the configuration, each of which stands for itself and for all keys below it."""

    __slots__ = ("_patterns",)

    def __init__(self, keys: Iterable[str]) -> None:
        """Read them.

        Raises:
            Misspelt: a level of one is empty, or is not a word: `mqtt[0].host` and `mqtt.*` are not keys.
        """
        self._patterns: list[tuple[Level, ...]] = [(*_key(key), Wildcard.REST) for key in keys]

    def __contains__(self, key: str) -> bool:
        """Whether a key, or a section that holds it, is among these."""
        levels = key.split(".")
        return any(match(pattern, levels) is not None for pattern in self._patterns)


def _key(key: str) -> list[str]:
    """The levels of a key."""
    levels = key.split(".")
    if not all(re.fullmatch(r"\w+", level) for level in levels):
        raise Misspelt(f"{key} is not written as keys are here", HOW_KEYS_ARE_WRITTEN)
    return levels


def _shared(levels: list[str]) -> tuple[str, list[str]]:
    """`$share/GROUP/` of a shared subscription, or empty, and the levels behind it."""
    if levels[0] != "$share":
        return "", levels
    _, group, *rest = [*levels, ""][: max(len(levels), 2)]
    if not any(rest) or not group or any(sign in group for sign in "+#{}"):
        raise Misspelt("is not $share/GROUP/TOPIC", "give the group a name without wildcards, and a topic behind it")
    return f"$share/{group}/", rest


def _level(text: str, number: int, count: int) -> Level:
    """One level of a topic pattern that has `count` of them."""
    unknown = next((name for name in _FIELD.findall(text) if name not in PLACEHOLDERS), None)
    if unknown is not None:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise Misspelt(f"{{{unknown}}} is not a placeholder", f"there are {known}; + stands for any other level")
    if named := _FIELD.fullmatch(text):
        return Place(named[1])
    if text == Wildcard.ONE.value:
        return Wildcard.ONE
    if text == Wildcard.REST.value and number == count:
        return Wildcard.REST
    if Wildcard.REST.value in text:
        message = f"level {number}, {text}: # may only be the whole last level"
        raise Misspelt(message, "+ stands for any one level")
    if Wildcard.ONE.value in text or "{" in text or "}" in text:
        what = "+" if Wildcard.ONE.value in text else "a placeholder"
        raise Misspelt(f"level {number}, {text}: {what} stands for one whole level", "put it between slashes")
    return text


def _in_filter(level: Level) -> str:
    if isinstance(level, str):
        return level
    return level.value if isinstance(level, Wildcard) else Wildcard.ONE.value
