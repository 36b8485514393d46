"""What the shipper is told: ages, pauses, the link's budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from sync.shipper.link.budget import Budget


@dataclass(frozen=True, slots=True)
class ShipperSettings:
    """Times in seconds.

    `backfill_after_s`: `live` records older than this, still pending while the link is up, go to `backfill`.
    `retry_s`: the range from which the pause between two attempts to reach the cluster is drawn. A batch that
    was refused or not answered goes again after `backoff_first_s`, doubling up to `backoff_most_s`, with jitter.
    `stop_s`: how long a batch in flight may take to be answered once `run` is cancelled.
    `budget` bounds the bytes of a metered link. `backfill_share` is what `backfill` may take of a link that `live`
    could fill alone. After an outage `backfill` begins within `backfill_spread_s`, and within a tenth of the outage.
    Every `alert_ready_s` (0: never) the alert lane's connection is used, sooner than it would be closed as idle.
    What has had no answer for longer than `look_up_after_s` is looked up before it goes again (D6).
    """

    backfill_after_s: float = 60.0
    retry_s: tuple[float, float] = (1.0, 5.0)
    backoff_first_s: float = 0.1
    backoff_most_s: float = 5.0
    stop_s: float = 3.0
    budget: Budget = field(default_factory=Budget)
    backfill_share: float = 0.25
    backfill_spread_s: float = 0.0
    alert_ready_s: float = 120.0
    look_up_after_s: float = 300.0
