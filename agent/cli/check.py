"""`tidegate check`: what is wrong with a configuration."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from agent.cli import MISTAKEN, NOT_WELL, WELL, options

if TYPE_CHECKING:
    from agent.app.live import Live
    from agent.config import Config, Problem

_STANDARD_INPUT: Final = Path("-")


@click.command()
@options.config
@click.option("--pushed", is_flag=True, help="Check by the stricter rules for pushes.")
@click.option(
    "--against",
    "config_yaml",
    type=click.Path(path_type=Path),
    help="With --pushed: the gateway's config.yaml, whose pinned keys a push may not change.",
)
@click.option(
    "--live", is_flag=True, help="Also test Kafka and each MQTT broker: topics, rights, queues, redelivery."
)
@click.option(
    "--rate",
    type=click.FloatRange(0.1, 100_000),
    default=200.0,
    show_default=True,
    help="With --live: expected readings a second on each MQTT connection.",
)
@click.option(
    "--fill",
    type=click.IntRange(1, 1_000_000),
    help="With --live: messages queued in the test session.  [default: 5,000, or twice the window needed]",
)
@options.as_json
def check(
    config_path: Path,
    config_yaml: Path | None,
    rate: float,
    fill: int | None,
    *,
    pushed: bool,
    live: bool,
    as_json: bool,
) -> None:
    """Validate a configuration as the daemon does. Each problem is one line: file, line, key and hint.

    `--config -` reads standard input. --pushed checks it as a push, --against for which gateway.
    The exit status is 2 if there are problems.

    --live then tests the brokers; the daemon may be running. It says in which topics exactly once is guaranteed,
    which rights are missing, and how many messages each MQTT broker keeps while the gateway is away. The
    exit status is 1 if something falls short or cannot be checked.
    """
    from agent.config import ConfigErrors, digest  # noqa: PLC0415 - not for --help and --version

    if config_yaml is not None and not pushed:
        raise click.UsageError("--against is for pushes: add --pushed")
    problems: list[Problem] = []
    revision = None
    report = None
    try:
        text = _text(config_path)
        revision = digest(text)
        config, problems = _look(config_path, text, config_yaml, pushed=pushed)
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
            "problems": [problem.described() for problem in problems],
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


def _text(config_path: Path) -> bytes:
    from agent.config import read  # noqa: PLC0415 - not for --help and --version

    return sys.stdin.buffer.read() if config_path == _STANDARD_INPUT else read(config_path)


def _look(config_path: Path, text: bytes, config_yaml: Path | None, *, pushed: bool) -> tuple[Config, list[Problem]]:
    """The configuration, and what a reload would refuse although the document is valid."""
    from agent.app.verify import refusals  # noqa: PLC0415 - not for --help and --version
    from agent.config import Pins, in_document, load, parse, read  # noqa: PLC0415 - the same

    name = "standard input" if config_path == _STANDARD_INPUT else str(config_path)
    # A push counts its paths from the folder of config.yaml.
    beside = config_yaml or (None if config_path == _STANDARD_INPUT else config_path)
    folder = None if beside is None else beside.absolute().parent
    pins = None if config_yaml is None else Pins(read(config_yaml), load(config_yaml))
    config = parse(text, name, folder=folder, pushed=pushed, pins=pins)
    found = [in_document(refusal, text, name) for refusal in refusals(config)]
    return config, [replace(one, hint=one.hint or "correct it, or remove the section") for one in found]
