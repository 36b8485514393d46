"""What the catalog says of a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. Counters count since the process began."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
