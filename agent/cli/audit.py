"""`tidegate audit`: what became of every record of a gateway, by what stands in Kafka."""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from agent.cli import MISTAKEN, NOT_WELL, WELL, options
from agent.cli.table import printable, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.audit import Statement, Topics
    from sync.kafka import KafkaSettings

_LOOK_AGAIN_S: Final = 1.0
_MOST_RANGES: Final = 20
_TOPICS: Final = (
    "sensor-data,derived-data,camera-events,farm-alerts,system-events,farm-figures,prediction-results,camera-snapshots,"
    "fleet-reported,dead-letters,gateway-runs,gateway-metrics"
)
_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@options.config
@click.option("--gateway", help="Gateway to audit.  [default: the configuration's]")
@click.option(
    "--brokers", help="Kafka brokers (host:port, comma-separated), without TLS or login, in place of a configuration."
)
@click.option("--topics", default=_TOPICS, show_default=True, help="The gateway's topics, comma-separated.")
@click.option("--log", "log_file", type=_FILE, help="The gateway's log file: records still in it count as pending.")
@click.option("--from-seq", type=click.IntRange(0), help="First number to audit; earlier ones are ignored.")
@click.option("--until-seq", type=click.IntRange(0), help="Last number to audit.  [default: the highest found]")
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="Seconds to keep reading while records are missing.",
)
@click.option("--at-least-once", is_flag=True, help="Accept records that arrived twice.")
@options.as_json
def audit(  # noqa: PLR0917 - one for each option
    config_path: Path,
    gateway: str | None,
    brokers: str | None,
    topics: str,
    log_file: Path | None,
    from_seq: int | None,
    until_seq: int | None,
    wait_s: float,
    *,
    at_least_once: bool,
    as_json: bool,
) -> None:
    """Account for every record number of a gateway: delivered, removed (and why), repeated, or missing.

    Reads the gateway's topics to their ends, and on for --wait seconds while something is missing, because lanes do
    not keep order among each other. The exit status is 1 if a number is missing or came twice unmarked, and also if
    the first number found is above 1 and nothing says that this log began there: what came before it may be lost.
    Give --from-seq if it is known to be gone, by retention for example.
    """
    from sync.audit import Topics  # noqa: PLC0415 - aiokafka; not for --help
    from sync.values import Misconfigured, NotReady  # noqa: PLC0415 - likewise

    kafka, whose = cluster(config_path, gateway, brokers)
    reading = Topics(kafka, whose, [topic.strip() for topic in topics.split(",") if topic.strip()])
    try:
        statements = asyncio.run(_statements(reading, log_file, (from_seq, until_seq), wait_s))
    except (NotReady, Misconfigured) as fault:
        click.echo(f"cannot read the topics: {fault.reason}" + (f" ({fault.hint})" if fault.hint else ""), err=True)
        sys.exit(NOT_WELL)
    if as_json:
        click.echo(json.dumps(_answer(whose, reading, statements), indent=2))
    else:
        for line in _lines(whose, reading, statements):
            click.echo(line)
    if not statements:
        sys.exit(NOT_WELL)
    faults = any(one.missing or one.unseen_before or (one.duplicated and not at_least_once) for one in statements)
    sys.exit(NOT_WELL if faults else WELL)


def cluster(config_path: Path, gateway: str | None, brokers: str | None) -> tuple[KafkaSettings, str]:
    """Where to ask, and about whom. Ends the process, saying why, if that is not known."""
    from sync.kafka import KafkaSettings  # noqa: PLC0415 - aiokafka; not for --help

    if brokers is not None:
        if gateway is None:
            _mistaken("--brokers needs --gateway")
        from agent.config.schema import Kafka  # noqa: PLC0415 - pydantic; not for --help

        try:
            named = Kafka.model_validate({"brokers": brokers}).brokers
        except ValueError:
            _mistaken(f"--brokers must be host:port, comma-separated; {brokers} is not")
        return KafkaSettings(tuple(named), client_id="tidegate-audit"), gateway or ""
    from agent.app.uplink import kafka_settings  # noqa: PLC0415 - the whole daemon; not where it is not asked for
    from agent.config import ConfigErrors, load  # noqa: PLC0415 - likewise

    try:
        config = load(config_path)
    except ConfigErrors as errors:
        _mistaken("\n".join(str(problem) for problem in errors.problems))
    return kafka_settings(config), gateway or config.gateway.id


def _mistaken(message: str) -> None:
    click.echo(message, err=True)
    sys.exit(MISTAKEN)


