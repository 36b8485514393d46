"""What a stream's decisions are made of: the events that it takes in, and the actions that it gives out."""

from __future__ import annotations

from dataclasses import dataclass

from sync.values import (
    Absent,
    Accepted,
    Batch,
    CannotTell,
    Claim,
    Forgotten,
    Found,
    Known,
    Producer,
    Refused,
    Unknown,
)


@dataclass(frozen=True, slots=True)
class ProducerGiven:
    """An id for the stream, and the partition's log end as asked for now."""

    producer: Producer
    log_end: int


@dataclass(frozen=True, slots=True)
class Leased:
    """The log leased the stream's next batch; the lease is on disk."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class CutDone:
    """The refused batch is cut, or its one record is with the dead letters; that is on disk."""


@dataclass(frozen=True, slots=True)
class PauseOver:
    """It is time to try again."""


@dataclass(frozen=True, slots=True)
class Aged:
    """In the place of an answer: nothing was sent, for the first attempt, or the last look-up, is long ago."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """A look-up or read-back cannot tell. `remembered`: if the batch was taken, its id cannot be forgotten yet.

    That is so within half of the id's time from the lease on, by a clock that was and is synchronised.
    """

    answer: CannotTell
    remembered: bool = False


@dataclass(frozen=True, slots=True)
class AgainDone:
    """The batch is pending again, marked, and with it what else the broker lost; that is on disk."""


Event = (
    ProducerGiven
    | Leased
    | Accepted
    | Refused
    | Unknown
    | CutDone
    | PauseOver
    | Aged
    | Known
    | Forgotten
    | Found
    | Absent
    | Undecided
    | AgainDone
)


@dataclass(frozen=True, slots=True)
class AskProducer:
    """Get an id: one that no batch had (`fresh`), or the lane's id of this run."""

    fresh: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """Let the log lease the next batch under this claim."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Send:
    """Send this batch."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Settle:
    """Tell the log that the broker has the batch."""

    batch: Batch
    offset: int


@dataclass(frozen=True, slots=True)
class Recall:
    """The broker has lost what it acknowledged before the batch (D15); `settles`: it has the batch itself.

    `end` is where the partition ended if the batch was looked up, else -1.
    """

    batch: Batch
    offset: int
    end: int
    settles: bool = True


@dataclass(frozen=True, slots=True)
class Cut:
    """Let the log cut the batch in halves, or put its one record to the dead letters."""

    batch: Batch
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the same batch goes again. `answered`: the broker did answer, and refused for now."""

    reason: str
    answered: bool
    hint: str = ""
    setting: str = ""
    broker: str = ""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask what the broker remembers of the batch's producer id."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Read the partition itself for the batch."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Again:
    """Let the log make the batch pending again, marked, and what went under its id above `last_sequence`."""

    batch: Batch
    last_sequence: int | None
    reason: str


Action = AskProducer | Offer | Send | Settle | Recall | Cut | Pause | LookUp | ReadBack | Again
