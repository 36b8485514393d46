"""Says upstream where a topic falls short of what exactly once needs (D12), or takes times far ahead (D5).

Once for each change.
"""

from __future__ import annotations

import asyncio
import logging
import random
import zlib
from typing import TYPE_CHECKING

from agent.events import Severity, SystemEventKind
from agent.pipeline import GatewayEvents
from sync.kafka import AHEAD, EXISTS, Role, Weight
from sync.values import ClusterChanged, Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from agent.events import Encoder
    from agent.pipeline import Outbox
    from sync.kafka import KafkaSink, TopicAssessment
    from sync.seams import Cursors, LogFigures

    class Said(Cursors, LogFigures, Protocol):
        """Of the log, which topics there are, and what was said of them last."""


log = logging.getLogger("tidegate.guarantee")

COMPACTED = frozenset({"gateway-runs"})
"""Topics of ours of which only the newest record of each key counts."""

_SAID = "guarantee:said"
_AGAIN_S = 24 * 3600.0
_RETRY_S = 600.0


class Guarantee:
    """Asks the cluster once it has `answered`, and once a day after that: topics come later, and settings change.

    It asks over a connection of its own, which `connect` makes: whoever counts the bytes of the link is to count its.
    What was said last is kept in the log as a checksum, so that a restart repeats nothing.
    """

    def __init__(
        self,
        durable: Said,
        outbox: Outbox,
        encoder: Encoder,
        connect: Callable[[], KafkaSink],
        answered: asyncio.Event,
    ) -> None:
        self._log = durable
        self._events = GatewayEvents(outbox, encoder)
        self._connect = connect
        self._answered = answered

    async def run(self) -> None:
        """Ask and say until cancelled; a cluster that does not answer, or refuses us, is the shipper's to tell of."""
        while True:
            await self._answered.wait()
            try:
                await self._ask()
            except (NotReady, Misconfigured, ClusterChanged) as error:
                log.debug("cannot check the settings of the Kafka topics: %s", error)
                pause_s = _RETRY_S
            else:
                pause_s = _AGAIN_S
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))  # noqa: S311 - spreads a fleet, not a secret

    async def _ask(self) -> None:
        topics = {stream.topic for stream in self._log.streams()}
        roles = {topic: Role.NEWEST if topic in COMPACTED else Role.RECORDS for topic in topics}
        sink = self._connect()
        try:
            assessed = await sink.assess(roles)
        finally:
            await sink.close()
        short, ahead = shortfalls(assessed), without_bound(assessed)
        said = zlib.crc32(repr([*sorted(short.items()), *sorted(ahead.items())]).encode()) if short or ahead else 0
        if said == (await self._log.cursor(_SAID) or 0):
            log.debug("the guarantees of the Kafka topics have not changed")
            return
        text = _text(short, ahead)
        log.log(logging.WARNING if short or ahead else logging.INFO, "%s", text)
        await self._events.post(
            SystemEventKind.GUARANTEE_CHANGED,
            Severity.WARNING if short or ahead else Severity.INFO,
            source="kafka",
            text=text,
            data={"topics": short, "times_ahead": ahead},
        )
        await self._log.set_cursor(_SAID, said)


def shortfalls(assessed: Sequence[TopicAssessment]) -> dict[str, list[str]]:
    """The sentences that say why, for each topic without the guarantee; what cannot be asked is not taken to hold.

    A topic that is not there has no records to lose; that it is missing is told where records wait for it.
    """
    open_points = {
        topic.topic: [
            *topic.wanting(Weight.GUARANTEE),
            *(finding for finding in topic.unknown if finding.weight is Weight.GUARANTEE),
        ]
        for topic in assessed
    }
    return {
        topic: [finding.text for finding in findings]
        for topic, findings in open_points.items()
        if any(finding.name != EXISTS for finding in findings)
    }


def without_bound(assessed: Sequence[TopicAssessment]) -> dict[str, str]:
    """Topics that take times far ahead, with the sentence that says so: one wrong clock stops their retention."""
    return {
        topic.topic: finding.text
        for topic in assessed
        for finding in topic.findings
        if finding.name == AHEAD and finding.holds is False
    }


def _text(short: dict[str, list[str]], ahead: dict[str, str]) -> str:
    parts = []
    if short:
        why = "; ".join(dict.fromkeys(sentence for sentences in short.values() for sentence in sentences))
        parts.append(f"exactly once is not guaranteed in {', '.join(short)}: {why}")
    if ahead:
        parts.append(f"{', '.join(ahead)}: {'; '.join(dict.fromkeys(ahead.values()))}")
    return ". ".join(parts) or "exactly once is guaranteed again in all topics"
