"""What the log holds against what Kafka holds, record by record: by `ce_id`, without the daemon's own code.

Ask after an orderly stop, before anything was trimmed: the log keeps what it delivered.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.consumer import read_topic_blocking, scan

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.consumer import Record

_NUMBER_BITS = 48


@dataclass(frozen=True, slots=True)
class Line:
    """One topic. `found` counts distinct records of this log in Kafka, `duplicated` what came again of them."""

    topic: str
    committed: int
    found: int
    missing: int
    duplicated: int


def committed(file: Path) -> dict[str, set[str]]:
    """The `ce_id` of every record in a log's file, by topic.

    Raises:
        sqlite3.Error: there is no such file, or it is no log.
    """
    found: dict[str, set[str]] = defaultdict(set)
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as log:
        (log_id,) = log.execute("SELECT value FROM meta WHERE name = 'log_id'").fetchone()
        topics = dict(log.execute("SELECT id, topic FROM streams"))
        for key, records in log.execute("SELECT key, records FROM blocks"):
            first = key & ((1 << _NUMBER_BITS) - 1)
            found[topics[key >> _NUMBER_BITS]].update(f"{log_id}-{n}" for n in range(first, first + records))
    return found


async def account(file: Path, bootstrap: str) -> list[Line]:
    """Every topic that the log knows: what it holds, what a consumer of its own finds of that in Kafka."""
    lines = []
    for topic, expected in sorted(committed(file).items()):
        found: set[str] = set()
        duplicated = 0
        async for chunk in scan(bootstrap, topic):
            for record in chunk:
                ce_id = record.header("ce_id")
                # Other gateways write to the same topics, and may mean to repeat themselves.
                if ce_id in expected:
                    duplicated += ce_id in found
                    found.add(ce_id)
        lines.append(Line(topic, len(expected), len(expected & found), len(expected - found), duplicated))
    return lines


@dataclass(frozen=True, slots=True)
class Arrival:
    """The numbered readings of one gateway in Kafka: how often each number came, and which `ce_id` came twice."""

    numbers: Counter[int]
    repeated_ce_ids: int

    def missing(self, expected: set[int]) -> set[int]:
        """Which of these never came."""
        return expected - self.numbers.keys()

    @property
    def repeated_numbers(self) -> int:
        """How many came again under another `ce_id`: the MQTT broker, or the publisher, handed them over twice."""
        return sum(self.numbers.values()) - len(self.numbers) - self.repeated_ce_ids


def of_gateway(records: list[Record], gateway: str) -> list[Record]:
    """Those of one gateway; tests share a broker, and so its topics."""
    return [record for record in records if record.header("ce_source").startswith(f"/gateways/{gateway}/")]


def arrival(bootstrap: str, gateway: str) -> Arrival:
    """What is in `sensor-data` now, of readings whose value is their number."""
    records = of_gateway(read_topic_blocking(bootstrap, "sensor-data"), gateway)
    ce_ids = {record.header("ce_id") for record in records}
    numbers = Counter(int(json.loads(record.value or b"{}")["value"]) for record in records)
    return Arrival(numbers, len(records) - len(ce_ids))
