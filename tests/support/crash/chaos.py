"""One act after the other upon a cluster, drawn by chance, each undone; and for minutes a partition has no leader."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from tests.support.broker import BrokerError
from tests.support.crash.acts import (
    AddPartition,
    Answers,
    CutOff,
    KillBroker,
    LoseAnswers,
    LoseForLong,
    MoveLeader,
    PauseBroker,
    Stall,
)
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from random import Random

    from tests.support.cluster import KafkaCluster
    from tests.support.crash.acts import Act

_PAUSE_S = 0.5, 3.0
_MOST_PARTITIONS = 6
_LEADERLESS_AFTER = 4
"""Acts: a broker that is away for minutes is one that cannot be killed."""


class Chaos:
    """A context in which the lines of all nodes stand. `struck` is called while the answer to a batch is held back,
    `changed` as soon as an act was undone, `spared` where no gateway is to be killed for a while, and when it may be
    again; all in the thread that acts.

    Of `lonely`, a topic whose one partition lies on one node alone, the leader goes away once, for `leaderless_s`.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        random: Random,
        *,
        topic: str,
        acts: Collection[str] | None,
        lonely: str,
        leaderless_s: float,
        forgotten_after_s: float | None,
        struck: Callable[[], None],
        spared: Callable[[bool], None],
        changed: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._random = random
        self._topic = topic
        self._acts = acts
        self._partitions = 0
        self._lonely = lonely
        self._leaderless_s = leaderless_s
        self._forgotten_after_s = forgotten_after_s
        self._struck = struck
        self._spared = spared
        self._changed = changed
        self._say = say
        self._answers = Answers()
        self._stack = ExitStack()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._act, name="chaos", daemon=True)
        self._away: tuple[int, float] | None = None
        self._drawn: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.done: Counter[str] = Counter()
        self.leaderless_for_s = 0.0

    def __enter__(self) -> Self:
        nodes = self._cluster.nodes.items()
        self._links = {
            number: self._stack.enter_context(
                Proxy(node.host, node.behind_link_port, at=node.link_port, tap=self._answers)
            )
            for number, node in nodes
        }
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._stack.close()

    def start(self) -> None:
        self._partitions = self._cluster.partitions(self._topic)
        self._thread.start()

    @property
    def leaderless(self) -> bool:
        """Whether the lonely partition is yet to have its time without a leader, or has none now."""
        return self._leaderless_s > 0 and self.leaderless_for_s == 0

    def stop(self) -> None:
        """Let the act under way end, and undo all."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _act(self) -> None:
        try:
            while not self._stop.wait(self._random.uniform(*_PAUSE_S)):
                self._once(self._draw())
                if self._leaderless_s and self._drawn.total() == _LEADERLESS_AFTER:
                    self._send_away()
                if self._away is not None and time.monotonic() > self._away[1]:
                    self._bring_back()
        except BaseException as error:  # noqa: BLE001 - told to who waits for the end
            self.failure = error
        finally:
            if self._away is not None:
                self._bring_back()

    def _once(self, act: Act) -> None:
        self._say(f"{act.name} {self._on_what(act)}")
        try:
            act.do()
            self.done[act.name] += 1
        except BrokerError as error:
            # A leader that will not move while another node comes back: what counts is what happened.
            self._say(f"{act.name}: {error}")
            self.done[f"{act.name}: in vain"] += 1
        finally:
            # What is to be forgotten is not cut short.
            pause = time.sleep if isinstance(act, LoseForLong) else self._stop.wait
            pause(self._random.uniform(*act.lasts_s))
            act.undo()
        self._changed()

    @staticmethod
    def _on_what(act: Act) -> str:
        match act:
            case KillBroker(node) | PauseBroker(node):
                return str(node.number)
            case CutOff(links) | Stall(links):
                return f"({len(links)} of 3)"
            case LoseForLong(struck=struck):
                return "and spared" if struck is None else ""
        return ""

    def _draw(self) -> Act:
        random, cluster = self._random, self._cluster
        up = [node for node in cluster.nodes.values() if node.running]
        links = list(self._links.values())
        some = random.choice([links, [random.choice(links)]])
        acts: list[Act] = [
            CutOff(some),
            Stall(some),
            PauseBroker(random.choice(up)),
            LoseAnswers(self._answers, self._struck),
            LoseAnswers(self._answers, None),
        ]
        if self._forgotten_after_s is not None:
            acts += [
                LoseForLong(self._answers, links, struck, self._spared, self._forgotten_after_s)
                for struck in (self._struck, None)
            ]
        if self._away is None:
            # With one away already the other two are all that a quorum needs.
            acts += [
                KillBroker(random.choice(up)),
                MoveLeader(cluster, self._topic, random.randrange(self._partitions)),
            ]
            if self._partitions < _MOST_PARTITIONS:
                acts.append(AddPartition(cluster, self._topic, self._partitions + 1))
        if self._acts is not None:
            acts = [act for act in acts if act.name in self._acts]
        # By chance, and yet each in its turn.
        seldom = min(self._drawn[act.name] for act in acts)
        act = random.choice([act for act in acts if self._drawn[act.name] <= seldom + 1])
        self._drawn[act.name] += 1
        if isinstance(act, AddPartition):
            self._partitions += 1
        return act

    def _send_away(self) -> None:
        leader = self._cluster.leader_of(self._lonely)
        assert leader is not None
        self._say(f"{self._lonely} without a leader for {self._leaderless_s:.0f} s")
        self._cluster.nodes[leader].kill()
        self._away = leader, time.monotonic() + self._leaderless_s

    def _bring_back(self) -> None:
        assert self._away is not None
        leader, until = self._away
        self._cluster.nodes[leader].start()
        self.leaderless_for_s = time.monotonic() - until + self._leaderless_s
        self.done["partition without a leader"] += 1
        self._away = None
        self._changed()
