"""What a cluster grants: whether the guarantee of D12 holds, topic by topic, and what this user may do there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sync.kafka.connection.protocol import DescriptionRequest
from sync.kafka.errors.answers import NONE, TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC_OR_PARTITION, name_of
from sync.kafka.questions.configs import broker_config, topic_configs
from sync.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from sync.kafka.connection.client import Client

T = TypeVar("T")

EXISTS: Final = "exists"
EXPIRY: Final = "producer.id.expiration.ms"
_DAY_MS: Final = 24 * 3600 * 1000
_CONFIGS: Final = (
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "cleanup.policy",
    "message.timestamp.type",
)
AHEAD: Final = "message.timestamp.after.max.ms"
_AHEAD_BEFORE_3_6: Final = "message.timestamp.difference.max.ms"
# Kafka's numbers of operations; an answer has the bit of each that is granted.
_RIGHTS: Final = {
    "WRITE": (4, "nothing can be sent to it"),
    "DESCRIBE": (8, "its leaders cannot be found"),
    "READ": (3, "the outcome of an unanswered batch cannot be looked up"),
    "DESCRIBE_CONFIGS": (10, "its settings cannot be checked"),
}
_NOT_TOLD: Final = -(2**31)


class Role(StrEnum):
    """What a topic is for, and with that what it needs."""

    RECORDS = "records"
    """Every record counts."""
    NEWEST = "newest"
    """Compacted by design: the newest record of each key counts."""
    READ = "read"
    """Written by others, read by the gateway."""


class Weight(StrEnum):
    """What hangs on a finding."""

    GUARANTEE = "guarantee"
    """Without it records may be lost or doubled."""
    ADVICE = "advice"
    """Without it the guarantee is narrower, in the way that the sentence says."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition: whether it holds (None where it cannot be asked), and what that means, in one sentence.

    `right`: it is about what this user may do, and not about a setting of the topic or the cluster.
    """

    name: str
    holds: bool | None
    weight: Weight
    text: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class TopicAssessment:
    """What was found out about one topic."""

    topic: str
    role: Role
    findings: tuple[Finding, ...]

    def wanting(self, weight: Weight) -> tuple[Finding, ...]:
        """What does not hold, of one weight."""
        return tuple(f for f in self.findings if f.holds is False and f.weight is weight)

    @property
    def falls_short(self) -> bool:
        """Whether something does not hold without which records may be lost or doubled."""
        return bool(self.wanting(Weight.GUARANTEE))

    @property
    def unknown(self) -> tuple[Finding, ...]:
        """What could not be asked."""
        return tuple(f for f in self.findings if f.holds is None)


async def assess(client: Client, topics: Mapping[str, Role]) -> list[TopicAssessment]:
    """Assess topics, each by its role.

    Raises:
        Unreachable: no broker answers.
        Misconfigured: the cluster refuses our credentials.
    """
    names = sorted(topics)
    description = await client.question(DescriptionRequest(names, operations=True))
    asked = (*_CONFIGS, AHEAD, _AHEAD_BEFORE_3_6)
    configs = await _alone(client, topic_configs(client, names, asked), {})
    expiry = await _alone(client, broker_config(client, EXPIRY), None)
    found: list[TopicAssessment] = []
    for code, name, _internal, partitions, operations in description.topics:
        role = topics[name]
        if code != NONE:
            found.append(TopicAssessment(name, role, (_missing(code),)))
            continue
        findings = [_replicas(partitions), *_settings(configs.get(name), role)]
        if role is Role.RECORDS:
            findings.append(_expiry(expiry))
        found.append(TopicAssessment(name, role, (*findings, *_rights(operations, role))))
    return sorted(found, key=lambda topic: topic.topic)


async def _alone(client: Client, question: Awaitable[T], unknown: T) -> T:
    """The answer to a question, or `unknown` if the broker does not answer this one, though it answers others.

    One that closes the connection when asked costs no other question its answer: the next has a new connection.
    """
    try:
        return await question
    except NotReady:
        await client.reach()  # raises where nobody answers at all
        return unknown


def _missing(code: int) -> Finding:
    text = {
        UNKNOWN_TOPIC_OR_PARTITION: "the topic does not exist: create it",
        TOPIC_AUTHORIZATION_FAILED: "this user may not see the topic, if it exists: grant it DESCRIBE",
    }.get(code, f"it cannot be described now: {name_of(code)}")
    return Finding(EXISTS, False, Weight.GUARANTEE, text)


def _replicas(partitions: list[tuple[Any, ...]]) -> Finding:
    fewest = min((len(part[4]) for part in partitions), default=0)
    text = f"replication is {fewest}" + ("" if fewest >= 3 else "; with fewer than 3 a lost broker can lose records")
    return Finding("replication", fewest >= 3, Weight.GUARANTEE, text)


def _settings(configs: Mapping[str, str] | None, role: Role) -> list[Finding]:
    if configs is None:
        reason = "{} cannot be read: grant this user DESCRIBE_CONFIGS on the topic, if these brokers report it at all"
        wanted = _CONFIGS if role is Role.RECORDS else _CONFIGS[:2]
        weights = {"message.timestamp.type": Weight.ADVICE}
        return [Finding(name, None, weights.get(name, Weight.GUARANTEE), reason.format(name)) for name in wanted]
    in_sync, unclean, policy, stamps = (configs.get(name, "") for name in _CONFIGS)
    enough = in_sync.isdecimal() and int(in_sync) >= 2
    clean = unclean == "false"
    findings = [
        Finding(
            "min.insync.replicas",
            enough,
            Weight.GUARANTEE,
            f"min.insync.replicas is {in_sync}"
            + ("" if enough else "; with less than 2 one broker alone acknowledges"),
        ),
        Finding(
            "unclean.leader.election.enable",
            clean,
            Weight.GUARANTEE,
            "a leader is elected from replicas in sync only"
            if clean
            else "unclean.leader.election.enable is true; a replica that lags may lead, and the rest is lost",
        ),
    ]
    if role is not Role.RECORDS:
        return findings
    kept = policy == "delete"
    own_clock = stamps == "LogAppendTime"
    return [
        *findings,
        Finding(
            "cleanup.policy",
            kept,
            Weight.GUARANTEE,
            f"cleanup.policy is {policy}" + ("" if kept else "; compaction removes records of the same key"),
        ),
        Finding(
            "message.timestamp.type",
            own_clock,
            Weight.ADVICE,
            "message.timestamp.type is LogAppendTime"
            if own_clock
            else f"message.timestamp.type is {stamps}; while a gateway's clock is wrong, brokers forget its producer "
            "id too soon, and look-ups must read the topic back",
        ),
        *(() if own_clock else (_ahead(configs),)),
    ]


def _ahead(configs: Mapping[str, str]) -> Finding:
    """How far ahead of the broker's clock a record's time may be: from 4.0 on an hour, before that anything."""
    bounds = [int(value) for name in (AHEAD, _AHEAD_BEFORE_3_6) if (value := configs.get(name, "")).isdecimal()]
    bound_ms = min(bounds, default=None)
    if bound_ms is None:
        return Finding(AHEAD, None, Weight.ADVICE, f"{AHEAD} is not reported by this cluster")
    name = AHEAD if AHEAD in configs else _AHEAD_BEFORE_3_6
    if bound_ms <= _DAY_MS:
        return Finding(AHEAD, True, Weight.ADVICE, f"times up to {bound_ms / 3_600_000:g} h ahead are taken ({name})")
    return Finding(
        AHEAD,
        False,
        Weight.ADVICE,
        f"{name} allows times more than a day ahead; one gateway whose clock is a year fast stops "
        f"retention in its partition for that year: set {name}=3600000, or message.timestamp.type=LogAppendTime",
    )


def _expiry(value: str | None) -> Finding:
    if value is None:
        reason = (
            f"{EXPIRY} cannot be read: grant this user DESCRIBE_CONFIGS on the cluster, if these brokers tell it at "
            "all; 12 hours are assumed"
        )
        return Finding(EXPIRY, None, Weight.GUARANTEE, reason)
    hours = int(value) / 3_600_000
    long_enough = int(value) >= _DAY_MS
    text = f"{EXPIRY} is {hours:g} h" + ("" if long_enough else "; under a day a late copy may be taken twice")
    return Finding(EXPIRY, long_enough, Weight.GUARANTEE, text)


def _rights(operations: int, role: Role) -> list[Finding]:
    findings: list[Finding] = []
    for right, (number, without) in _RIGHTS.items():
        if right == "WRITE" and role is Role.READ:
            continue
        needed = right == "WRITE" or (right == "READ" and role is Role.READ)
        granted = None if operations == _NOT_TOLD else bool(operations >> number & 1)
        text = f"{right} is granted" if granted else f"{right} is not granted: {without}"
        if granted is None:
            text = f"whether {right} is granted is not reported by this cluster"
        weight = Weight.GUARANTEE if needed else Weight.ADVICE
        findings.append(Finding(f"right:{right}", granted, weight, text, right=True))
    return findings
