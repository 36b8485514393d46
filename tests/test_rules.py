"""Rules go by their numbers: what is cited stands somewhere, and a test function names each that stands there."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("agent", "drivers", "sync", "docs", "tests")
FILES = [file for folder in FOLDERS for end in ("py", "md") for file in sorted((ROOT / folder).rglob(f"*.{end}"))]
TEXTS = {file.relative_to(ROOT): file.read_text() for file in FILES if file != Path(__file__)}
# At a line's start, as an item, in bold, or with two spaces behind.
STANDS = re.compile(r"^(?:- |\*\*|- \*\*|(?=\w+  ))([A-Z]\d{1,2})\b", re.MULTILINE)
# "D1 to D14" cites all between.
CITED = re.compile(r"(?<![\w`/-])([A-Z])(\d{1,2})(?: to [A-Z](\d{1,2}))?(?![\w-])")
NAMED = re.compile(r"\bdef test_([a-z])(\d{1,2})()_")


def cited(text: str) -> set[str]:
    found = set()
    for family, first, last in CITED.findall(text) + NAMED.findall(text):
        found |= {f"{family.upper()}{number}" for number in range(int(first), int(last or first) + 1)}
    return found


def checked(text: str) -> set[str]:
    """The rules that test functions name, in their names or docstrings, one by one."""
    tests = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    found = NAMED.findall("\n".join(f"def {test.name}" for test in tests))
    found += [one for test in tests for one in CITED.findall(ast.get_docstring(test) or "") if not one[2]]
    return {f"{family.upper()}{number}" for family, number, _ in found}


PLACES = [
    (number, file) for file, text in TEXTS.items() if file.parts[0] != "tests" for number in STANDS.findall(text)
]
STANDING = {number for number, _ in PLACES}
RESTATED = Path("sync/shipper/decisions/stream.py")
"""Opens with the rules of docs/DELIVERY.md in its own words."""
FAMILIES = {number[0] for number in STANDING}


def test_no_two_rules_go_by_one_number():
    numbers = Counter(number for number, file in PLACES if file != RESTATED)
    assert [number for number, times in numbers.items() if times > 1] == []


def test_a_rule_that_is_cited_stands_somewhere():
    offences = []
    for file, text in TEXTS.items():
        unknown = {number for number in cited(text) - STANDING if number[0] in FAMILIES}
        offences += [f"{file} cites {', '.join(sorted(unknown))}"] if unknown else []
    assert not offences, "\n" + "\n".join(offences)


def test_each_rule_is_named_by_a_test():
    """By a test function itself: what a module's docstring says of all its tests, none of them need check."""
    named = set().union(*(checked(text) for file, text in TEXTS.items() if file.name.startswith("test_")))
    assert not STANDING - named, f"no test names {', '.join(sorted(STANDING - named))}"
