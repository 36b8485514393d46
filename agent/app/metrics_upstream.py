"""Sends all metrics upstream, for gateways that no Prometheus can reach."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import orjson

from agent import __version__
from agent.events.figures import envelope_of
from agent.metrics.upstream import compact
from agent.reload import Part, Planned
from agent.supervisor import Stage, Unit
from sync.values import Lane

if TYPE_CHECKING:
    from agent.config import Config
    from agent.metrics import Metrics
    from agent.pipeline import Outbox
    from sync.seams import Log

TOPIC: Final = "gateway-metrics"
_MOST_WAITING: Final = 10
"""Old metrics are of little use: in an outage no more are made, so that they take no room from readings."""


def planned(config: Config, metrics: Metrics, outbox: Outbox, durable: Log) -> list[Planned]:
    """The unit, or none if the configuration wants none."""
    every_s = config.metrics.upstream_every_s

    def waiting() -> int:
        return sum(pending.records + pending.unsettled for pending in durable.streams() if pending.topic == TOPIC)

    if every_s == 0:
        return []
    gateway = config.gateway

    async def run() -> None:
        """Send until cancelled, the first time after one interval."""
        while True:
            await asyncio.sleep(every_s)
            if waiting() >= _MOST_WAITING:
                continue
            at = datetime.now(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
            body = {
                "gateway_id": gateway.id,
                "site_id": gateway.site,
                "version": __version__,
                "at": at,
                "every_s": every_s,
                "values": compact(metrics.samples()),
            }
            key = (gateway.site, "", gateway.id)
            outbox.post([envelope_of(TOPIC, key, orjson.dumps(body), at, Lane.BULK)])

    return [Planned("metrics-upstream", every_s, lambda _: Part(Unit("metrics-upstream", Stage.PROCESS, run)))]
