"""The pages that list what there is list all of it: configuration keys, metrics, verbs."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from agent.cli import main
from agent.config import docs as config_docs
from agent.config.schema import Config
from agent.config.wording import section_of
from agent.metrics import CATALOG
from agent.metrics import docs as metrics_docs
from sync.kafka.errors import docs as errors_docs

DOCS = Path(__file__).parents[1] / "docs"


def keys(section, path=""):
    for name, field in section.model_fields.items():
        yield f"{path}{name}", field
        inner = section_of(field.annotation)
        if inner is not None:
            yield from keys(inner, f"{path}{name}.")


def verbs(group, path="tidegate"):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from verbs(command, f"{path} {name}")


@pytest.mark.parametrize(
    ("name", "page", "command"),
    [
        ("CONFIG.md", config_docs.page(), "agent.config.docs"),
        ("METRICS.md", metrics_docs.page(), "agent.metrics.docs"),
        ("KAFKA_ERRORS.md", errors_docs.page(), "sync.kafka.errors.docs"),
    ],
)
def test_a_page_made_from_code_is_current(name, page, command):
    assert (DOCS / name).read_text() == page, f"run: python -m {command} > docs/{name}"


def test_every_key_of_the_configuration_is_listed_and_says_what_it_is():
    page = (DOCS / "CONFIG.md").read_text()
    for path, field in keys(Config):
        assert f"| `{path.rpartition('.')[2]}` |" in page, path
        assert (field.description or "").endswith((".", "…")), path


def test_every_metric_is_listed():
    page = (DOCS / "METRICS.md").read_text()
    assert [name for name in CATALOG if f"| `{name}` |" not in page] == []


def test_every_verb_is_in_the_operators_page():
    page = (DOCS / "OPERATIONS.md").read_text()
    assert [verb for verb, _ in verbs(main) if verb not in page] == []


def test_every_verb_and_option_explains_itself():
    for name, command in verbs(main):
        assert command.help, name
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, f"{name} {option.opts}"
