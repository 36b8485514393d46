"""Where a setting is and how it is written: its place, the error for one that cannot be read, unseen characters."""

from __future__ import annotations

import unicodedata

Location = tuple[str | int, ...]
"""The place of a key: `("mqtt", 0, "host")`. Numbers count the entries of a list from 0."""


def path_text(location: Location) -> str:
    """`("mqtt", 0, "host")` as people read it: `mqtt[0].host`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


class Misspelt(ValueError):  # noqa: N818 - a state of a setting, like Misconfigured
    """A topic, a path or a key cannot be read as written. The text says why, `hint` what to write."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


def unseen(text: str) -> str:
    """The first character that looks like a space or like nothing, by name; empty if all are visible."""
    for character in text:
        if character != " " and not character.isprintable():
            name = unicodedata.name(character, "control character").lower()
            return f"an invisible character ({name}, U+{ord(character):04X})"
    return "a space at its beginning or end" if text != text.strip() else ""
