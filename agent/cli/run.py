"""`tidegate run`: the daemon."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from agent.cli import MISTAKEN, options

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@options.config
def run(config_path: Path) -> None:
    """Run the gateway's daemon until SIGTERM or Ctrl-C.

    SIGHUP reads the configuration again. A second SIGTERM or Ctrl-C ends it at once.
    """
    from agent.app.daemon import run as run_daemon  # noqa: PLC0415 - brings everything; the other verbs need none of it
    from agent.config import ConfigErrors  # noqa: PLC0415 - the same

    try:
        status = run_daemon(config_path)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        status = MISTAKEN
    sys.exit(status)
