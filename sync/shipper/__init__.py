"""The shipper: leases batches from the log, sends them, settles what the broker has. DELIVERY.md has the rules."""

from sync.shipper.events import DeadLettered, Held, LinkBack, LinkLost, Recovered, ShipperEvent, Waiting
from sync.shipper.shipper import Shipper, ShipperSettings
from sync.shipper.stats import ShipperStats

__all__ = [
    "DeadLettered",
    "Held",
    "LinkBack",
    "LinkLost",
    "Recovered",
    "Shipper",
    "ShipperEvent",
    "ShipperSettings",
    "ShipperStats",
    "Waiting",
]
