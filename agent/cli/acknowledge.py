"""`tidegate acknowledge`: say that somebody has seen an alert."""

from __future__ import annotations

import getpass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from agent.cli import NOT_WELL, options
from agent.cli.asking import ask, socket_path

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("alert_id")
@options.config
@options.folder("--runtime-dir", "Folder of the daemon's socket.")
@click.option("--by", default=None, help="Who has seen it; the user who is logged in unless given.")
@click.option(
    "--snooze", "snooze_min", type=click.IntRange(1, 720), default=None,
    help="Only put its escalation off, by so many minutes.",
)  # fmt: skip
@click.pass_context
def acknowledge(  # noqa: PLR0917 - the options of a verb
    ctx: click.Context,
    alert_id: str,
    config_path: Path,
    runtime_dir: Path | None,
    by: str | None,
    snooze_min: int | None,
) -> None:
    """Acknowledge a raised alert, by its id in `tidegate status`, so that it does not escalate."""
    question = {"alert_id": alert_id, "by": by or getpass.getuser()}
    if snooze_min is not None:
        question["snooze_s"] = str(snooze_min * 60)
    target = f"/alerts/acknowledge?{urlencode(question)}"
    status, _ = ask(socket_path(config_path, runtime_dir), "POST", target)
    if status == HTTPStatus.NOT_FOUND:
        click.echo(f"no alert {alert_id} is raised: `tidegate status` lists them", err=True)
        ctx.exit(NOT_WELL)
    if status != HTTPStatus.OK:
        click.echo(f"the daemon answered {status}", err=True)
        ctx.exit(NOT_WELL)
    click.echo(f"{alert_id}: " + (f"snoozed for {snooze_min} minutes" if snooze_min else "acknowledged"))
