"""What the schema refuses, in the words of the person who wrote the document."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args, get_origin

from agent.config.document.parser import Scalar, find
from agent.config.problems import Problem, path_text, shortened
from agent.config.schema import Config
from agent.config.schema.values import HOST, PORT, Section

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from agent.config.document.parser import Mapping

Location = tuple[str | int, ...]

_PATTERNS = {
    "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$": (
        "must be a name: up to 63 letters, digits and . _ -, first a letter or digit",
        "",
    ),
    HOST.pattern: ("must be a host name or an address", "the port has a key of its own"),
    f"^(\\[[0-9A-Fa-f:.%]+\\]|[A-Za-z0-9_.-]{{1,253}}):{PORT}$": (
        "must be host:port",
        "such as kafka.example:9092; ports end at 65535",
    ),
    "^[A-Za-z0-9._-]{1,249}$": ("must be a topic name of Kafka: letters, digits and . _ -", ""),
}


def problem_of(error: ErrorDetails, root: Mapping, file: str) -> Problem:
    """One refusal of the schema as a problem with its line."""
    location = error["loc"]
    line, node = find(root, location)
    message, hint = _say(error, location)
    if error["type"] == "string_pattern_mismatch" and isinstance(node, Scalar) and "://" in node.text:
        hint = f"write it without {shortened(node.text).removesuffix('…')}; {hint}"
    # What was written is shown, never what the environment put in its place.
    if message.startswith("must be") and isinstance(node, Scalar):
        message += f", not {shortened(node.text)}" if node.text else ", but is empty"
    return Problem(file, line, path_text(location), message, hint)


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


def _say(error: ErrorDetails, location: Location) -> tuple[str, str]:
    """The message and the hint for one refusal."""
    kind, context = error["type"], error.get("ctx", {})
    said: tuple[str, str] | None = None
    if kind == "extra_forbidden":
        section = section_at(location[:-1])
        said = "unknown key", did_you_mean(str(location[-1]), list(section.model_fields) if section else [])
    elif kind == "missing":
        said = "is missing", _description(location)
    elif error.get("input", "") is None and kind != "model_type":
        said = "is empty", _description(location)
    elif kind == "literal_error":
        said = f"must be {context['expected'].replace(chr(39), '')}", _nearest_choice(error, context["expected"])
    elif kind == "string_pattern_mismatch":
        said = _PATTERNS.get(context["pattern"])
    elif kind in ("model_type", "dict_type"):
        said = "must be a section: lines of `key: value` below it, indented", _keys(location)
    elif kind == "list_type":
        said = "must be a list", "each entry begins with `- `"
    elif kind == "too_short":
        said = "needs at least one entry", _description(location)
    message, hint = said or (_bound(context) or _type(kind) or error["msg"].lower(), "")
    return message, hint or _description(location)


def _bound(context: dict[str, Any]) -> str | None:
    for key, words in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
        if key in context:
            bound = context[key]
            return f"must be {words} {bound if isinstance(bound, int) else format(bound, 'g')}"
    if "max_length" in context:
        return f"must be no longer than {context['max_length']} characters"
    return None


def _type(kind: str) -> str | None:
    words = {
        "int": "must be a whole number",
        "float": "must be a number",
        "finite": "must be a number",
        "bool": "must be true or false",
        "path": "must be one value",
    }
    if kind == "string_too_short":
        return "must not be empty"
    return words.get(kind.split("_", maxsplit=1)[0], "must be one value" if kind == "string_type" else None)


def _nearest_choice(error: ErrorDetails, expected: str) -> str:
    choices = [choice.strip("' ") for choice in expected.replace(" or ", ",").split(",")]
    near = difflib.get_close_matches(str(error.get("input", "")).lower(), choices, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


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
