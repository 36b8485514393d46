"""The shipper's figures, for metrics, health and the status line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sync.values import Lane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sync.shipper.link.circuit import CircuitState
    from sync.values import Producer, Trouble


@dataclass(frozen=True, slots=True)
class ShipperStats:
    """A snapshot. Counts are since the shipper was made; `retries` by reason.

    `waiting` says why a topic waits, under an empty name why nothing is sent yet; `fault` why shipping was given up.

    `delivered_age_s` is the age (CLOCK_BOOTTIME minus `taken_at_ns`) of the oldest record of the newest delivery.
    `holds` says why a lane that has something to send waits: budget, rate, share.
    `looked_up` and `read_back` are batches that the broker was asked about before they went again; `repeated` are
    records that went again marked. `lost_upstream` is how many records of each topic went again because the topic had
    lost them.
    """

    circuit: CircuitState
    link_reason: str
    delivered: Mapping[Lane, int]
    batches: Mapping[Lane, int]
    body_bytes: Mapping[Lane, int]
    retries: Mapping[str, int]
    dead_letters: int
    looked_up: Mapping[Lane, int]
    read_back: Mapping[Lane, int]
    repeated: Mapping[Lane, int]
    waiting: Mapping[str, Trouble]
    fault: Trouble | None
    producers: Mapping[Lane, Producer]
    limit_bytes: Mapping[Lane, int]
    in_flight: int
    last_error: str
    delivered_age_s: Mapping[Lane, float]
    holds: Mapping[Lane, str]
    lost_upstream: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """The counters behind `ShipperStats`."""

    delivered: Counter[Lane] = field(default_factory=lambda: Counter(dict.fromkeys(Lane, 0)))
    batches: Counter[Lane] = field(default_factory=lambda: Counter(dict.fromkeys(Lane, 0)))
    body_bytes: Counter[Lane] = field(default_factory=lambda: Counter(dict.fromkeys(Lane, 0)))
    retries: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    looked_up: Counter[Lane] = field(default_factory=lambda: Counter(dict.fromkeys(Lane, 0)))
    read_back: Counter[Lane] = field(default_factory=lambda: Counter(dict.fromkeys(Lane, 0)))
    repeated: Counter[Lane] = field(default_factory=lambda: Counter(dict.fromkeys(Lane, 0)))
    fault: Trouble | None = None
    lost_upstream: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    last_error: str = ""
    delivered_age_s: dict[Lane, float] = field(default_factory=dict)
