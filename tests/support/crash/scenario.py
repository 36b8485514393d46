"""Gateways under load, killed at random moments while their cluster is in chaos; then what became of every record."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Self

from tests.support.cluster import KafkaCluster
from tests.support.crash.chaos import Chaos
from tests.support.crash.follower import Follower
from tests.support.crash.outcome import Outcome
from tests.support.crash.verdict import READINGS, Counted, audit
from tests.support.crash.victim import Conduct, Killer, Victim
from tests.support.mosquitto import DEPLOYED, Mosquitto

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

LONELY = "farm-alerts"
_TOPICS = READINGS, "system-events", "fleet-reported", "farm-figures", LONELY
_AT_END_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Variant:
    """`may_double`: what comes twice is counted and is no fault. `cluster` are lines of its server.properties.

    `gateways` share `kills`, each killed about every `every_s`. `acts`, where given, are the only ones that happen,
    by their names. After `forgotten_after_s` a broker may have forgotten an id: answers are lost for longer, too.
    """

    name: str
    kills: int
    conduct: Conduct = field(default_factory=Conduct)
    cluster: Mapping[str, str] = field(default_factory=dict)
    may_double: bool = False
    gateways: int = 3
    every_s: float = 10.0
    leaderless_s: float = 120.0
    forgotten_after_s: float | None = None
    acts: Collection[str] | None = None


def crash(
    variant: Variant,
    seed: int,
    keep: Path | None = None,
    *,
    cluster: KafkaCluster | None = None,
    loud: bool = False,
) -> Outcome:
    """Run one variant to its end; the folders of the gateways go to `keep` where the outcome is not good.

    What happens is drawn from the seed; when it happens is up to the machine as well.
    A cluster that is lent has the topics of `create_topics`, and keeps its own properties.

    Raises:
        DaemonError: a gateway ended by itself, or did not drain.
        BrokerError: a broker did not come back.
    """
    with _Scene(variant, seed, cluster, loud=loud) as scene:
        try:
            scene.play()
            scene.judge()
        except BaseException:
            scene.keep(keep)
            raise
        if not scene.outcome.good:
            scene.keep(keep)
        return scene.outcome


class _Scene:
    """Cluster, MQTT broker, gateways, and those who do them harm."""

    def __init__(self, variant: Variant, seed: int, lent: KafkaCluster | None, *, loud: bool) -> None:
        self.outcome = Outcome(variant.name, variant.may_double)
        self._variant = variant
        self._seed = seed
        self._loud = loud
        self._lent = lent
        self._stack = ExitStack()
        self._started = time.monotonic()
        self._victims: list[Victim] = []
        self._killers: list[Killer] = []
        self._acked: dict[str, set[int]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._lent is None:
                create_topics(own := stack.enter_context(KafkaCluster(self._variant.cluster)))
            self._cluster = self._lent or own
            mosquitto = stack.enter_context(Mosquitto(conf=DEPLOYED))
            self._follower = stack.enter_context(Follower(self._cluster.bootstrap, READINGS))
            self._havoc = stack.enter_context(self._prepare_chaos())
            run = uuid.uuid4().hex[:6]
            for index in range(self._variant.gateways):
                # Whole as a float, too, and of no other run.
                first = int(run, 16) * 100_000_000 + index * 10_000_000
                name, brokers = f"gw-{run}-{index}", self._cluster.link_brokers
                victim = Victim(name, first, mosquitto.port, brokers, self._variant.conduct)
                self._victims.append(stack.enter_context(victim))
            self._prepare_killers()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for killer in self._killers:
            killer.stop()
        self._stack.close()

    def _chance(self, whose: str) -> Random:
        return Random(f"{self._seed} {self._variant.name} {whose}")

    def _prepare_chaos(self) -> Chaos:
        chance = self._chance("strikes")

        def strike() -> None:
            left = [killer.victim for killer in self._killers if killer.running]
            for victim in chance.sample(left, chance.randint(min(1, len(left)), len(left))):
                victim.kill()

        def hint() -> None:
            for killer in self._killers:
                killer.hint()

        def spare(yes: bool) -> None:  # noqa: FBT001 - as Chaos calls it
            for killer in self._killers:
                killer.spare(yes)

        return Chaos(
            self._cluster,
            self._chance("chaos"),
            topic=READINGS,
            acts=self._variant.acts,
            lonely=LONELY,
            leaderless_s=self._variant.leaderless_s,
            forgotten_after_s=self._variant.forgotten_after_s,
            struck=strike,
            spared=spare,
            changed=hint,
            say=self._say,
        )

    def _prepare_killers(self) -> None:
        each, left = divmod(self._variant.kills, self._variant.gateways)
        for index, victim in enumerate(self._victims):
            chance = self._chance(str(index))
            kills = each + (index < left)
            self._killers.append(Killer(victim, kills, self._variant.every_s, chance, while_dead=self._look))

    def _look(self) -> None:
        behind_s = self._follower.until_at_end(_AT_END_WITHIN_S)
        if behind_s is None:
            self.outcome.held_back += 1
        else:
            self.outcome.behind_s.append(behind_s)

    def play(self) -> None:
        """Chaos and kills, until all were killed as often as they are to be; then all is put right, and drains."""
        self._havoc.start()
        for killer in self._killers:
            killer.start()
        while (any(killer.running for killer in self._killers) or self._havoc.leaderless) and not self._havoc.failure:
            time.sleep(0.2)
        self._havoc.stop()
        for failure in (self._havoc.failure, *(killer.failure for killer in self._killers)):
            if failure is not None:
                raise failure
        self._say(f"{sum(victim.kills for victim in self._victims)} kills, and all is put right")
        self._acked = {victim.gateway: victim.settle() for victim in self._victims}
        self._say("all is delivered")

    def judge(self) -> None:
        """What became of every record."""
        outcome, cluster = self.outcome, self._cluster
        counted = Counted.of(cluster.bootstrap, _TOPICS)
        for victim in self._victims:
            mine = self._acked[victim.gateway]
            outcome.kills += victim.kills
            outcome.acked += len(mine)
            outcome.lost += counted.missing(mine)
            outcome.again += counted.repeated_numbers(mine)
            outcome.names_again += counted.repeated_names(victim.gateway)
            outcome.records += counted.records(victim.gateway)
            outcome.audits.append(audit(cluster.bootstrap, victim.gateway, victim.log_file))
        outcome.acts, outcome.leaderless_s = self._havoc.done, self._havoc.leaderless_for_s
        outcome.took_s = time.monotonic() - self._started

    def keep(self, folder: Path | None) -> None:
        """Put the gateways' folders where they outlive this run."""
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{self._variant.name}-", dir=folder))
        for victim in self._victims:
            victim.rest()
            if victim.daemon.running:
                victim.daemon.kill()
            shutil.copytree(
                victim.daemon.folder, place / victim.gateway, ignore=shutil.ignore_patterns("notify", "*.sock")
            )
        print(f"kept: {place}", file=sys.stderr, flush=True)

    def _say(self, what: str) -> None:
        if self._loud:
            print(
                f"  {time.monotonic() - self._started:6.1f} s {self._variant.name}: {what}",
                file=sys.stderr,
                flush=True,
            )


def create_topics(cluster: KafkaCluster) -> None:
    """What the gateways here send to; alarms go to a partition that lies on one node alone."""
    # Each node leads one; the gateways' names decide which is whose.
    cluster.create_topic(READINGS, {0: [1, 2, 3], 1: [2, 3, 1], 2: [3, 1, 2]})
    for topic in ("system-events", "fleet-reported", "farm-figures"):
        cluster.create_topic(topic)
    cluster.create_topic("gateway-runs", configs={"cleanup.policy": "compact"})
    # Without a leader as soon as that node is away.
    cluster.create_topic(LONELY, {0: [3]}, {"min.insync.replicas": "1"})
