"""The command line: one file a verb, imported only when it is asked for.

Results go to standard output, what is wrong to standard error. Exit statuses are the same for all verbs:
0 well, 1 not well, 2 a mistake in the command or the configuration, 3 no daemon runs.
"""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
from typing import Any, Final

import click

from agent import __version__

WELL, NOT_WELL, MISTAKEN, NO_DAEMON = 0, 1, 2, 3

_VERBS = (
    *("run", "check", "probe", "status", "reload", "acknowledge", "log", "audit", "schema"),
    *("stock", "explain", "fleet-metrics"),
)
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_EPILOG = """\b
Exit status:
  0  ok
  1  failed: the daemon gave up, is not ready, or a file cannot be read
  2  a mistake in the command or in the configuration
  3  the daemon is not running
\b
Environment:
  TIDEGATE_CONFIG  configuration file, if --config is not given
  NO_COLOR         no colours, even on a terminal"""


class _Verbs(click.Group):
    """Imports a verb's file when it is called, so that `check` need not wait for what only `run` needs."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click's, but what the other end of standard output does not take is one line, not a traceback."""
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            click.echo(f"cannot write the output: {error.strerror}", err=True)
            sys.exit(NOT_WELL)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _VERBS:
            return None
        name = cmd_name.replace("-", "_")
        verb: click.Command = getattr(importlib.import_module(f"agent.cli.{name}"), name)
        return verb


@click.group(cls=_Verbs, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tidegate", message="%(prog)s %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run and inspect the gateway agent of a fish farm."""
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    if ctx.invoked_subcommand != "run":
        # Into `head` and the like: end as other tools do. The daemon itself must survive a broken pipe.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
