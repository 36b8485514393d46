"""`tidegate check`: what is wrong with a configuration."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from agent.cli import MISTAKEN, NOT_WELL, WELL, options

if TYPE_CHECKING:
    from pathlib import Path

    from agent.app.live import Live
    from agent.config import Problem


@click.command()
@options.config
@click.option("--pushed", is_flag=True, help="By the stricter rules for documents that are pushed.")
@click.option("--live", is_flag=True, help="Also ask Kafka what it grants, and each MQTT broker what it keeps.")
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 100_000),
    default=200.0,
    show_default=True,
    help="With --live: readings a second that a connection brings.",
)
@click.option(
    "--fill",
    type=click.IntRange(1, 1_000_000),
    help="With --live: messages to fill a test session with; 5,000 or twice the window needed if not set.",
)
@options.as_json
def check(config_path: Path, *, pushed: bool, live: bool, rate: float, fill: int | None, as_json: bool) -> None:
    """Validate a configuration as the daemon does: one line a problem, with its line, its key and a hint.

    `--config -` reads standard input. The exit status is 2 where there are problems.

    With --live it then asks the brokers, beside a daemon that may run: in which topics exactly once can be relied
    on and which rights are missing, and how many messages each MQTT broker keeps while the gateway is away. The
    exit status is 1 where something falls short or cannot be asked.
    """
    from agent.app.verify import refusals  # noqa: PLC0415 - not for --help and --version
    from agent.config import ConfigErrors, digest, parse, read  # noqa: PLC0415 - likewise

    problems = []
    revision = None
    report = None
    try:
        if str(config_path) == "-":
            name, text, folder = "standard input", sys.stdin.buffer.read(), None
        else:
            name, text, folder = str(config_path), read(config_path), config_path.absolute().parent
        revision = digest(text)
        config = parse(text, name, folder=folder, pushed=pushed)
        problems = [_problem(name, refusal) for refusal in refusals(config)]
        if live and not problems:
            from agent.app.live import ask  # noqa: PLC0415 - Kafka's and MQTT's clients, for nothing else here

            report = ask(config, rate_hz=rate, fill=fill)
    except ConfigErrors as errors:
        problems = errors.problems
    if as_json:
        answer = {
            "file": str(config_path),
            "valid": not problems,
            "revision": revision,
            "problems": [asdict(problem) for problem in problems],
        }
        if report is not None:
            answer["live"] = asdict(report) | {"well": report.well}
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
        if not problems and revision is not None:
            click.echo(f"{config_path}: no problems, revision {revision[:12]}")
        if report is not None:
            _tell(report)
    if problems:
        sys.exit(MISTAKEN)
    sys.exit(NOT_WELL if report is not None and not report.well else WELL)


def _tell(report: Live) -> None:
    """What was found, each broker's part under its name; what is well stands in one line."""
    for part in report.parts:
        click.echo(f"{part.name}:")
        for line in part.lines:
            mark = {True: "ok  ", False: "NOT ", None: "?   "}[line.well]
            click.echo(f"  {mark}{line.text}")
            for why in line.why:
                click.echo(f"        {why}")


def _problem(file: str, refusal: str) -> Problem:
    from agent.config import Problem  # noqa: PLC0415 - not for --help and --version

    path, _, message = refusal.partition(": ")
    message, _, hint = message.partition(" (hint: ")
    return Problem(file, 0, path, message, hint.removesuffix(")") or "mend it, or take the section out")
