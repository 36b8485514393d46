"""Plain English: pages and messages avoid phrases of translated English and names that no field uses."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
BANNED = {
    r"where there (?:is|are|was|were) no\b": "if there is no",
    r"(?<!there )\b(?:is|was) none\b(?! of)": "is not",
    r"\banew\b": "again",
    r"\bnoise\b": "corrupt data (docs/GLOSSARY.md)",
    r"\bstands? (?:beside|in the (?:log|topic)|in Kafka|on disk|there|twice|unacknowledged)\b": "is",
    r"\b(?:is|are) told\b": "is reported, is set",
    r"\bnobody (?:knows|says|can)\b": "is not known, cannot be",
    r"\bwhoever\b": "anyone who",
    r"\bby and by\b": "later",
    r"\bfor ever\b": "without end, never",
    r"\ball the same\b": "anyway, still",
    r"\bgoe?s? again\b": "is sent again",
    r"\bof no use\b": "useless, has no effect",
    r"\bsaid aloud\b": "reported",
    r"\bt(?:akes?|ook) (?:nothing|no commits?)\b": "cannot be written",
    r"\bwhat bec[oa]mes? of\b": "what happens to, the outcome of",
    r"\bprobe'?s? (?:says|clock)\b": "device",
}
SPOKEN = re.compile("|".join(f"(?:{phrase})" for phrase in BANNED))
MADE_BY_RUNS = {"BENCHMARKS.md", "BROKERS.md"}
"""Their tables quote what programs printed, at the commit that they name."""
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), ROOT / "config.yaml", *(ROOT / "docs").rglob("*.md"))
    if page.name not in MADE_BY_RUNS | {"GLOSSARY.md"}
]
OTHERS = [file for folder in ("deploy", "systemd") for file in (ROOT / folder).rglob("*") if file.is_file()]
CODE = [file for folder in ("agent", "drivers", "models", "sync") for file in (ROOT / folder).rglob("*.py")]
INVENTED = re.compile(r"^(?:Lying|Harbour|Fortune|Untold|Wish|Fate|Voyage|Overheard|Havoc)", re.MULTILINE)


def replacement(phrase: str) -> str:
    return next(better for banned, better in BANNED.items() if re.fullmatch(banned, phrase))


def found(text: str) -> list[str]:
    """The banned phrases in a text, wherever its lines break, each with what to write in its place."""
    return [f"{hit[0]!r}: write {replacement(hit[0])}" for hit in SPOKEN.finditer(" ".join(text.split()))]


def messages(file: Path) -> Iterator[tuple[int, str]]:
    """All text of a module but docstrings: its messages, hints and descriptions; and docstrings that are help."""
    tree = ast.parse(file.read_text())
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value
        elif isinstance(node, ast.FunctionDef) and any("command" in ast.unparse(d) for d in node.decorator_list):
            yield node.lineno, ast.get_docstring(node) or ""


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_in_plain_english(page):
    assert found(page.read_text()) == []


def test_messages_are_in_plain_english():
    offences = [
        f"{file.relative_to(ROOT)}:{line} {fault}"
        for file in CODE
        for line, text in messages(file)
        for fault in found(text)
    ]
    assert not offences, "\n" + "\n".join(offences)


def test_names_are_terms_of_the_field():
    names = [
        f"{file.relative_to(ROOT)}: {node.name}"
        for file in [*CODE, *(ROOT / "tests").rglob("*.py")]
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and INVENTED.search(node.name)
    ]
    assert not names, "\n" + "\n".join(names)


def test_the_glossary_gives_each_word_one_meaning():
    rows = re.findall(r"^\| \*\*([^*]+)\*\* \|", (ROOT / "docs" / "GLOSSARY.md").read_text(), re.MULTILINE)
    assert len(rows) >= 30
    assert len(rows) == len(set(rows))


def test_a_banned_phrase_is_found_over_a_line_break_and_its_cure_is_named():
    assert found("where there\n    is no broker") == ["'where there is no': write if there is no"]
    assert found("a corrupt log file goes to Kafka again; metrics say so") == []
