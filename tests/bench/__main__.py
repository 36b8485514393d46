"""`make bench`: every figure of the design beside its target, written to docs/BENCHMARKS.md.

`python -m tests.bench NAME …` measures some of them and prints only. Nothing here asserts: a machine under other load
gives other figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import bench_flash, bench_frames, bench_packs, latencies, rates, resources
from tests.bench.before import BEFORE
from tests.bench.comparison import BEFORE_TREE, compare
from tests.bench.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "BENCHMARKS.md"
_READINGS = 300_000


def _rate(what: str, found: rates.Rate, target: int) -> list[Row]:
    lost = f"{found.missing} missing, {found.repeated} duplicated of {found.readings:,}"
    return [
        Row(
            what,
            f"{found.per_second:,.0f} readings/s",
            f"≥ {target:,}",
            found.per_second >= target and not found.missing and not found.repeated,
            lost,
        )
    ]


def waiting() -> list[Row]:
    found = rates.waiting_session(_READINGS)
    cpu = Row(
        "CPU per reading, whole daemon, full load, from a waiting session",
        f"{found.cpu_us:.1f} µs",
        "≤ 12 µs",
        found.cpu_us <= 12,
        "all headers, limits judged",
    )
    return [*_rate("sensor → fsynced log → Kafka, QoS 1, from a waiting session", found, 80_000), cpu]


def beside() -> list[Row]:
    found = rates.beside_publisher(_READINGS)
    cpu = Row("CPU per reading, beside the publisher", f"{found.cpu_us:.1f} µs", "≤ 12 µs", found.cpu_us <= 12)
    return [*_rate("the same, beside a publisher of pre-encoded packets", found, 60_000), cpu]


def drain() -> list[Row]:
    found = rates.drain(_READINGS)
    rows = _rate("drain after an outage, to a local Kafka", found, 150_000)
    return [Row(r.what, r.figure.replace("readings", "records"), r.target, r.holds, r.remark) for r in rows]


def latency() -> list[Row]:
    rows = []
    for interval_ms, bound_ms, flash in ((200, 350.0, 1.5), (0, 10.0, None), (1_000, None, 0.6)):
        found = latencies.to_kafka(20.0, 200.0, interval_ms)
        at = f"at 200 readings/s, `commit_interval_ms: {interval_ms}`"
        if bound_ms is not None:
            rows.append(
                Row(
                    f"sensor → Kafka {at}",
                    f"p50 {found.latency.p50_ms:.1f} ms, p99 {found.latency.p99_ms:.1f} ms",
                    f"p99 < {bound_ms:.0f} ms",
                    found.latency.p99_ms < bound_ms,
                    f"{found.latency.count} readings, at most {found.latency.most_ms:.0f} ms",
                )
            )
        if interval_ms == 200:
            share = found.cpu_share
            rows.append(Row(f"CPU {at}", f"{share:.1%} of one core", "≤ 2 %", share <= 0.02))
        if interval_ms == 0:
            share = found.cpu_share
            rows.append(Row(f"CPU {at}", f"{share:.1%} of one core", "≤ 10 %", share <= 0.10))
        if flash is not None:
            wrote = found.written_per_byte
            remark = "as the kernel counts write_bytes"
            rows.append(
                Row(f"bytes to flash per byte of body {at}", f"{wrote:.2f}", f"≤ {flash}", wrote <= flash, remark)
            )
    return rows


def alarm() -> list[Row]:
    rows = []
    for disk_full in (False, True):
        found = latencies.alarms(200, 20.0, disk_full=disk_full)
        rows.append(
            Row(
                f"published → alert heard on the local broker{', with a full disk' if disk_full else ''}",
                f"p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms",
                "p99 < 20 ms",
                found.p99_ms < 20,
                f"{found.count} alerts; both passages of the broker included",
            )
        )
    return rows


def frame() -> list[Row]:
    cost = bench_frames.frame_cost()
    bound = max(0.1 * cost.session_ms, 1.0)
    return [
        Row(
            "a frame of 960 by 540 beyond a bare session.run, pre/post and the way to the model's process included",
            f"{cost.beyond_ms:.2f} ms beside {cost.session_ms:.1f} ms",
            f"≤ {bound:.1f} ms",
            cost.beyond_ms <= bound,
            f"median of {cost.rounds}; a tenth of them under {cost.beyond_least_ms:.2f} ms",
        )
    ]


def memory() -> list[Row]:
    rows = []
    for camera, bound in ((False, 90), (True, 350)):
        found = resources.memory(camera=camera)
        rows.append(
            Row(
                f"memory (PSS over all processes), {'one ONNX model and one camera' if camera else 'sensors only'}",
                f"{found.mib:.0f} MiB",
                f"≤ {bound} MiB",
                found.mib <= bound,
                f"{found.processes} processes",
            )
        )
    return rows


def start() -> list[Row]:
    taken = resources.start_time()
    middle = statistics.median(taken)
    return [
        Row(
            "start to first acknowledged reading",
            f"{middle:.2f} s",
            "≤ 1 s",
            middle <= 1.0,
            f"median of {len(taken)}, slowest {max(taken):.2f} s",
        )
    ]


MEASUREMENTS: dict[str, Callable[[], list[Row]]] = {
    "waiting": waiting,
    "beside": beside,
    "compare": compare,
    "drain": drain,
    "latency": latency,
    "alarm": alarm,
    "frame": frame,
    "memory": memory,
    "start": start,
}


def profile() -> str:
    """A waiting session again, under the sampler: the places that use the most CPU, by themselves and in all."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        out = Path(folder) / "profile.json"
        found = rates.waiting_session(_READINGS, prefix=[sys.executable, "-m", "tests.bench.sampler", str(out)])
        counted = json.loads(out.read_text())
    whole = sum(spent for _, spent in counted["own"])
    lines = [f"From a waiting session of {found.readings:,}, {found.cpu_us:.1f} µs a reading under the sampler.", ""]
    for title, key, most in (("by itself", "own", 16), ("with all it calls", "total", 24)):
        lines += [f"| place ({title}) | share | µs a reading |", "| --- | ---: | ---: |"]
        lines += [
            f"| `{place}` | {spent / whole:.0%} | {spent / whole * found.cpu_us:.2f} |"
            for place, spent in counted[key][:most]
        ]
        lines.append("")
    return "\n".join(lines)


