"""What became of one gateway's records: as `tidegate audit` finds, and as a plain consumer counts."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.consumer import scan
from tests.support.daemon import EXECUTABLE, ROOT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

READINGS = "sensor-data"
_SOURCE = "/gateways/"


@dataclass(frozen=True, slots=True)
class Audit:
    """`tidegate audit` of one gateway; `marked` are records that say that they may stand twice."""

    delivered: int
    missing: int
    duplicated: int
    marked: int
    pending: int
    skipped: int
    removed: int


def audit(brokers: Sequence[str], gateway: str, log_file: Path) -> Audit:
    """Ask the real verb, after an orderly stop."""
    options = ["--brokers", ",".join(brokers), "--gateway", gateway, "--log", str(log_file), "--wait", "20", "--json"]
    done = subprocess.run(
        [str(EXECUTABLE), "audit", *options], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT
    )
    if not done.stdout:
        raise AssertionError(f"tidegate audit: {done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout)
    logs: list[Mapping[str, Any]] = told["logs"]
    return Audit(
        delivered=sum(one["delivered"] for one in logs),
        missing=told["missing"],
        duplicated=told["duplicated"],
        marked=sum(one["marked"] for one in logs),
        pending=sum(one["pending"] for one in logs),
        skipped=sum(one["skipped"] for one in logs),
        removed=sum(sum(one["removed"].values()) for one in logs),
    )


class Counted:
    """All readings of a topic, counted by their value, and all records of all topics by the name they bear."""

    def __init__(self) -> None:
        self.numbers: Counter[int] = Counter()
        self._names: dict[str, Counter[str]] = {}

    @classmethod
    def of(cls, bootstrap: Sequence[str], topics: Collection[str]) -> Counted:
        counted = cls()
        asyncio.run(counted._count(bootstrap, topics))
        return counted

    async def _count(self, bootstrap: Sequence[str], topics: Collection[str]) -> None:
        for topic in topics:
            async for chunk in scan(list(bootstrap), topic):
                for record in chunk:
                    gateway = record.header("ce_source").removeprefix(_SOURCE).split("/", 1)[0]
                    self._names.setdefault(gateway, Counter())[
                        record.header("ce_source") + record.header("ce_id")
                    ] += 1
                    if topic == READINGS:
                        self.numbers[abs(int(json.loads(record.value or b"{}")["value"]))] += 1

    def missing(self, acked: set[int]) -> int:
        """How many of the numbers that the MQTT broker acknowledged never came."""
        return len(acked - self.numbers.keys())

    def repeated_numbers(self, acked: set[int]) -> int:
        """How many of them came again, under whatever name."""
        return sum(self.numbers[number] - 1 for number in acked if number in self.numbers)

    def repeated_names(self, gateway: str) -> int:
        """How many records of a gateway came again under the same name."""
        return sum(count - 1 for count in self._names.get(gateway, Counter()).values())

    def records(self, gateway: str) -> int:
        """How many distinct records of a gateway there are."""
        return len(self._names.get(gateway, ()))