async def _statements(
    reading: Topics, log_file: Path | None, bounds: tuple[int | None, int | None], wait_s: float
) -> list[Statement]:
    """Read until nothing is missing or the time is over. What ends it is fixed at the first look."""
    try:
        if log_file is not None:
            _take_in(reading, log_file)
        await reading.read_on()
        first, until = bounds
        ends = {log_id: until if until is not None else account.last for log_id, account in reading.accounts.items()}
        over_s = time.monotonic() + (wait_s if math.isfinite(wait_s) else 0.0)
        while True:
            statements = [
                account.statement(first, ends[log_id])
                for log_id, account in reading.accounts.items()
                if log_id in ends
            ]
            if not any(one.missing or one.unseen_before for one in statements) or time.monotonic() >= over_s:
                return statements
            await asyncio.sleep(min(_LOOK_AGAIN_S, wait_s))
            await reading.read_on()
    finally:
        await reading.close()


def _take_in(reading: Topics, log_file: Path) -> None:
    """What the gateway's own file says: what it holds, what it lost and has not told, and how far it came.

    Taken before the topics are read, so that what leaves meanwhile is seen in one of the two.
    """
    from sync.log.inspect.reader import LogReader  # noqa: PLC0415 - the log's codecs, where a file is named

    reader = LogReader(log_file)
    log_id, last = reader.last_number()
    own = reading.account(log_id)
    own.reaches(last)
    own.began = reader.first_number()
    for loss in reader.unreported():
        account = reading.account(loss.log_id)
        if loss.lane is not None:
            account.lost(loss.first, loss.last, loss.records, loss.reason, loss.into_records or 0)
        elif loss.uncounted:
            account.lost(None, None, None, loss.reason)
        elif loss.first is not None and loss.last is not None:
            account.skipped.add(loss.first, loss.last)
    reader.undelivered(
        lambda block: reading.pending(
            block.log_id, block.first, block.last, block.topic, [record.value or b"" for record in block.records]
        )
    )


def _answer(gateway: str, reading: Topics, statements: Sequence[Statement]) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "records": reading.records,
        "absent_topics": sorted(reading.absent),
        "cut_off_topics": sorted(reading.cut_off),
        "missing": sum(one.missing for one in statements),
        "duplicated": sum(one.duplicated for one in statements),
        "unseen_before": sum(one.unseen_before for one in statements),
        "logs": [asdict(one) for one in statements],
    }


def _lines(gateway: str, reading: Topics, statements: Sequence[Statement]) -> list[str]:
    if not statements:
        return [printable(f"no records of gateway {gateway} found")]
    rows = [
        [
            one.log_id,
            f"{one.first:,}",
            f"{one.last:,}",
            f"{one.delivered:,}",
            f"{sum(one.removed.values()):,}",
            f"{one.dead_lettered:,}",
            f"{one.skipped:,}",
            f"{one.pending:,}",
            f"{one.marked:,}",
            f"{one.duplicated:,}",
            f"{one.missing:,}",
        ]
        for one in statements
    ]
    head = ("LOG", "FROM", "TO", "DELIVERED", "REMOVED", "DEAD", "SKIPPED", "PENDING", "MARKED", "DOUBLED", "MISSING")
    lines = table(head, rows, right=range(1, len(head)))
    for one in statements:
        lines += [f"{one.log_id or 'an unknown log'}: {note}" for note in _notes(one)]
    if reading.cut_off:
        named = ", ".join(sorted(reading.cut_off))
        lines.append(
            f"{named}: Kafka no longer has the oldest records; what they held counts as missing here (see --from-seq)"
        )
    return [printable(line) if index > len(rows) else line for index, line in enumerate(lines)]


def _notes(one: Statement) -> list[str]:
    notes = []
    if one.unseen_before:
        notes.append(
            f"the first number found is {one.first:,}; no record or ledger entry covers "
            f"{_range(1, one.unseen_before)}. "
            f"If Kafka's retention removed them, add --from-seq {one.first}"
        )
    notes += [f"{count:,} {reason}" for reason, count in sorted(one.removed.items())]
    if one.aggregates_told:
        notes.append(
            f"{one.aggregates_told:,} aggregates replace thinned records; {one.aggregates:,} have arrived so far"
        )
    notes += [
        f"{reason}: " + ("number unknown" if count is None else f"{count:,}, numbers not known")
        for reason, count in sorted(one.uncounted.items())
    ]
    if one.by_count:
        notes.append(f"{one.by_count:,} numbers are covered only by the count of a ledger entry")
    if one.surplus:
        notes.append(
            f"the ledger counts {one.surplus:,} more records than are gone: as many missing ones could go unnoticed"
        )
    if one.repeated:
        notes.append(f"{one.repeated:,} records arrived again, marked possibly_repeated")
    for what, ranges in (("missing", one.missing_ranges), ("doubled", one.duplicated_ranges)):
        notes += [f"{what}: {_range(*found)}" for found in ranges[:_MOST_RANGES]]
        if len(ranges) > _MOST_RANGES:
            notes.append(f"{what}: {len(ranges) - _MOST_RANGES:,} more ranges (--json lists all)")
    notes += [f"missing: {count:,} among {_range(begun, ended)}" for begun, ended, count in one.missing_among]
    return notes


def _range(first: int, last: int) -> str:
    return f"{first:,}" if first == last else f"{first:,} to {last:,} ({last - first + 1:,})"
