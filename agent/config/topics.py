"""Topic patterns of subscriptions, and the names that are made of their levels."""

from __future__ import annotations

import re
from typing import Final

PLACEHOLDERS: Final = ("site", "tank", "metric", "sensor")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_MOST_BYTES = 65_535


def faults(topic: str) -> list[tuple[str, str]]:
    """What is wrong with a pattern: messages with hints."""
    found: list[tuple[str, str]] = []
    levels = topic.split("/")
    if len(topic.encode()) > _MOST_BYTES:
        found.append(("is longer than MQTT allows", "65,535 bytes are the most"))
    for number, level in enumerate(levels, start=1):
        name = _PLACEHOLDER.fullmatch(level)
        if name is not None:
            if name[1] not in PLACEHOLDERS:
                found.append(
                    (f"{level} is no placeholder", f"there are {', '.join(f'{{{p}}}' for p in PLACEHOLDERS)}")
                )
        elif "{" in level or "}" in level:
            found.append(
                (f"level {number}, {level}: a placeholder stands for one whole level", "put it between slashes")
            )
        elif "#" in level and (level != "#" or number != len(levels)):
            found.append(("# may only be the whole last level", "+ stands for any one level"))
        elif "+" in level and level != "+":
            found.append((f"level {number}, {level}: + stands for one whole level", "put it between slashes"))
    names = named(topic)
    found += [
        (f"{{{name}}} stands in it twice", "use + for the other level")
        for name in PLACEHOLDERS
        if names.count(name) > 1
    ]
    return found


def named(text: str) -> list[str]:
    """The placeholders of a pattern or template, in order."""
    return _PLACEHOLDER.findall(text)


def broker_filter(topic: str) -> str:
    """The pattern as the broker sees it."""
    return _PLACEHOLDER.sub("+", topic)


def can_make(template: str, wanted: str) -> bool:
    """Whether a template can come out as `wanted`."""
    # re.split alternates: text between placeholders, then the name of one.
    parts = _PLACEHOLDER.split(template)
    pattern = "".join("[^/]+" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.fullmatch(pattern, wanted) is not None
