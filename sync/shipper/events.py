"""What the shipper reports to the hub, each once: the hub turns some of it into alerts, and counts the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sync.values import Recalled, Stream


@dataclass(frozen=True, slots=True)
class LinkLost:
    """No broker can be reached; nothing is sent until `LinkBack`."""

    reason: str


@dataclass(frozen=True, slots=True)
class LinkBack:
    """A broker answers again, `after_s` seconds after `LinkLost`."""

    after_s: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """A topic is refused or unanswered again and again, though the link is up; it is tried on and on.

    `topic` is empty if nothing at all can be sent yet. `setting` is the key of config.yaml that cures it, `broker`
    the address that cannot be reached; both are empty if it is neither.
    """

    topic: str
    reason: str
    hint: str = ""
    setting: str = ""
    broker: str = ""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A topic that was `Waiting` is taken again."""

    topic: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """So many records go again with the header `possibly_repeated`: they may stand twice upstream (D6, D7)."""

    stream: Stream
    records: int
    reason: str


@dataclass(frozen=True, slots=True)
class AnotherCluster:
    """The addresses are those of another cluster than records went to before, by its id.

    So many records that the one before did not acknowledge go to it marked; `Repeated` says of which streams.
    """

    cluster: str
    records: int


@dataclass(frozen=True, slots=True)
class TopicLost:
    """A topic lost what it had acknowledged (D15).

    `created_again`: it has another id, so it was deleted and created again. Else it may also have lost its records.
    """

    recalled: Recalled
    created_again: bool


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """The broker will never take one record, `seq` of the log; it lies in the dead letters with the reason."""

    stream: Stream
    seq: int
    reason: str


ShipperEvent = LinkLost | LinkBack | Waiting | Recovered | Repeated | AnotherCluster | TopicLost | DeadLettered
