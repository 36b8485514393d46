"""The options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

config = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("/etc/tidegate/config.yaml"),
    envvar="TIDEGATE_CONFIG",
    show_default=True,
    help="The configuration.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")


def folder(name: str, text: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """A folder that is the configuration's unless it is named."""
    return click.option(name, type=click.Path(path_type=Path), help=f"{text}  [default: the configuration's]")
