"""What is wrong with a document: one line each, so that a person finds the place and knows what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.spelling import Location, path_text

MOST_PROBLEMS = 200
_SHOWN = 60
_ADDRESS = re.compile(r"://.+", re.DOTALL)
_LOGIN = re.compile(r"^.+@", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right.

    `where` is the key; empty for the document as a whole. `line` counts from 1; 0 if no line can be named. `file` is
    empty for what is wrong with a configuration whose text is not at hand. `hint` says what to do, or what the key is
    for; only what a person can do nothing about has none.
    """

    file: str
    line: int
    where: Location
    message: str
    hint: str

    @property
    def path(self) -> str:
        """The key as people read it: `mqtt[0].host`."""
        return path_text(self.where)

    @property
    def order(self) -> tuple[str, int, str, str, str]:
        """By what problems are sorted: in order of lines."""
        return self.file, self.line, self.path, self.message, self.hint

    def described(self) -> dict[str, str | int]:
        """As JSON has it."""
        names = ("file", "line", "path", "message", "hint")
        return dict(zip(names, self.order, strict=True))

    def __str__(self) -> str:
        """`config.yaml:12: mqtt[0].subscriptions[1].qos: must be 0 or 1, not 3 (hint: …)`, without line breaks."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = [part for part in (place, self.path, self.message) if part]
        line = ": ".join(parts) + (f" (hint: {self.hint})" if self.hint else "")
        # A value that is quoted in a message may hold anything; a terminal or a journal must not obey it.
        return "".join(letter if letter.isprintable() else " " for letter in line)


class ConfigErrors(Exception):  # noqa: N818 - it holds several, and callers print them all
    """A document that cannot be used. Holds what one pass found, in order of lines: at least one, at most 200."""

    def __init__(self, problems: list[Problem]) -> None:
        found = sorted(set(problems), key=lambda problem: problem.order)
        if len(found) > MOST_PROBLEMS:
            # A document that is wrong throughout must not become a report as long as itself.
            shown = found[: MOST_PROBLEMS - 1]
            message = f"{len(found) - len(shown)} more problems"
            found = [*shown, Problem(found[0].file, 0, (), message, "correct these first")]
        self.problems = found
        super().__init__("\n".join(map(str, self.problems)))


def shortened(text: str) -> str:
    """A value as it may stand in a message: of an address only the kind, for the rest may hold a password.

    So may what stands before an `@`.
    """
    text = _LOGIN.sub("…@", _ADDRESS.sub("://…", text))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