def machine() -> str:
    """What the figures were taken on."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.machine()
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    libraries = ", ".join(f"{name} {version(name)}" for name in ("aiokafka", "paho-mqtt", "uvloop", "onnxruntime"))
    return (
        f"{len(os.sched_getaffinity(0))} cores of {processor}, {gib:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {libraries}; mosquitto, Apache Kafka, publisher and consumer on the "
        f"same cores; load before the start {os.getloadavg()[0]:.1f}."
    )


def table(rows: list[Row]) -> str:
    marks = {True: "yes", False: "**no**", None: ""}
    lines = ["| what | before | figure | target | holds | remark |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {r.what} | {BEFORE.get(r.what, '')} | {r.figure} | {r.target} | {marks[r.holds]} | {r.remark} |"
        for r in rows
    ]
    return "\n".join(lines)


_PARTS = ("flash", "packs", "profile")
"""What is measured beside the table's rows."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the daemon.")
    names = ", ".join((*MEASUREMENTS, *_PARTS))
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {names}")
    parser.add_argument("--before", type=Path, help="an earlier, built checkout to measure in the same rounds")
    given = parser.parse_args()
    BEFORE_TREE[:] = [given.before] if given.before else []
    unknown = set(given.names) - MEASUREMENTS.keys() - set(_PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    on = machine()
    rows: list[Row] = []
    for name, measure in MEASUREMENTS.items():
        if not given.names or name in given.names:
            begun = time.monotonic()
            fresh = measure()
            rows += fresh
            for row in fresh:
                print(f"{row.what}: {row.figure} (target {row.target}) {row.remark}", flush=True)
            print(f"  {name} took {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    flash = bench_flash.page() if not given.names or "flash" in given.names else ""
    if flash:
        print(flash)
    packs = bench_packs.page() if not given.names or "packs" in given.names else ""
    if packs:
        print(packs)
    where = profile() if not given.names or "profile" in given.names else ""
    if where:
        print(where)
    if not given.names:
        today = datetime.now(UTC).date()
        parts = dict(zip(_PARTS, (flash, packs, where), strict=True))
        PAGE.write_text(_PAGE.format(date=today, machine=on, table=table(rows), **parts))
        print(f"written to {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    return 0


_PAGE = """\
# Benchmarks

Written by `make bench` on {date}. Figures are of one run; they are never asserted in tests.

{machine}

{table}

How: readings are JSON of five fields with the device's time, a millisecond after the one before, of 150 sensors that
all have a limit; QoS 1, MQTT 5. Where it says one field they are `{{"value": 1}}` of five sensors without a limit.
Rates run from the program's TCP connection (or the publisher's first packet) until a consumer of its own sees the
last record; a drain from the first records seen after Kafka's return, those not counted. CPU is user and system time
of all the program's processes. For rates mosquitto saves its database only when it ends.
`python -m tests.bench waiting` (or beside, compare, drain, latency, alarm, frame, memory, start, flash, profile)
measures one alone; `--before TREE` measures another checkout in the rounds of `compare`. *Before* is what
`make bench` wrote on 2026-11-23, with one field. Ratios in brackets are to Tidegate in the same rounds; the others
write nothing to a disk.

## What goes to flash

At 200 readings/s, in a log at its bound, so with trimming; bytes written to the device, and bytes kept in pages in
use, for each byte of keys, values and headers.

{flash}

Larger pages are written whole for what a commit only touched. More pages between two checkpoints write less, for a
page that changed twice is copied once, and make a larger WAL: beyond 1,000 there is little left to gain. A block is
what one commit brings, up to 512 KiB: half of that compresses nearly as well, an eighth of it a third worse, and four
times as much gains 7 %, where one block is the least that a bad link has to take.

## What an outage takes

Readings at 200 a second from 150 sensors, made by a seed of real water, their times off by up to 50 ms; each commit
with a receipt. Kept is the log's file and its WAL, and so includes what is not packed yet: at 200,000 readings that
is a fifth of them. The drain has every body compared. Longer outages, and other noise: `make bench-packs`; thirty
days by the packer alone: `make bench-month`.

{packs}

## Where the time goes

{profile}"""

if __name__ == "__main__":
    sys.exit(main())
