"""Three days without Kafka on a log that cannot hold them: what is there afterwards, and if every number is told of.

Readings and alarms of three days, by a clock that is moved; then the shipper sends what is left to a real Apache
Kafka, a plain consumer counts what arrived, and `tidegate audit` accounts for every number.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.events import Minutes
from sync.kafka import KafkaSettings, KafkaSink
from sync.log import LogSettings, SqliteLog
from sync.log.inspect.reader import LogReader
from sync.shipper import Shipper, ShipperSettings
from tests.support.consumer import scan
from tests.support.days import Centre, MovedClock, live_through
from tests.support.kafka import ApacheKafka
from tests.support.log import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync.values import Envelope

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
TOPICS = ("sensor-data", "farm-alerts", "system-events")
_MINUTE_S = 60
_SENSORS = 2
_DRAINED_WITHIN_S = 240.0


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of the account, what it must be, and whether it is."""

    what: str
    figure: str
    must: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What was put in, and what each of three says of it: the log, a plain consumer, and the audit."""

    days: float
    readings: int
    alarms: int
    bytes_used: int
    max_bytes: int
    lost: dict[str, int]
    centre: Centre
    last: int
    audit: dict[str, Any]
    audit_status: int

    def lines(self) -> list[Line]:
        centre, thinned = self.centre, self.lost.get("thinned", 0)
        entries = [entry["data"] for entry in centre.ledger if entry["event"] == "records_thinned"]
        stood_for = sum(minute["count"] for minute in centre.minutes)
        border = max((minute["at"] for minute in centre.minutes), default="")[:16]
        older = sum(reading["at"][:16] < border for reading in centre.readings.values())
        missing, doubled = int(self.audit["missing"]), int(self.audit["duplicated"])
        removed = sum(sum(one["removed"].values()) for one in self.audit["logs"])
        return [
            _figure("log at the end of the outage, bytes", self.bytes_used, at_most=self.max_bytes),
            _figure("records lost", sum(self.lost.values()) - thinned, 0),
            _figure("alarms in Kafka", len(centre.alerts), self.alarms),
            Line("newest readings, whole", f"{len(centre.readings):,}", "some", bool(centre.readings)),
            _figure("of them older than an aggregate", older, 0),
            Line("aggregates of a minute", f"{len(centre.minutes):,}", "some", bool(centre.minutes)),
            _figure("readings that aggregates stand for", stood_for, thinned),
            _figure("with those whole, all", stood_for + len(centre.readings), self.readings),
            _figure("thinned by the ledger", sum(entry["count"] for entry in entries), thinned),
            _figure("into, by the ledger", sum(entry["into"]["count"] for entry in entries), len(centre.minutes)),
            _figure("numbers that came twice", sum(count > 1 for count in centre.numbers.values()), 0),
            _figure("numbers that nothing tells of", len(centre.unexplained(self.last)), 0),
            _figure("audit: removed, as told", removed, thinned),
            _figure("audit: missing", missing, 0),
            _figure("audit: doubled", doubled, 0),
            _figure("audit: exit status", self.audit_status, 0),
        ]


class Unhurried(SqliteLog):
    """Has as long for its trimming after each commit as it takes: days are short here, and in them it would."""

    async def append(self, records: Sequence[Envelope]) -> None:
        await super().append(records)
        while self._figures.trim_more:
            await asyncio.sleep(0.001)


async def live(folder: Path, kafka: ApacheKafka, *, days: float, per_minute: int, max_bytes: int) -> Told:
    """The outage, what came of it, and the account."""
    for topic in TOPICS:
        kafka.create_topic(topic)
    clock = MovedClock()
    given = LogSettings(
        folder / "log.sqlite", "gw-1", "site-a", commit_interval_s=0.0, max_bytes=max_bytes, fold=Minutes()
    )
    log = Unhurried(given, clock)
    async with running(log):
        load = {"every_s": _MINUTE_S, "per_commit": per_minute, "sensors": _SENSORS}
        alarms = await live_through(log, clock, days=days, **load)
        used = log.stats().bytes_used
        sink = KafkaSink(KafkaSettings((kafka.bootstrap,)))
        shipping = asyncio.create_task(Shipper(log, sink, ShipperSettings(backfill_after_s=1.0)).run())
        try:
            await _drained(log, clock, LogReader(given.path))
        finally:
            shipping.cancel()
            await asyncio.wait({shipping})
        last, lost = log.stats().next_seq - 1, dict(log.stats().lost)
        centre = Centre(log.stats().log_id)
    for topic in TOPICS:
        async for chunk in scan(kafka.bootstrap, topic):
            for record in chunk:
                centre.record(topic, (record.value or b"").decode(), dict(record.headers))
    command = [TIDEGATE, "audit", "--brokers", kafka.bootstrap, "--gateway", "gw-1", "--json"]
    command += ["--topics", ",".join(TOPICS), "--from-seq", "1", "--until-seq", str(last)]
    done = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, timeout=120, check=False)
    readings = int(days * 86_400 / _MINUTE_S) * per_minute
    audit = json.loads(done.stdout)
    return Told(days, readings, alarms, used, max_bytes, lost, centre, last, audit, done.returncode)


async def _drained(log: SqliteLog, clock: MovedClock, reader: LogReader) -> None:
    """All is sent, the ledger's last entries too: they are told once nothing was added to them for a while."""
    async with asyncio.timeout(_DRAINED_WITHIN_S):
        while sum(log.stats().depth.values()) or reader.unreported():
            clock.at += timedelta(minutes=1)
            await log.cursor("nothing")
            await asyncio.sleep(0.2)


def _figure(what: str, figure: int, must: int | None = None, *, at_most: int | None = None) -> Line:
    if at_most is not None:
        return Line(what, f"{figure:,}", f"≤ {at_most:,}", figure <= at_most)
    return Line(what, f"{figure:,}", f"{must:,}", figure == must)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shows.days", description=__doc__)
    parser.add_argument("--days", type=float, default=3.0)
    parser.add_argument("--per-minute", type=int, default=120, metavar="READINGS")
    parser.add_argument("--max-bytes", type=int, default=5 * 1024**2, help="the log's bound")
    given = parser.parse_args()
    began = time.monotonic()
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(dir=".")))
        kafka = held.enter_context(ApacheKafka())
        outage = live(folder, kafka, days=given.days, per_minute=given.per_minute, max_bytes=given.max_bytes)
        told = asyncio.run(outage)
    lines = told.lines()
    took_s = time.monotonic() - began
    print(
        f"{told.days:g} days without Kafka, {told.readings:,} readings of {_SENSORS} sensors; shown in {took_s:.0f} s"
    )
    for line in lines:
        verdict = "holds" if line.holds else "DOES NOT HOLD"
        print(f"{line.what:<40} {line.figure:>12}  {line.must:>12}  {verdict}")
    return 0 if all(line.holds for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
