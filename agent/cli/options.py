"""The options that several verbs share."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from agent.cli import MISTAKEN

if TYPE_CHECKING:
    from collections.abc import Callable

_DEFAULT = Path("/etc/tidegate/config.yaml")
config = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=_DEFAULT,
    envvar="TIDEGATE_CONFIG",
    show_default=True,
    help="Configuration file.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")


def folder(name: str, text: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """A folder that is the configuration's unless it is named."""
    return click.option(name, type=click.Path(path_type=Path), help=f"{text}  [default: the configuration's]")


def configured(config_path: Path, key: Literal["state_dir", "runtime_dir"]) -> Path:
    """A folder that a configuration names.

    Ends the process where a configuration was named and does not say it: another gateway's folder would be looked at
    in its place. Where none was named the folder is the usual one, and standard error says so.
    """
    from agent.config import folders  # noqa: PLC0415 - pydantic, where the folder was not named

    found = folders(config_path)
    folder: Path = getattr(found, key)
    problem = found.unsure.get(key)
    if problem is not None and config_path == _DEFAULT:
        click.echo(f"{problem.file}: {problem.message}; looking in {folder}", err=True)
    elif problem is not None:
        click.echo(f"{problem}\nso its {key} is not known; name it with --{key.replace('_', '-')}", err=True)
        sys.exit(MISTAKEN)
    return folder


@dataclass(frozen=True, slots=True)
class LogFile:
    """Which log is meant: that of a configuration, or the one in a folder."""

    config_path: Path
    state_dir: Path | None

    @property
    def path(self) -> Path:
        """The log's file. Ends the process, saying why, where it is not known."""
        return (self.state_dir or configured(self.config_path, "state_dir")) / "log.sqlite"

    def nearer(self, config_path: Path | None, state_dir: Path | None) -> LogFile:
        """With what was said behind the verb, which goes before what was said in front of it."""
        return LogFile(config_path or self.config_path, state_dir or (None if config_path else self.state_dir))


def on_log(verb: Callable[..., None]) -> Callable[..., None]:
    """For the verbs of `tidegate log`: they take the options that say which log, too, and get a `LogFile`."""

    @click.option("-c", "--config", "config_path", type=click.Path(path_type=Path), help="Configuration file.")
    @folder("--state-dir", "Folder that holds the log.")
    @functools.wraps(verb)
    def placed(config_path: Path | None, state_dir: Path | None, **others: Any) -> None:
        log: LogFile = click.get_current_context().obj
        verb(log.nearer(config_path, state_dir), **others)

    return placed
