"""`tidegate explain`: how a figure comes about."""

from __future__ import annotations

import json
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from agent.cli import MISTAKEN, options
from agent.cli.asking import ask, socket_path
from agent.cli.stock import value
from agent.cli.table import duration, printable, table

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("figure")
@options.config
@options.folder("--runtime-dir", "Folder of the daemon's socket.")
@click.option("--tank", help="Only of this tank.")
@options.as_json
def explain(figure: str, config_path: Path, runtime_dir: Path | None, tank: str | None, *, as_json: bool) -> None:
    """Show the inputs, the formula and the source of FIGURE, a figure of tanks or a derived quantity.

    The exit status is 2 if there is no such figure.
    """
    status, answer = ask(socket_path(config_path, runtime_dir), "GET", f"/explain/{quote(figure, safe='')}")
    found = [one for one in answer.get("tanks", []) if tank is None or one.get("tank_id") == tank]
    if status != HTTPStatus.OK or not found:
        known = ", ".join(answer.get("known", [])) or "none yet"
        where = "" if tank is None or not answer.get("tanks") else f" of {tank}"
        click.echo(printable(f"there is no figure {figure}{where}; there are: {known}"), err=True)
        sys.exit(MISTAKEN)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for number, one in enumerate(found):
        if number:
            click.echo()
        for line in _lines(one):
            click.echo(line)


def _lines(one: dict[str, Any]) -> list[str]:
    where = str(one.get("tank_id") or "the site")
    said = value(one) if one.get("value") is not None else f"no value: {one.get('reason', '')}"
    lines = [click.style(printable(f"{one['name']} of {where}: {said}"), bold=True)]
    lines += [printable(f"note     {note}") for note in one.get("notes", [])]
    lines += [printable(f"formula  {one.get('formula', '')}"), printable(f"source   {one.get('source', '')}")]
    rows = [
        [
            str(given["name"]),
            value(given),
            duration(given["age_s"]) if given.get("age_s") is not None else "-",
            str(given["origin"]),
        ]
        for given in one.get("inputs", [])
    ]
    if rows:
        lines += table(("INPUT", "VALUE", "AGE", "FROM"), rows, right=(1, 2))
    return lines
