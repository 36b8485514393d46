"""What the schema refuses, in the words of the person who wrote the document."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from agent.config.document.nodes import Scalar, find
from agent.config.problems import Problem, shortened
from agent.config.schema import Config
from agent.config.schema.values import SPELLINGS, Section

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from agent.config.document.nodes import Mapping
    from drivers.spelling import Location

_SPELLINGS = {spelling.pattern: spelling for spelling in SPELLINGS}


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What to say of a value. `quoted`: the message says what it must be, so what it is belongs behind it."""

    message: str
    hint: str = ""
    quoted: bool = False


def problem_of(error: ErrorDetails, root: Mapping, file: str) -> Problem:
    """One refusal of the schema as a problem with its line."""
    location = error["loc"]
    line, node = find(root, location)
    refusal = _refusal(error, location)
    message, hint = refusal.message, refusal.hint or _description(location)
    if error["type"] == "string_pattern_mismatch" and isinstance(node, Scalar) and "://" in node.text:
        hint = f"write it without {node.text.partition('://')[0]}://; {hint}"
    # What was written is shown, never what the environment put in its place.
    if refusal.quoted and isinstance(node, Scalar):
        message += f", not {shortened(node.text)}" if node.text else ", but is empty"
    return Problem(file, line, location, message, hint)


def section_at(location: Location) -> type[Section] | None:
    """The type of the section at a place, if there is one."""
    section: type[Section] | None = Config
    for part in location:
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part) if section is not None else None
        section = section_of(field.annotation) if field is not None else None
    return section


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a field holds: itself, in a list, or optionally."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if get_origin(annotation) is None:
        return None
    return next((found for part in get_args(annotation) if (found := section_of(part)) is not None), None)


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that is most like this one, if one is like it."""
    return next(iter(difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)), None)


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint that names the nearest known word, or all of a short list."""
    near = nearest(word, known)
    if near is not None:
        return f"did you mean {near}?"
    return f"known here: {', '.join(known)}" if known else ""


def _refusal(error: ErrorDetails, location: Location) -> _Refusal:
    """What the schema refuses a value for."""
    kind, context = error["type"], error.get("ctx", {})
    found: _Refusal | None = None
    if kind == "extra_forbidden":
        section = section_at(location[:-1])
        known = list(section.model_fields) if section is not None else []
        found = _Refusal("unknown key", did_you_mean(str(location[-1]), known))
    elif kind == "missing":
        found = _Refusal("is missing")
    elif error.get("input", "") is None and kind != "model_type":
        found = _Refusal("is empty")
    elif kind == "literal_error":
        found = _choice(_choices_at(location), str(error.get("input", "")))
    elif kind == "string_pattern_mismatch":
        spelling = _SPELLINGS.get(context["pattern"])
        found = None if spelling is None else _Refusal(spelling.message, spelling.hint, quoted=True)
    elif kind in ("model_type", "dict_type"):
        found = _Refusal("must be a section: lines of `key: value` below it, indented", _keys(location), quoted=True)
    elif kind == "list_type":
        found = _Refusal("must be a list", "each entry begins with `- `", quoted=True)
    elif kind == "too_short":
        found = _Refusal("needs at least one entry")
    return found or _bound(context) or _type(kind) or _Refusal(error["msg"].lower())


def _bound(context: dict[str, Any]) -> _Refusal | None:
    for key, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if key in context:
            bound = context[key]
            said = bound if isinstance(bound, int) else format(bound, "g")
            return _Refusal(f"must be {words} {said}", quoted=True)
    if "max_length" in context:
        return _Refusal(f"must be no longer than {context['max_length']} characters", quoted=True)
    return None


def _type(kind: str) -> _Refusal | None:
    if kind == "string_too_short":
        return _Refusal("must not be empty")
    words = {
        "int": "must be a whole number",
        "float": "must be a number",
        "finite": "must be a number",
        "bool": "must be true or false",
        "path": "must be one value",
        "date": "must be a date, such as 2026-03-01",
    }
    # pydantic has a code for each way in which a value is no number: int_parsing, int_type, int_from_float, …
    message = words.get(kind.split("_", maxsplit=1)[0], "must be one value" if kind == "string_type" else None)
    return None if message is None else _Refusal(message, quoted=True)


def _choice(choices: list[str], given: str) -> _Refusal:
    meant = nearest(given, choices)
    listed = " or ".join(part for part in (", ".join(choices[:-1]), choices[-1]) if part)
    return _Refusal(f"must be {listed}", f"did you mean {meant}?" if meant else "", quoted=True)


def _choices_at(location: Location) -> list[str]:
    """The values that the schema lets a key have."""
    section = section_at(location[:-1])
    return [] if section is None else choices_of(section.model_fields[str(location[-1])].annotation)


def choices_of(annotation: Any) -> list[str]:
    """The values of a type that lists them, itself or optionally; empty for any other."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return next((found for part in get_args(annotation) if (found := choices_of(part))), [])


def _description(location: Location) -> str:
    """What the key is for, in the schema's words: the hint where there is none of its own."""
    while location and isinstance(location[-1], int):
        location = location[:-1]
    section = section_at(location[:-1])
    field = section.model_fields.get(str(location[-1])) if section is not None and location else None
    description = (field.description or "") if field is not None else ""
    first = description.split(". ")[0].split("; ")[0].rstrip(".").replace("`", "")
    # Abbreviations keep their capitals.
    return (first[0].lower() + first[1:] if first[1:2].islower() else first) or "docs/CONFIG.md lists all keys"


def _keys(location: Location) -> str:
    section = section_at(location)
    return f"its keys: {', '.join(section.model_fields)}" if section is not None else ""
