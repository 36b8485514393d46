"""What one run of the crash test found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.crash.verdict import Audit


@dataclass(slots=True)
class Outcome:
    """`may_double`: what comes twice is counted and is no fault.

    `acked` readings the MQTT broker took; the plain consumer did not find `lost` of them, and found `again` more than
    once. `names_again` counts records that came again under the same `ce_id`. `behind_s`: how long a reader needed,
    while a gateway lay dead, to reach the end of the readings; `held_back`: how often it did not within a minute.
    """

    name: str
    may_double: bool
    kills: int = 0
    acked: int = 0
    lost: int = 0
    again: int = 0
    names_again: int = 0
    records: int = 0
    audits: list[Audit] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)
    behind_s: list[float] = field(default_factory=list)
    held_back: int = 0
    leaderless_s: float = 0.0
    took_s: float = 0.0

    @property
    def missing(self) -> int:
        return sum(one.missing for one in self.audits)

    @property
    def duplicated(self) -> int:
        return sum(one.duplicated for one in self.audits)

    @property
    def marked(self) -> int:
        return sum(one.marked for one in self.audits)

    @property
    def nothing_lost(self) -> bool:
        return self.acked > 0 and self.lost == 0 and self.missing == 0

    @property
    def nothing_doubled(self) -> bool:
        return (self.duplicated, self.marked, self.names_again, self.again) == (0, 0, 0, 0)

    @property
    def good(self) -> bool:
        return self.nothing_lost and (self.may_double or self.nothing_doubled) and self.held_back == 0
