"""`tidegate schema`: the JSON Schemas of what is sent and of the configuration."""

from __future__ import annotations

import json
import sys

import click

from agent.cli import MISTAKEN


@click.command()
@click.argument("name", required=False)
@click.option("--list", "only_names", is_flag=True, help="List the names of the schemas, one a line.")
def schema(name: str | None, *, only_names: bool) -> None:
    """Print the JSON Schema of NAME: of a topic's records, or of `config`. Without NAME, of all of them.

    The names are those of `tidegate schema --list`.
    """
    from agent import events  # noqa: PLC0415 - the same
    from agent.config import Config  # noqa: PLC0415 - pydantic; not for --help

    if only_names:
        click.echo("\n".join([*events.SCHEMAS, "config"]))
        return
    schemas = {topic: events.schema(topic) for topic in events.SCHEMAS}
    schemas["config"] = {"$id": "tidegate.config", **Config.model_json_schema()}
    if name is not None and name not in schemas:
        click.echo(f"unknown schema {name}; known: {', '.join(schemas)}", err=True)
        sys.exit(MISTAKEN)
    click.echo(json.dumps(schemas if name is None else schemas[name], indent=2, ensure_ascii=False))
