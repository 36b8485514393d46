"""One line of docs/BENCHMARKS.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `holds` is None where the design names no target."""

    what: str
    figure: str
    target: str
    holds: bool | None
    remark: str = ""
