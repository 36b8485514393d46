"""Topic patterns of subscriptions, and the names that are made of their levels."""

from __future__ import annotations

import re
from typing import Final

PLACEHOLDERS: Final = ("site", "tank", "metric", "sensor")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def unknown(topic: str) -> str | None:
    """The first placeholder of a pattern that has no meaning, if there is one."""
    return next((name for name in named(topic) if name not in PLACEHOLDERS), None)


def named(text: str) -> list[str]:
    """The placeholders of a pattern or template, in order."""
    return _PLACEHOLDER.findall(text)


def can_make(template: str, wanted: str) -> bool:
    """Whether a template can come out as `wanted`."""
    # re.split alternates: text between placeholders, then the name of one.
    parts = _PLACEHOLDER.split(template)
    pattern = "".join("[^/]+" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.fullmatch(pattern, wanted) is not None
