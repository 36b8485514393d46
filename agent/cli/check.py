"""`tidegate check`: what is wrong with a configuration."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from agent.cli import MISTAKEN, options

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@options.config
@click.option("--pushed", is_flag=True, help="By the stricter rules for documents that are pushed.")
@options.as_json
def check(config_path: Path, *, pushed: bool, as_json: bool) -> None:
    """Validate a configuration as the daemon does: one line a problem, with its line, its key and a hint.

    `--config -` reads standard input. The exit status is 2 where there are problems.
    """
    from agent.config import ConfigErrors, digest, parse, read  # noqa: PLC0415 - not for --help and --version

    problems = []
    revision = None
    try:
        if str(config_path) == "-":
            name, text, folder = "standard input", sys.stdin.buffer.read(), None
        else:
            name, text, folder = str(config_path), read(config_path), config_path.absolute().parent
        revision = digest(text)
        parse(text, name, folder=folder, pushed=pushed)
    except ConfigErrors as errors:
        problems = errors.problems
    if as_json:
        answer = {
            "file": str(config_path),
            "valid": not problems,
            "revision": revision,
            "problems": [asdict(problem) for problem in problems],
        }
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        if not problems and revision is not None:
            click.echo(f"{config_path}: no problems, revision {revision[:12]}")
    sys.exit(MISTAKEN if problems else 0)
