"""When the log is full, if nothing is delivered: what comes in, by the last minutes, and what room is left.

Room is what undelivered records do not take: settled history goes before any of them. Records of a lane begin to go
when the log is at its bound, in the order bulk, telemetry, alerts; telemetry is thinned before that. Rates are by the
boot clock, which nobody can set. Nothing is queried in a commit; a few blocks are looked at between two of them.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from sync.log.disk import blocks
from sync.log.disk.schema import key_of
from sync.values import Forecast, Lane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync.log.book.content import Book

THIN_AT: Final = 7 / 8
"""Of the bound, in use: from there on what can be thinned is."""
LEAST_MS: Final = 60_000
"""What was measured for a shorter time says nothing yet."""
_WINDOW_MS: Final = 300_000
_EVERY_MS: Final = 10_000
_WHOLE: Final = 128
_SAMPLES: Final = (16, 32, 48, 64, 80, 96, 112, 120, 124, 126, 127)
"""Where a stream's blocks are looked at, of so many parts; more closely where they are new."""
EMPTY_BYTES: Final = 17 * 1024
"""What a log without records takes of its file: no record's share."""
_TELEMETRY: Final = (Lane.LIVE, Lane.BACKFILL)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the file takes for each byte of a compressed body, and for a pending record of each lane."""

    of_a_byte: float = 1.0
    of_a_record: Mapping[Lane, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Basis:
    """What a forecast is made from, as of a commit. `came` counts compressed bytes, `since` as of `since_ms`."""

    bound_bytes: int = 0
    thins: bool = False
    pending: Mapping[Lane, int] = field(default_factory=dict)
    of_a_byte: float = 1.0
    came: Mapping[Lane, int] = field(default_factory=dict)
    since: Mapping[Lane, int] = field(default_factory=dict)
    since_ms: int | None = None


class Inflow:
    """Counts what comes in by lane, and how it stood some minutes ago."""

    def __init__(self) -> None:
        self.came: Counter[Lane] = Counter()
        self._samples: deque[tuple[int, Mapping[Lane, int]]] = deque()

    def add(self, came: Mapping[Lane, int], now_ms: int) -> None:
        """Take a commit's bytes in."""
        if not self._samples:
            self._samples.append((now_ms, {}))
        self.came.update(came)
        if now_ms - self._samples[-1][0] >= _EVERY_MS:
            self._samples.append((now_ms, dict(self.came)))
            while len(self._samples) > 1 and now_ms - self._samples[1][0] >= _WINDOW_MS:
                self._samples.popleft()

    def since(self) -> tuple[int | None, Mapping[Lane, int]]:
        """When the window begins, and what had come in by then."""
        return self._samples[0] if self._samples else (None, {})


def measured(book: Book, used_bytes: int) -> Sizes:
    """Look at a few blocks of each stream. Not in a commit."""
    means: dict[int, float] = {}
    held = 0.0
    for state in book.streams.values():
        rows = [_row(book, state.id, 0)]
        if rows[0] is None:
            continue
        first, behind = rows[0][0], book.next_number
        rows += [_row(book, state.id, first + (behind - first) * part // _WHOLE) for part in _SAMPLES]
        found = sorted({row for row in rows if row is not None})
        # Each stands for what lies between it and the next: old blocks are packed, the newest are not.
        spans = [after[2] - row[2] for row, after in pairwise(found)] + [state.end - found[-1][2]]
        bytes_held = sum(row[3] / row[1] * span for row, span in zip(found, spans, strict=True))
        means[state.id] = bytes_held / max(state.end - found[0][2], 1)
        held += bytes_held
    scale = max(used_bytes - EMPTY_BYTES, held) / held if held else 1.0
    records: Counter[Lane] = Counter()
    total: dict[Lane, float] = {}
    for state in book.streams.values():
        parts = [(state.id, state.open_records), *((part.origin, part.records) for part in state.ranges)]
        if state.lease is not None:
            parts.append((state.lease.origin, state.lease.records))
        for origin, count in parts:
            records[state.lane] += count
            total[state.lane] = total.get(state.lane, 0.0) + count * means.get(origin, 0.0) * scale
    return Sizes(scale, {lane: total[lane] / count for lane, count in records.items() if count})


def _row(book: Book, stream: int, number: int) -> tuple[int, int, int, int] | None:
    """Number, records, records before and bytes of a stream's first block from a number on."""
    row = book.connection.execute(
        "SELECT key, records, before, checksum, length(body) FROM blocks"
        " WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1",
        (key_of(stream, number), key_of(stream, book.next_number)),
    ).fetchone()
    if row is None or not blocks.counted(*row[:4]):
        return None
    return row[0] - key_of(stream, 0), row[1], row[2], row[4]


def forecast(basis: Basis, now_ms: int) -> Forecast:
    """What follows from a basis now."""
    pending = {lane: basis.pending.get(lane, 0) for lane in Lane}
    room = max(basis.bound_bytes - sum(pending.values()), 0)
    measured_ms = 0 if basis.since_ms is None else now_ms - basis.since_ms
    if not basis.bound_bytes or measured_ms < LEAST_MS:
        reason = f"measured for {measured_ms // 1_000} of {LEAST_MS // 1_000} s so far"
        return Forecast(pending, room, why_not=reason)
    rates = {
        lane: (basis.came.get(lane, 0) - basis.since.get(lane, 0)) * basis.of_a_byte * 1_000 / measured_ms
        for lane in Lane
    }
    return Forecast(pending, room, rates, {lane: _full_s(basis, lane, pending, rates) for lane in Lane})


def _full_s(basis: Basis, lane: Lane, pending: Mapping[Lane, int], rates: Mapping[Lane, float]) -> float:
    """Until the first undelivered record of a lane is thinned or lost, in seconds."""
    bound = float(basis.bound_bytes)
    stay: tuple[Lane, ...] = tuple(Lane)
    if lane is Lane.ALERT:
        stay = (Lane.ALERT,)
    elif lane in _TELEMETRY and basis.thins:
        bound *= THIN_AT
    elif lane in _TELEMETRY:
        stay = (*_TELEMETRY, Lane.ALERT)
    rate = sum(rates[other] for other in stay)
    return max(bound - sum(pending[other] for other in stay), 0.0) / rate if rate > 0 else float("inf")
