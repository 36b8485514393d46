"""Characters that look like a space or a quote, and are neither to YAML. Word processors and web pages use them."""

from __future__ import annotations

import re
from typing import Final

_INVISIBLE: Final = {
    "\u00a0": "a non-breaking space",
    "\u2007": "a non-breaking space",
    "\u202f": "a non-breaking space",
    "\u3000": "a wide space",
    "\u200b": "a space without width",
    "\u2060": "a space without width",
    "\ufeff": "a byte-order mark",
}
_SEEN_AS_SPACE: Final = re.compile(f"[{''.join(_INVISIBLE)}]")
CURLY_QUOTES: Final = ("\u201c", "\u201d", "\u201e", "\u2018", "\u2019")


def found_in(text: str) -> str | None:
    """The first character that looks like a space, or None."""
    found = _SEEN_AS_SPACE.search(text)
    return None if found is None else found[0]


def described(letter: str) -> str:
    """What is wrong with such a character."""
    return f"has {_INVISIBLE[letter]} (U+{ord(letter):04X}), which YAML does not take for a space"
