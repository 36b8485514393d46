"""What is wrong with a document: one line each, so that a person finds the place and knows what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_PROBLEMS = 200
_SHOWN = 60
_ADDRESS = re.compile(r"://.+", re.DOTALL)
_LOGIN = re.compile(r"^.+@", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to put right. `line` counts from 1; 0 where no line can be named. `path` is that of the key.

    There is always a hint: what to do, or what the key is for.
    """

    file: str
    line: int
    path: str
    message: str
    hint: str

    def __str__(self) -> str:
        """`config.yaml:12: mqtt[0].subscriptions[1].qos: must be 0 or 1, not 3 (hint: …)`, without line breaks."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        said = f"{self.path}: {self.message}" if self.path else self.message
        line = f"{place}: {said} (hint: {self.hint})"
        # A value that is quoted in a message may hold anything; a terminal or a journal must not obey it.
        return "".join(letter if letter.isprintable() else " " for letter in line)


class ConfigErrors(Exception):  # noqa: N818 - it holds several, and callers print them all
    """A document that cannot be used. Holds what one pass found, in order of lines: at least one, at most 200."""

    def __init__(self, problems: list[Problem]) -> None:
        found = sorted(set(problems))
        if len(found) > MOST_PROBLEMS:
            # A document that is wrong throughout must not become a report as long as itself.
            shown = found[: MOST_PROBLEMS - 1]
            message = f"{len(found) - len(shown)} more problems"
            found = [*shown, Problem(found[0].file, 0, "", message, "correct these first")]
        self.problems = found
        super().__init__("\n".join(map(str, self.problems)))


def path_text(location: tuple[str | int, ...]) -> str:
    """`("mqtt", 0, "host")` as `mqtt[0].host`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def shortened(text: str) -> str:
    """A value as it may stand in a message: of an address only the kind, for the rest may hold a password.

    So may what stands before an `@`.
    """
    text = _LOGIN.sub("…@", _ADDRESS.sub("://…", text))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
