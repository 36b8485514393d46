"""Problems are values: a key's place, what is wrong and what to do, put into words once and never read back."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from agent.app.verify import refusals
from agent.config import Problem, in_document, parse
from agent.config.document.syntax import syntax_problem
from agent.config.schema import Config
from agent.config.schema.values import SPELLINGS, Section
from agent.config.wording import choices_of, section_of
from drivers.spelling import path_text
from drivers.values import Misconfigured
from tests.support.document import GOOD, changed, problems_of


def test_what_only_a_driver_finds_keeps_its_place_its_reason_and_its_hint_apart():
    # A sentence with ": " and " (hint: " in it: taken apart as text it would end early.
    topic = "'odd: {tank} (hint: none)/{metric}'"
    problem = Problem("", 0, ("mqtt", 0, "subscriptions", 1, "topic"), f"{topic}: is odd (hint: no)", "a: b (c)")
    placed = in_document(problem, GOOD, "c.yaml")
    assert (placed.file, placed.where, placed.message, placed.hint) == (
        "c.yaml",
        ("mqtt", 0, "subscriptions", 1, "topic"),
        f"{topic}: is odd (hint: no)",
        "a: b (c)",
    )


def test_a_refusal_has_the_line_of_its_key():
    text = changed("    source: rtsp://10.0.0.7/main\n", "    source: rtsp://10.0.0.7/main\n    loop: true\n")
    (refusal,) = refusals(parse(text, "c.yaml", {}))
    assert refusal.where == ("models", 0, "path")
    placed = in_document(refusal, text, "c.yaml")
    assert text.splitlines()[placed.line - 1].strip() == "path: zoo/fish"
    assert placed.described()["path"] == "models[0].path"


def test_a_problem_without_file_line_or_hint_says_only_what_it_has():
    assert (
        str(Problem("", 0, ("log",), "takes effect at the next start", "")) == "log: takes effect at the next start"
    )
    assert str(Problem("c.yaml", 0, (), "is empty", "fill it")) == "c.yaml: is empty (hint: fill it)"
    assert str(Problem("c.yaml", 3, ("mqtt", 0, "host"), "a\nb", "c")) == "c.yaml:3: mqtt[0].host: a b (hint: c)"


def test_a_driver_says_which_key_below_its_section():
    assert Misconfigured("no", ("tls", "cert_file")).field == "tls.cert_file"
    assert Misconfigured("no", "host").where == ("host",)
    assert (Misconfigured("no").field, Misconfigured("no").where) == ("", ())
    assert path_text(("mqtt", 0, "subscriptions", 12, "topic")) == "mqtt[0].subscriptions[12].topic"


def annotations(section: type[Section], seen: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    for name, field in section.model_fields.items():
        seen.append((name, field))
        inner = section_of(field.annotation)
        if inner is not None:
            annotations(inner, seen)
    return seen


def patterns(part: Any) -> set[str]:
    own = {found.pattern for found in getattr(part, "__metadata__", ()) for found in _pydantic(found)}
    return own.union(*map(patterns, get_args(part)))


def _pydantic(found: Any) -> list[Any]:
    return [one for one in getattr(found, "metadata", ()) if getattr(one, "pattern", None)]


@pytest.mark.parametrize(
    ("name", "field"), annotations(Config, []), ids=lambda one: one if isinstance(one, str) else ""
)
def test_every_spelling_and_choice_of_the_schema_has_words(name, field):
    written = {one.pattern for one in field.metadata if getattr(one, "pattern", None)} | patterns(field.annotation)
    assert written <= {spelling.pattern for spelling in SPELLINGS}
    if "Literal" in str(field.annotation):
        assert choices_of(field.annotation)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("qos: 1", "qos: 3", "must be 0 or 1, not 3"),
        ("    fps: 5\n", "    fps: 5\nlogging: {level: infos}\n", "must be debug, info, warning or error, not infos"),
    ],
)
def test_choices_are_read_from_the_schema(old, new, said):
    (problem,) = problems_of(changed(old, new))
    assert said in problem


def test_a_fault_of_yaml_that_has_no_plain_words_is_still_named():
    class Mark:
        line = 2

    class Odd:
        problem, context, problem_mark, context_mark = "found something new", "while scanning", Mark(), None

    problem = syntax_problem(Odd(), "a: 1\nb: 2\nc: 3\n", "c.yaml")  # type: ignore[arg-type]
    assert (problem.line, problem.message) == (3, "is not YAML: found something new while scanning")


def test_each_spelling_is_used():
    used = set()
    for _, field in annotations(Config, []):
        used |= {one.pattern for one in field.metadata if getattr(one, "pattern", None)} | patterns(field.annotation)
    assert used == {spelling.pattern for spelling in SPELLINGS}
