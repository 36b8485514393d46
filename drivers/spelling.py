"""How a setting is written: the error for one that cannot be read, and characters that nobody sees."""

from __future__ import annotations

import unicodedata


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
