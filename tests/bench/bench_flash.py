"""What the log writes to flash for each byte of body, by page size, checkpoint and commit; and by block.

Each figure is a process of its own that commits as 200 readings/s bring them, with receipts, settled as they come, in
a log at its bound, so that trimming is in it. Written is what the kernel counts as sent to the device, fsync and WAL
and checkpoints included; the log waits for nothing, so no figure depends on the machine's speed.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sync.log import LogSettings, SqliteLog
from sync.log.book import content
from sync.log.commit import file
from sync.log.disk import blocks, schema
from sync.log.retention import trimming
from tests.bench.bench_log import TOPIC, envelopes, settle_all, written

_BOUND_BYTES = 4 * 1024**2
_RECEIPT_BYTES = 12


@dataclass(frozen=True, slots=True)
class Choice:
    """What can be chosen, and how many readings a commit brings: 40 each 200 ms, 200 each second."""

    page_bytes: int
    checkpoint_pages: int
    readings: int


@dataclass(frozen=True, slots=True)
class Flash:
    """Bytes to the device, and in pages in use, for each byte of keys, values and headers; the largest WAL."""

    written: float
    kept: float
    wal_bytes: int


CHOICES = [(1024, 1_000), (1024, 250), (1024, 4_000), (2048, 500), (4096, 250)]
"""Page size and pages between checkpoints: first what is chosen, then a quarter and four times of it, then the same
bytes between checkpoints in larger pages."""


def measure(choice: Choice) -> Flash:
    """In a process of its own, for the page size is the module's."""
    command = [
        sys.executable,
        "-m",
        __name__,
        *map(str, (choice.page_bytes, choice.checkpoint_pages, choice.readings)),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=300, cwd=Path(__file__).parents[2])
    return Flash(**json.loads(done.stdout))


async def run(choice: Choice, folder: Path) -> Flash:
    """Fill the log to its bound, then count what as much again costs."""
    for module in (schema, content, trimming):
        module.PAGE_BYTES = choice.page_bytes  # type: ignore[misc] - this process has no other log
    file._CHECKPOINT_PAGES = choice.checkpoint_pages  # type: ignore[misc] - the same
    settings = LogSettings(
        path=folder / "log.sqlite", gateway_id="bench", commit_interval_s=0.0, max_bytes=_BOUND_BYTES
    )
    log = SqliteLog(settings)
    running = asyncio.create_task(log.run())
    readings = envelopes(4_000)
    await log.append(readings[:1])
    shipping = asyncio.create_task(settle_all(log, await log.assign_partition(TOPIC, 6)))
    count = choice.readings
    # The digests of real messages, which no compression makes smaller, are noise.
    receipt = [("gateway@broker", bytes(at * 197 % 256 for at in range(_RECEIPT_BYTES + 4 * count)))]

    async def commit(number: int) -> int:
        batch = [readings[(number * count + at) % 4_000] for at in range(count)]
        await log.append(batch, receipt)
        return log.stats().body_bytes

    number = wal_bytes = 0
    while log.stats().bytes_used < _BOUND_BYTES * 31 // 32:
        await commit(number)
        number += 1
    before, body, first = written(), log.stats().body_bytes, number
    kept = log.stats().bytes_used / body
    for number in range(first, 2 * first):
        await commit(number)
        wal_bytes = max(wal_bytes, log.stats().wal_bytes)
    wrote, brought = written() - before, log.stats().body_bytes - body
    shipping.cancel()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return Flash(wrote / brought, kept, wal_bytes)


def block_sizes() -> list[tuple[int, float]]:
    """What bounds of a block before compression leave of a reading: bytes compressed, of a commit of 4,000."""
    readings, namer = envelopes(4_000), blocks.Namer("bench", "0123456789ab")
    found = []
    for bound in (4, 16, 64, 256, 512, 2_048):
        made = blocks.encode(readings, 1_000, namer, 3, max_bytes=bound * 1024)
        found.append((bound, sum(len(block.body) for block in made) / len(readings)))
    return found


def page() -> str:
    """The tables that chose, as they stand in docs/BENCHMARKS.md."""
    lines = [
        "| pages | checkpoint after | written, 200 ms commits | written, 1 s commits | kept, 200 ms | largest WAL |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for page_bytes, pages in CHOICES:
        often, seldom = (measure(Choice(page_bytes, pages, readings)) for readings in (40, 200))
        wal_mib = max(often.wal_bytes, seldom.wal_bytes) / 1024**2
        lines.append(
            f"| {page_bytes} B | {page_bytes * pages / 1024**2:.2f} MiB | {often.written:.2f} | {seldom.written:.2f} "
            f"| {often.kept:.2f} | {wal_mib:.1f} MiB |"
        )
    lines += ["", "| block at most, before compression | bytes a reading, compressed |", "| ---: | ---: |"]
    lines += [f"| {bound:,} KiB | {size:.1f} |" for bound, size in block_sizes()]
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="flash-", dir="/var/tmp") as made:
        found = asyncio.run(run(Choice(*map(int, sys.argv[1:])), Path(made)))
    print(json.dumps({"written": found.written, "kept": found.kept, "wal_bytes": found.wal_bytes}))
