"""What the log must be told of the bodies in it, which are bytes to it: how their times are set right, and folded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync.log.disk.blocks import Record
    from sync.values import Envelope

    Restamp = Callable[[str, Record, int, int], Record]
    """Of a topic's record, taken when the wall clock said one thing (ms) and should have said another: the same
    record with its times set right, key and names unchanged. What is no time of the gateway's own clock stays."""


def untouched(_topic: str, record: Record, _at_ms: int, _right_ms: int) -> Record:
    """The correction of a log that is told nothing of its bodies: there is no time in them."""
    return record


class Folding(Protocol):
    """One minute of one topic while it is read."""

    def add(self, records: Sequence[Record]) -> bool:
        """Take a block's records in; False, and none taken, where one of them is no reading."""

    def envelopes(self, unreadable: int) -> list[Envelope]:
        """The aggregates; `unreadable` records of the minute were damaged, and nobody knows whose they were."""


class Fold(Protocol):
    """How records become aggregates; whoever knows what the records mean gives it to the log.

    What a record says of its clock in a header (`sync.log.clock`) its aggregate says too.
    """

    @property
    def topics(self) -> frozenset[str]:
        """The topics that can be thinned."""

    def begin(self, minute_ms: int) -> Folding:
        """Begin a minute: the one in which the log took the records, by its wall clock, set right where it can be."""

    def told_as(self, value: bytes | None, *, old_id: str, border: int, log_id: str) -> bytes | None:
        """A record's value where numbers of `old_id` from the border on are of `log_id` now (D11)."""
