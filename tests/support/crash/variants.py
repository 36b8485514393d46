"""What the crash test is run under."""

from __future__ import annotations

from tests.support.crash.scenario import Variant
from tests.support.crash.victim import Conduct
from tests.support.faked_time import EPOCH_S

_TWO_DAYS_S = 2 * 86_400.0
_LOOKED_AT = {"producer.id.expiration.check.interval.ms": "10000"}
"""In place of every second: longer than anything here keeps a request alive."""

VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("exactly-once", 180, every_s=15.0),
        Variant("at-least-once", 60, Conduct(kafka={"delivery": "at_least_once"}), may_double=True, every_s=20.0),
        # Stamped with the time of measuring, each batch's id would be forgotten at the next look (F4, D5).
        Variant(
            "two-days-old",
            20,
            Conduct(measured_ago_s=_TWO_DAYS_S),
            _LOOKED_AT,
            gateways=1,
            every_s=20.0,
            forgotten_after_s=12.0,
        ),
        # Where a gateway's clock may be wrong the broker's own counts (D12).
        Variant(
            "clock-of-1970",
            20,
            Conduct(clock_offset_s=EPOCH_S),
            {**_LOOKED_AT, "log.message.timestamp.type": "LogAppendTime"},
            gateways=1,
            every_s=20.0,
            forgotten_after_s=12.0,
        ),
        Variant(
            "ids-of-a-minute",
            20,
            cluster={**_LOOKED_AT, "producer.id.expiration.ms": "60000"},
            gateways=1,
            every_s=20.0,
            forgotten_after_s=75.0,
        ),
    )
}
