"""Where and why a text is not YAML, in plain words, made of what libyaml says.

libyaml has no codes for its errors: its sentences are all there is to tell one from another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.config.document import lookalikes
from agent.config.problems import Problem

if TYPE_CHECKING:
    import yaml

_CURE: Final = "check quotes, brackets and indentation of this line and the one above"


@dataclass(frozen=True, slots=True)
class _Fault:
    """What libyaml says, the same in plain words, and what to do.

    `unclosed`: the fault is where something was opened, often far above. `found_late`: libyaml names the end of
    what it read, and the fault is at the beginning.
    """

    said: str
    message: str
    hint: str
    unclosed: bool = False
    found_late: bool = False


_FAULTS: Final = (
    _Fault(
        "mapping values are not allowed",
        "has a second `: ` in one value, or is indented too far",
        "put a value that has `: ` in it in quotes, and check the indentation",
    ),
    _Fault(
        "unknown escape character",
        "has a \\ in double quotes that YAML does not know",
        "put the text in single quotes",
    ),
    _Fault("quoted scalar", "has a quote that is not closed", "close the quote where the text ends", unclosed=True),
    _Fault(
        "while parsing a flow",
        "has a { or [ that is not closed, or a comma is missing",
        "close the bracket where the list or mapping ends",
        unclosed=True,
    ),
    _Fault(
        "could not find expected ':'",
        "is not a line of `key: value`",
        "a key ends with a colon and a space",
        found_late=True,
    ),
    _Fault(
        "did not find expected key",
        "does not begin in the column of the keys above it",
        "keys of one level must begin in the same column",
    ),
    _Fault(
        "did not find expected '-'",
        "does not begin in the column of the entries above it",
        "the entries of a list must begin in the same column, each with `- `",
    ),
    _Fault("cannot start any token", "has a value that begins with a special character", "put the value in quotes"),
    _Fault(
        "expected alphabetic or numeric",
        "has a value that begins with * or &, which have a meaning of their own",
        "put the value in quotes",
    ),
)


def syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """The problem behind an error of the parser, at the line where a person has to look."""
    mark = error.problem_mark or error.context_mark
    number = mark.line + 1 if mark else 0
    began = error.context_mark.line + 1 if error.context_mark else number
    lines = text.split("\n")
    line = lines[number - 1] if 0 < number <= len(lines) else ""
    said = " ".join(part for part in (error.problem, error.context) if part)
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in (error.problem or error.context or ""):
        return Problem(file, number, (), "a tab is used where YAML wants spaces", "indent with spaces")
    for place in range(max(0, min(began, number) - 2), min(number, len(lines))):
        letter = lookalikes.found_in(lines[place])
        if letter is not None:
            hint = "write a plain space in its place"
            return Problem(file, place + 1, (), lookalikes.described(letter), hint)
    if "${" in line and "flow" in (error.context or ""):
        message = "${…} is not in quotes, within { } or [ ]"
        return Problem(file, number, (), message, 'write "${NAME}", with the quotes')
    fault = next((one for one in _FAULTS if one.said in said), None)
    if fault is None:
        began_at = f" that begins at line {began}" if began != number else ""
        return Problem(file, number, (), f"is not YAML: {said}{began_at}", _CURE)
    if fault.found_late:
        number = began
    began_in = f"; it begins in line {began}" if fault.unclosed and began != number else ""
    return Problem(file, number, (), f"is not YAML: {fault.message}{began_in}", fault.hint)
