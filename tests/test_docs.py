"""What the pages name exists: files, links, headings, make targets, verbs, metrics; their YAML parses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from agent.cli import main
from agent.events import SystemEventKind
from agent.metrics.catalog import CATALOG

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT)
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "models").rglob("*.md")]
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`|^    (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDERS = (
    "agent/",
    "drivers/",
    "models/",
    "sync/",
    "systemd/",
    "deploy/",
    "docs/",
    "tests/",
    "requirements/",
    ".ci/",
)

each_page = pytest.mark.parametrize("page", PAGES, ids=str)


def snippets(page: Path) -> list[str]:
    text = (ROOT / page).read_text()
    fenced = [line for block in FENCE.findall(text) for line in block.splitlines()]
    return fenced + [inline or block for inline, block in CODE.findall(FENCE.sub("", text))]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page):
    for link in LINK.findall(FENCE.sub("", (ROOT / page).read_text())):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), link


@each_page
def test_files_that_are_named_exist(page):
    for snippet in snippets(page):
        for word in re.findall(r"[\w./-]+", snippet):
            if word.startswith(FOLDERS) and not re.search(r"[<{*…]", snippet):
                plain = word.split("::")[0].rstrip(".")
                assert (ROOT / plain).exists() or (ROOT / f"{plain}.py").exists(), plain


@each_page
def test_make_targets_that_are_named_exist(page):
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for snippet in snippets(page):
        for target in re.findall(r"(?:^|[(;&] ?)make ((?!-)[a-z0-9-]+)", snippet):
            assert target in targets, f"make {target}"


@each_page
def test_verbs_that_are_named_exist(page):
    verbs = set(main.list_commands(main.make_context("tidegate", [], resilient_parsing=True)))
    for snippet in snippets(page):
        for verb in re.findall(r"(?:^|/)tidegate ([a-z][a-z-]*)", snippet):
            assert verb in verbs, f"tidegate {verb}"


@each_page
def test_metrics_that_are_named_exist(page):
    for snippet in snippets(page):
        for name in re.findall(r"\btidegate_[a-z_]+\b", snippet):
            assert name in CATALOG or re.sub(r"_(bucket|count|sum)$", "", name) in CATALOG, name


def test_every_event_stands_in_the_wire_page():
    assert {kind.value for kind in SystemEventKind} <= set(snippets(Path("docs/WIRE.md")))


@each_page
def test_yaml_examples_parse(page):
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
        if language == "yaml":
            yaml.safe_load(block)


@each_page
def test_no_page_is_empty_and_each_has_one_title(page):
    text = FENCE.sub("", (ROOT / page).read_text())
    assert len(re.findall(r"^# \S", text, re.MULTILINE)) == 1
