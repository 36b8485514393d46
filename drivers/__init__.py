"""Spoke: the outside world in. Drivers observe and emit values; they know neither the hub nor the other spokes."""

from drivers.values import (
    Document,
    Doubt,
    Driver,
    Emit,
    Frame,
    Misconfigured,
    NotReady,
    Observation,
    Reading,
    Receipted,
    Receipts,
    SharedImage,
    Unreadable,
)

__all__ = [
    "Document",
    "Doubt",
    "Driver",
    "Emit",
    "Frame",
    "Misconfigured",
    "NotReady",
    "Observation",
    "Reading",
    "Receipted",
    "Receipts",
    "SharedImage",
    "Unreadable",
]
