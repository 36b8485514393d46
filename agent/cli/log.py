"""`tidegate log`: what is in the durable log, read from its file, whether or not a daemon runs.

`adopt` and `discard` alone change something, and ask the daemon for it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Never, TypeVar

import click

from agent.cli import NOT_WELL, entries, options
from agent.cli.asking import ask, socket_path
from agent.cli.export import export
from agent.cli.table import duration, printable, table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent.cli.options import LogFile
    from sync.log.book.losses import Loss
    from sync.log.inspect.reader import LogReader

Answer = TypeVar("Answer")

_LANES = ("alert", "live", "backfill", "bulk")
_count = click.option(
    "-n", "--count", type=click.IntRange(1, 100_000), default=10, show_default=True, help="How many to print at most."
)


@click.group(invoke_without_command=True)
@options.config
@options.folder("--state-dir", "Folder that holds the log.")
@options.as_json
@click.pass_context
def log(ctx: click.Context, config_path: Path, state_dir: Path | None, *, as_json: bool) -> None:
    """Look into the durable log. Without a command: `lanes`.

    It reads the file itself, in short transactions, and does not disturb a running daemon.
    """
    ctx.obj = options.LogFile(config_path, state_dir)
    if ctx.invoked_subcommand is None:
        ctx.invoke(lanes, as_json=as_json)


log.add_command(export)


@log.command()
@options.as_json
@options.on_log
def lanes(log_file: LogFile, *, as_json: bool) -> None:
    """Show pending records by lane and topic."""
    waiting = _read(log_file, lambda reader: reader.depth())
    if as_json:
        _print_json([asdict(stream) for stream in waiting])
        return
    rows = [
        [
            stream.lane,
            f"{stream.pending:,}",
            f"{stream.leased:,}",
            f"{stream.waiting:,}",
            duration(stream.oldest_s) if stream.pending else "-",
            stream.topic,
        ]
        for stream in waiting
    ]
    head = ("LANE", "PENDING", "IN FLIGHT", "WAITING", "OLDEST", "TOPIC")
    for line in table(head, rows, right=(1, 2, 3, 4)):
        click.echo(line)


@log.command()
@click.option("--lane", type=click.Choice(_LANES), help="Only this lane.")
@options.as_json
@options.on_log
def depth(log_file: LogFile, lane: str | None, *, as_json: bool) -> None:
    """Print how many records are not delivered yet, as one number."""
    waiting = _read(log_file, lambda reader: reader.depth())
    depths = {
        name: sum(stream.pending + stream.leased + stream.waiting for stream in waiting if stream.lane == name)
        for name in _LANES
    }
    if as_json:
        _print_json(depths)
    else:
        click.echo(depths[lane] if lane else sum(depths.values()))


@log.command()
@_count
@click.option("--lane", type=click.Choice(_LANES), help="Only this lane.")
@click.option("--topic", help="Only this topic.")
@options.as_json
@options.on_log
def tail(log_file: LogFile, count: int, lane: str | None, topic: str | None, *, as_json: bool) -> None:
    """Print the newest records, newest last. --json prints one object a line, with headers."""
    from sync.values import Lane  # noqa: PLC0415 - with the log's codecs

    wanted = None if lane is None else Lane(lane)
    for entry in _read(log_file, lambda reader: reader.tail(count, lane=wanted, topic=topic)):
        if as_json:
            click.echo(entries.line(entry))
        else:
            what = f"{entry.seq} {entries.time(entry.at_ms)} {entry.lane}/{entry.topic} {entry.state}"
            click.echo(printable(f"{what} {entries.text(entry.record)}"))


@log.command("dead-letters")
@_count
@options.as_json
@options.on_log
def dead_letters(log_file: LogFile, count: int, *, as_json: bool) -> None:
    """Print the newest dead letters: records that Kafka refused, and why."""
    for letter in _read(log_file, lambda reader: reader.dead_letters(count)):
        if as_json:
            found = {
                "seq": letter.seq,
                "lane": letter.lane,
                "topic": letter.topic,
                "at": entries.time(letter.at_ms),
                "reason": letter.reason,
                **entries.content(letter.record),
            }
            click.echo(json.dumps(found, ensure_ascii=False))
        else:
            what = f"{letter.seq} {entries.time(letter.at_ms)} {letter.lane}/{letter.topic} {letter.reason}:"
            click.echo(printable(f"{what} {entries.text(letter.record)}"))


@log.command()
@_count
@options.as_json
@options.on_log
def losses(log_file: LogFile, count: int, *, as_json: bool) -> None:
    """Print the newest entries of the loss ledger: records that left the log undelivered, and why.

    A loss that could not be counted says what happened, and the name of the log file that was put aside.
    """
    for loss in _read(log_file, lambda reader: reader.losses(count)):
        if as_json:
            uncounted = {"topic": None, "records": None, "text": loss.topic} if loss.uncounted else {}
            click.echo(json.dumps(asdict(loss) | uncounted | {"at": entries.time(loss.at_ms)}))
        else:
            at = entries.time(loss.at_ms) if loss.at_ms else "(time unknown)"
            click.echo(printable(f"{at} {_loss(loss)}"))


def _loss(loss: Loss) -> str:
    """One entry of the ledger for a person."""
    if loss.uncounted:
        return f"an unknown number of records: {loss.reason}, {loss.topic}"
    span = "" if loss.first is None else f", {loss.first} to {loss.last}"
    if loss.lane is None:
        return f"{loss.records} numbers without a record{span}: {loss.reason}"
    into = "" if loss.into_records is None else f" into {loss.into_records}"
    return f"{loss.lane}/{loss.topic} {loss.records} records{span}: {loss.reason}{into}"


@log.command()
@options.folder("--runtime-dir", "Folder of the daemon's socket.")
@options.as_json
@options.on_log
def adopt(log_file: LogFile, runtime_dir: Path | None, *, as_json: bool) -> None:
    """Send the held records of a restored or copied log, each marked `possibly_repeated`."""
    _decide(log_file, runtime_dir, "adopt", "records are sent, marked possibly_repeated", as_json=as_json)


@log.command()
@options.folder("--runtime-dir", "Folder of the daemon's socket.")
@options.as_json
@options.on_log
def discard(log_file: LogFile, runtime_dir: Path | None, *, as_json: bool) -> None:
    """Discard the held records of a restored or copied log; the loss ledger counts them."""
    _decide(log_file, runtime_dir, "discard", "records were discarded", as_json=as_json)


def _decide(log_file: LogFile, runtime_dir: Path | None, what: str, done: str, *, as_json: bool) -> None:
    def waits(daemon: int) -> str:
        from sync.log.disk import foreign  # noqa: PLC0415 - the log's codecs; not for --help

        who = " and ".join(foreign.writers(log_file.path, daemon))
        return f"{log_file.path} is locked by {who}" if who else "the daemon has not answered yet"

    status, answer = ask(socket_path(log_file.config_path, runtime_dir), "POST", f"/log/{what}", waits)
    if status != HTTPStatus.OK:
        _end(f"the daemon refused: {answer.get('detail', status)}")
    if as_json:
        _print_json(answer)
    else:
        records = answer.get("records", 0)
        click.echo(f"{records} {done}" if records else "no records are held")


def _read(log_file: LogFile, question: Callable[[LogReader], list[Answer]]) -> list[Answer]:
    from sync.log.inspect.reader import LogReader  # noqa: PLC0415 - the log's codecs; not for --help
    from sync.values import NotReady  # noqa: PLC0415 - the same

    try:
        return question(LogReader(log_file.path))
    except NotReady as fault:
        _end(f"{fault.reason} ({fault.hint})")


def _end(message: str) -> Never:
    click.echo(message, err=True)
    sys.exit(NOT_WELL)


def _print_json(answer: object) -> None:
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
