"""`tidegate log export`: records of the durable log as JSON lines, for other programs."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from agent.cli import NOT_WELL, entries, options

if TYPE_CHECKING:
    from agent.cli.options import LogFile

_LANES: Final = ("alert", "live", "backfill", "bulk")


class _Moment(click.ParamType[int]):
    """A date or time of ISO 8601, in UTC where it names no zone; milliseconds since the epoch."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            at = datetime.fromisoformat(str(value))
            return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
        except (ValueError, OverflowError):
            self.fail(f"{value} is not a time: write 2026-03-01 or 2026-03-01T12:00:00Z", param, ctx)


@click.command()
@click.option("--from-seq", type=click.IntRange(0, 1 << 47), default=1, help="First number to print.")
@click.option("--until-seq", type=click.IntRange(0, 1 << 47), help="Last number to print.  [default: the newest]")
@click.option("--since", type=_Moment(), help="Only records stored at or after this time, by the gateway's clock.")
@click.option("--until", type=_Moment(), help="Only records stored before this time.")
@click.option("--lane", type=click.Choice(_LANES), help="Only records that were stored in this lane.")
@click.option("--topic", help="Only this topic.")
@options.on_log
def export(  # noqa: PLR0917 - one for each option
    log_file: LogFile,
    from_seq: int,
    until_seq: int | None,
    since: int | None,
    until: int | None,
    lane: str | None,
    topic: str | None,
) -> None:
    """Print records in order of their numbers, one JSON object a line, as `tail --json` does.

    The daemon goes on writing and trimming while you read; what it removes first is left
    out. Without options it prints all that the log holds now.
    """
    from sync.log.disk.schema import MAX_NUMBER  # noqa: PLC0415 - likewise
    from sync.log.inspect.export import Selection  # noqa: PLC0415 - the log's codecs; not for --help
    from sync.log.inspect.reader import LogReader  # noqa: PLC0415 - likewise
    from sync.values import Lane, NotReady  # noqa: PLC0415 - likewise

    last = MAX_NUMBER if until_seq is None else until_seq
    wanted = Selection(from_seq, last, since, until, None if lane is None else Lane(lane), topic)
    printed = None
    try:
        for entry in LogReader(log_file.path).export(wanted):
            sys.stdout.write(entries.line(entry) + "\n")
            printed = entry.seq
        sys.stdout.flush()
    except NotReady as fault:
        sys.stdout.flush()
        so_far = "" if printed is None else f"; printed up to number {printed}"
        click.echo(f"{fault.reason} ({fault.hint}){so_far}", err=True)
        sys.exit(NOT_WELL)
