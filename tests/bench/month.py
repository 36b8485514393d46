"""Thirty days of a farm's readings, 200 a second, through the packer alone: kept whole, and read back by digest.

    python -m tests.bench.month FILE [--seconds N] [--days N]

518 million readings take hours: what is packed stays in FILE, and the next call goes on behind it. It ends with all
that is there read back: each pack's section must have the digest that it had before it was packed.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from hashlib import blake2b
from pathlib import Path

from agent.events import NUMBERS
from sync.log.disk import blocks
from sync.log.disk.blocks import Namer
from sync.log.packs import pack as packs
from tests.support.site import PART, PER_SECOND, Site

BOUND_BYTES = 2 * 1024**3
NAMER = Namer("barge-1", "0123456789ab")
_DIGEST_BYTES = 16


def opened(path: Path) -> sqlite3.Connection:
    """The file, with pages as the log has them."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA page_size=1024")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS packs(part INTEGER PRIMARY KEY, body BLOB, digest BLOB)")
    return connection


def fill(connection: sqlite3.Connection, parts: int, seconds: float) -> int:
    """Pack parts until there are so many, or the time is over; how many there are."""
    site, until_s = Site(), time.monotonic() + seconds
    (done,) = connection.execute("SELECT count(*) FROM packs").fetchone()
    while done < parts and time.monotonic() < until_s:
        first = done * PART + 1
        (block,) = blocks.encode(site.envelopes(done), first, NAMER, 1, max_bytes=1 << 26, max_records=PART)
        section = blocks.decompress(block.body)
        body = packs.pack(section, [packs.Run(PART)], NUMBERS["sensor-data"])
        if body is None:
            raise ValueError(f"part {done} does not come back as it was")
        digest = blake2b(section, digest_size=_DIGEST_BYTES).digest()
        connection.execute("INSERT INTO packs VALUES(?,?,?)", (done, body, digest))
        done += 1
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(done)


def differing(connection: sqlite3.Connection, seconds: float) -> tuple[int, int]:
    """How many packs were read back, from the beginning on, and how many of them are not as they were."""
    read = wrong = 0
    until_s = time.monotonic() + seconds
    for body, digest in connection.execute("SELECT body, digest FROM packs ORDER BY part"):
        read += 1
        wrong += blake2b(packs.unpack(body), digest_size=_DIGEST_BYTES).digest() != digest
        if time.monotonic() > until_s:
            break
    return read, wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.month", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=1e9, help="pack for so long, and read back for so long")
    parser.add_argument("--days", type=float, default=30.0)
    given = parser.parse_args()
    parts = round(given.days * 86_400 * PER_SECOND / PART)
    connection = opened(given.file)
    done = fill(connection, parts, given.seconds)
    read, wrong = differing(connection, given.seconds)
    connection.close()
    size = given.file.stat().st_size
    readings = done * PART
    print(f"{readings:,} of {parts * PART:,} readings in {size:,} bytes: {size / readings:.3f} bytes a reading")
    whole_gib = size / readings * parts * PART / 1024**3
    print(f"at that, {given.days:g} days take {whole_gib:.2f} GiB, of 2 that there are")
    print(f"{read:,} packs of {done:,} read back, {wrong} of them not as they were")
    return int(wrong > 0 or size > BOUND_BYTES)


if __name__ == "__main__":
    sys.exit(main())
