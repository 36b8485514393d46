"""What happens to the brokers and the lines to them while gateways are killed: each act can be undone.

`do` and `undo` block until done. A cluster whose acts are all undone is whole again.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.cluster import KafkaCluster, Node
    from tests.support.proxy import Proxy

_PRODUCE = b"\0\0"
_HELD_WITHIN_S = 5.0
_SENT_AGAIN_S = 10.0


class Act(Protocol):
    """`lasts_s` is the range from which the time between `do` and `undo` is drawn."""

    @property
    def name(self) -> str: ...

    @property
    def lasts_s(self) -> tuple[float, float]: ...

    def do(self) -> None: ...

    def undo(self) -> None: ...


class Momentary:
    """There is nothing to undo."""

    lasts_s: ClassVar[tuple[float, float]] = (0.0, 0.5)

    def undo(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class KillBroker:
    """SIGKILL, and started again."""

    node: Node
    name: ClassVar[str] = "broker killed"
    lasts_s: ClassVar[tuple[float, float]] = (0.0, 6.0)

    def do(self) -> None:
        self.node.kill()

    def undo(self) -> None:
        self.node.start()


@dataclass(frozen=True, slots=True)
class PauseBroker:
    """SIGSTOP: past its session with the controller it is deposed, and does not know."""

    node: Node
    name: ClassVar[str] = "broker paused"
    lasts_s: ClassVar[tuple[float, float]] = (0.5, 6.0)

    def do(self) -> None:
        self.node.pause()

    def undo(self) -> None:
        self.node.resume()


@dataclass(frozen=True, slots=True)
class CutOff:
    """Connections end with an RST, and new ones are refused."""

    links: Sequence[Proxy]
    name: ClassVar[str] = "cut off"
    lasts_s: ClassVar[tuple[float, float]] = (0.0, 6.0)

    def do(self) -> None:
        for link in self.links:
            link.refuse()

    def undo(self) -> None:
        for link in self.links:
            link.allow()


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing passes, and nobody is told."""

    links: Sequence[Proxy]
    name: ClassVar[str] = "line stalled"
    lasts_s: ClassVar[tuple[float, float]] = (0.5, 6.0)

    def do(self) -> None:
        for link in self.links:
            link.stall()

    def undo(self) -> None:
        for link in self.links:
            link.resume()


class Answers:
    """A tap on the lines to all brokers: lets requests through and can hold back what answers them."""

    def __init__(self) -> None:
        self._armed = False
        self._asked = threading.Event()
        self._held = threading.Event()
        self._over = threading.Event()

    def __call__(self, upward: bool, data: bytes) -> None:  # noqa: FBT001 - the proxy's direction
        if not self._armed:
            return
        if upward:
            if data[4:6] == _PRODUCE:
                self._asked.set()
        elif self._asked.is_set():
            self._held.set()
            self._over.wait()
            raise OSError("the answer is lost")

    def hold(self) -> bool:
        """Hold all answers from the next produce request on; whether one is held, after at most five seconds."""
        self._asked.clear()
        self._held.clear()
        self._over.clear()
        self._armed = True
        return self._held.wait(_HELD_WITHIN_S)

    def lose(self) -> None:
        """End the connections whose answers are held."""
        self._armed = False
        self._over.set()


@dataclass(frozen=True, slots=True)
class LoseAnswers:
    """A batch is taken, and the gateway never hears of it; `struck`, if any, comes while its answer is held."""

    answers: Answers
    struck: Callable[[], None] | None
    lasts_s: ClassVar[tuple[float, float]] = (0.0, 0.3)

    @property
    def name(self) -> str:
        return "answers lost to the living" if self.struck is None else "answers lost"

    def do(self) -> None:
        if self.answers.hold() and self.struck is not None:
            self.struck()

    def undo(self) -> None:
        self.answers.lose()


@dataclass(frozen=True, slots=True)
class LoseForLong:
    """A batch is taken, the gateway never hears of it, and reaches nobody until its producer id may be forgotten.

    It is struck, or `spared` until it has sent again, so that it is the same process that was cut off all the time.
    """

    answers: Answers
    links: Sequence[Proxy]
    struck: Callable[[], None] | None
    spared: Callable[[bool], None]
    forgotten_after_s: float
    name: ClassVar[str] = "answers lost and cut off for long"

    @property
    def lasts_s(self) -> tuple[float, float]:
        return self.forgotten_after_s, self.forgotten_after_s * 1.2

    def do(self) -> None:
        self.spared(self.struck is None)
        held = self.answers.hold()
        for link in self.links:
            link.refuse()
        self.answers.lose()
        if held and self.struck is not None:
            self.struck()

    def undo(self) -> None:
        for link in self.links:
            link.allow()
        if self.struck is None:
            time.sleep(_SENT_AGAIN_S)
            self.spared(False)


@dataclass(frozen=True, slots=True)
class MoveLeader(Momentary):
    """Another replica that is in sync leads."""

    cluster: KafkaCluster
    topic: str
    partition: int
    name: ClassVar[str] = "leader moved"

    def do(self) -> None:
        leader = self.cluster.leader_of(self.topic, self.partition)
        others = self.cluster.in_sync(self.topic, self.partition) - {leader}
        if others:
            self.cluster.move_leader(self.topic, min(others), self.partition)


@dataclass(frozen=True, slots=True)
class AddPartition(Momentary):
    """The topic has one partition more."""

    cluster: KafkaCluster
    topic: str
    total: int
    name: ClassVar[str] = "partition added"

    def do(self) -> None:
        self.cluster.add_partitions(self.topic, self.total)
