"""The fish of the demo's tank: a month of events, made up, told to the gateway as a tablet on the farm would."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from tests.support.daemon import Daemon

TANK = "tank_001"
SHOWN = (
    "stock_fish",
    "biomass",
    "feed_cycle",
    "dead_cycle",
    "mortality_rolling",
    "fcr_economic",
    "sgr",
    "tank_001_saturation",
)


def events() -> list[dict[str, Any]]:
    """Stocked a month ago, fed daily, seven dead, weighed this morning."""
    now = datetime.now(UTC)

    def event(name: str, kind: str, days_ago: float, **fields: Any) -> dict[str, Any]:
        at = (now - timedelta(days=days_ago)).isoformat()
        return {"id": f"demo-{name}", "kind": kind, "at": at, "tank_id": TANK, **fields}

    return [
        event("stocked", "stocking", 30, count=1000, mean_weight_g=100.0, species="rainbow_trout"),
        *(event(f"fed-{day}", "feeding", day, kg=2.0) for day in range(1, 30)),
        event("dead-1", "mortality", 21, count=4),
        event("dead-2", "mortality", 9, count=3),
        event("weighed", "weighing", 0, mean_weight_g=160.0),
    ]


def record(daemon: Daemon) -> None:
    """Report all events over the gateway's socket; what is there already stays as it is."""
    status, answer = daemon.request("POST", "/stock/events", json.dumps(events()).encode(), timeout_s=30.0)
    assert status == 200, answer


def figures(daemon: Daemon) -> Table:
    """The tank's figures and a derived quantity, as the gateway has them now."""
    table = Table(title=f"Figures of {TANK}, as `tidegate stock` has them", title_justify="left")
    for column in ("figure", "value", "unit", ""):
        table.add_column(column, justify="right" if column == "value" else "left")
    found = json.loads(daemon.request("GET", "/stock")[1])
    known = [one for tank in found["tanks"] if tank["tank_id"] == TANK for one in tank["figures"]] + found["derived"]
    for name in SHOWN:
        one = next((one for one in known if one["name"] == name), None)
        if one is not None:
            value = "-" if one["value"] is None else f"{one['value']:,.4g}"
            table.add_row(name, value, "" if one["unit"] == "1" else one["unit"], one.get("reason", ""))
    return table
