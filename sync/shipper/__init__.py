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
from sync.shipper.settings import ShipperSettings
from sync.shipper.shipper import Shipper
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
