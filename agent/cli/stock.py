"""`tidegate stock`: fish, feed and what was recorded of them."""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from agent.cli import MISTAKEN, NOT_WELL, options
from agent.cli.asking import ask, socket_path
from agent.cli.table import printable, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

_AT_ONCE: Final = 500


@click.group(invoke_without_command=True)
@options.config
@options.folder("--runtime-dir", "Folder of the daemon's socket.")
@options.as_json
@click.pass_context
def stock(ctx: click.Context, config_path: Path, runtime_dir: Path | None, *, as_json: bool) -> None:
    """Show the figures of all tanks; record, export and import events. Without a further word: the figures."""
    ctx.obj = config_path, runtime_dir
    if ctx.invoked_subcommand is not None:
        return
    _, answer = ask(socket_path(config_path, runtime_dir), "GET", "/stock")
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    rows = [
        [str(tank.get("tank_id") or "(site)"), str(one["name"]), value(one), _remark(one)]
        for tank in answer.get("tanks", [])
        for one in tank.get("figures", [])
    ]
    rows += [
        [str(one.get("tank_id", "")), str(one["name"]), value(one), _remark(one)] for one in answer.get("derived", [])
    ]
    for line in table(("TANK", "FIGURE", "VALUE", ""), rows, right=(2,)) if rows else ["no figures yet"]:
        click.echo(line)


@stock.command()
@click.argument("events", type=click.File("r"), default="-")
@click.pass_obj
def add(obj: tuple[Path, Path | None], events: TextIO) -> None:
    """Record events from a file or standard input: one JSON object, a list of them, or one a line.

    An event that is recorded already changes nothing. The exit status is 2 if one was refused.
    """
    _send(obj, _read(events))


@stock.command("import")
@click.argument("events", type=click.File("r"), default="-")
@click.pass_obj
def import_(obj: tuple[Path, Path | None], events: TextIO) -> None:
    """Record what `export` printed, on this gateway or on another. Events that are there already stay as they are."""
    _send(obj, _read(events))


@stock.command()
@options.folder("--state-dir", "Folder of farm.sqlite.")
@click.pass_obj
def export(obj: tuple[Path, Path | None], state_dir: Path | None) -> None:
    """Print every recorded event, one JSON object a line, in the order of recording. No daemon need run."""
    from agent.records.farm_file import read_events  # noqa: PLC0415 - not for --help
    from sync.values import NotReady  # noqa: PLC0415 - likewise

    folder = state_dir or options.configured(obj[0], "state_dir")
    try:
        for event in read_events(folder / "farm.sqlite"):
            click.echo(event.body)
    except NotReady as fault:
        click.echo(f"{fault.reason} ({fault.hint})", err=True)
        sys.exit(NOT_WELL)


def value(one: dict[str, Any]) -> str:
    """A figure for a person."""
    if one.get("value") is None:
        return "-"
    unit = "" if one.get("unit") in (None, "1") else f" {one['unit']}"
    return f"{one['value']:,.6g}{unit}"


def _remark(one: dict[str, Any]) -> str:
    return str(one.get("reason") or "; ".join(one.get("notes", [])))


def _read(events: TextIO) -> list[Any]:
    text = events.read()
    try:
        found = json.loads(text)
    except ValueError:
        return list(_lines(text))
    return found if isinstance(found, list) else [found]


def _lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as fault:
                _mistaken(f"line {number} is not JSON: {fault}")


def _send(obj: tuple[Path, Path | None], events: list[Any]) -> None:
    path = socket_path(*obj)
    counts = {"recorded": 0, "known": 0, "refused": 0}
    for first in range(0, len(events), _AT_ONCE):
        body = json.dumps(events[first : first + _AT_ONCE]).encode()
        status, answer = ask(path, "POST", "/stock/events", body=body)
        if status != HTTPStatus.OK:
            _mistaken(str(answer.get("detail", status)))
        for one in answer.get("events", []):
            counts[one["outcome"]] += 1
            if one["outcome"] == "refused":
                click.echo(printable(f"{one['id'] or '(no id)'} refused: {one['reason']}"), err=True)
    click.echo(f"{counts['recorded']} recorded, {counts['known']} known already, {counts['refused']} refused")
    sys.exit(MISTAKEN if counts["refused"] else 0)


def _mistaken(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(MISTAKEN)
