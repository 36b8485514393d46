"""`tidegate reload`: have the configuration looked at again."""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from agent.cli import MISTAKEN, options
from agent.cli.asking import ask, socket_path

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@options.config
@options.folder("--runtime-dir", "Folder of the daemon's socket.")
@options.as_json
def reload(config_path: Path, runtime_dir: Path | None, *, as_json: bool) -> None:
    """Make the running daemon read its configuration again, and print the result.

    The exit status is 2 if it was refused; the daemon then goes on with the old one.
    """
    status, answer = ask(socket_path(config_path, runtime_dir), "POST", "/reload")
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        for problem in answer.get("problems", []):
            click.echo(problem, err=True)
        changed = ", ".join(answer.get("changed_units", [])) or "no unit changed"
        click.echo(f"{answer.get('outcome', 'no answer')}: {str(answer.get('revision', ''))[:12]} ({changed})")
    sys.exit(0 if status == HTTPStatus.OK else MISTAKEN)
