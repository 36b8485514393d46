"""The shipper: leases batches from the log, sends them, settles what the broker has. DELIVERY.md has the rules."""

from sync.shipper.events import (
    AnotherCluster,
    DeadLettered,
    LinkBack,
    LinkLost,
    Recovered,
    Repeated,
    ShipperEvent,
    TopicLost,
    Waiting,
)
from sync.shipper.shipper import Shipper, ShipperSettings
from sync.shipper.stats import ShipperStats

__all__ = [
    "AnotherCluster",
    "DeadLettered",
    "LinkBack",
    "LinkLost",
    "Recovered",
    "Repeated",
    "Shipper",
    "ShipperEvent",
    "ShipperSettings",
    "ShipperStats",
    "TopicLost",
    "Waiting",
]
