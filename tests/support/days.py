"""Days of readings on a clock that the test moves, and an independent account of every number at the end."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from agent.events import Alert, AlertState, Encoder, Severity
from drivers import Reading
from sync.log.clock import Clock
from tests.support.log import opened

if TYPE_CHECKING:
    from sync.log import MemoryLog, SqliteLog
    from sync.values import Batch

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


class MovedClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.at = BEGIN

    def wall_ms(self) -> int:
        return int(self.at.timestamp() * 1_000)

    def synced(self) -> bool:
        return True


@dataclass
class Centre:
    """What a reader of the topics has: readings by number, aggregates, alerts, and what the ledger told."""

    log_id: str
    numbers: Counter[int] = field(default_factory=Counter)
    readings: dict[int, dict[str, Any]] = field(default_factory=dict)
    minutes: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)

    def take(self, batch: Batch) -> None:
        for value, headers in opened(batch):
            self.record(batch.claim.stream.topic, value, headers)

    def record(self, topic: str, value: str, headers: dict[str, bytes]) -> None:
        log_id, _, number = headers["ce_id"].decode().rpartition("-")
        assert log_id == self.log_id
        self.numbers[int(number)] += 1
        if topic == "pictures":
            return
        body = json.loads(value)
        if topic == "farm-alerts":
            self.alerts.append(body)
        elif topic == "system-events":
            self.ledger.append(body)
        elif headers["ce_type"].endswith(b".minute"):
            self.minutes.append(body)
        else:
            self.readings[int(number)] = body

    def unexplained(self, last: int) -> list[int]:
        """Numbers that are neither here nor in the ledger; counted without the log's own knowledge.

        A range of the ledger is accounted for when its count and what else is known of its numbers is its length.
        """
        claimed: Counter[int] = Counter()
        problems = []
        entries = [entry["data"] for entry in self.ledger]
        for entry in entries:
            span = range(entry["first"], entry["last"] + 1)
            entry["here"] = sum(number in self.numbers for number in span)
            claimed.update(span)
            if entry.get("count", len(span)) + entry["here"] > len(span):
                problems += [entry["first"]]
        absent = [number for number in range(1, last + 1) if number not in self.numbers]
        problems += [number for number in absent if not claimed[number]]
        told = sum(entry.get("count", entry["last"] - entry["first"] + 1) for entry in entries)
        if told != len(absent):
            problems.append(len(absent) - told)
        return problems


async def live_through(
    log: MemoryLog | SqliteLog, clock: MovedClock, *, days: float, every_s: int, per_commit: int, sensors: int = 4
) -> int:
    """Readings of every sensor and an alert every six hours; how many alerts there were."""
    encoder = Encoder("gw-1", "site-a")
    alerts = 0
    for step in range(int(days * 86_400 / every_s)):
        clock.at += timedelta(seconds=every_s)
        records = []
        for index in range(per_commit):
            sensor = index % sensors
            value = 12 + math.sin(step / 500 + sensor) + index / 1_000
            at = clock.at - timedelta(seconds=every_s * (per_commit - index) / per_commit)
            records.append(
                encoder.readings(
                    [
                        Reading(
                            f"temp_{sensor}",
                            "temperature",
                            value,
                            "degC",
                            "tank_1",
                            "site-a",
                            at,
                            False,
                            0,
                        )
                    ]
                )[0]
            )
        if step * every_s % 21_600 == 0:
            records.append(encoder.alert(_alert(clock.at, step)))
            alerts += 1
        await log.append(records)
        await asyncio.sleep(0)
    return alerts


def _alert(at: datetime, step: int) -> Alert:
    return Alert(
        alert_id=f"sensor/{step}",
        state=AlertState.RAISED,
        severity=Severity.ALARM,
        kind="low",
        source="oxygen",
        text="low",
        at=at,
        site_id="site-a",
    )
