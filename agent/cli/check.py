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

    from agent.config import Problem


@click.command()
@options.config
@click.option("--pushed", is_flag=True, help="By the stricter rules for documents that are pushed.")
@options.as_json
def check(config_path: Path, *, pushed: bool, as_json: bool) -> None:
    """Validate a configuration as the daemon does: one line a problem, with its line, its key and a hint.

    `--config -` reads standard input. The exit status is 2 where there are problems.
    """
    from agent.app.verify import refusals  # noqa: PLC0415 - not for --help and --version
    from agent.config import ConfigErrors, digest, parse, read  # noqa: PLC0415 - likewise

    problems = []
    revision = None
    try:
        if str(config_path) == "-":
            name, text, folder = "standard input", sys.stdin.buffer.read(), None
        else:
            name, text, folder = str(config_path), read(config_path), config_path.absolute().parent
        revision = digest(text)
        config = parse(text, name, folder=folder, pushed=pushed)
        problems = [_problem(name, refusal) for refusal in refusals(config)]
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


def _problem(file: str, refusal: str) -> Problem:
    from agent.config import Problem  # noqa: PLC0415 - not for --help and --version

    path, _, message = refusal.partition(": ")
    message, _, hint = message.partition(" (hint: ")
    return Problem(file, 0, path, message, hint.removesuffix(")") or "mend it, or take the section out")
