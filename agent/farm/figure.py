"""A computed value with all that it was made of. Pure.

G1  A figure whose input is missing, too old or outside the formula's range has no value, and says the reason. Nothing
    is filled in, and nothing is weighted again without saying so.
G2  A figure names its inputs (value, unit, where it is from, age), its formula and the formula's source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Input(NamedTuple):
    """One input of a figure. `origin` is a sensor, an event, or `config`; `age_s` is None for what does not age."""

    name: str
    value: float | None
    unit: str
    origin: str
    age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Formula:
    """How a figure is computed, and who says so."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `value` is None if it cannot be computed; `reason` then says why. `notes` are doubts about it."""

    name: str
    value: float | None
    unit: str
    formula: Formula
    inputs: tuple[Input, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()


class NoValue(Exception):  # noqa: N818 - a state of the inputs, not an error of ours
    """The inputs give no value; the text says why."""


def within(name: str, value: float, low: float, high: float, unit: str) -> float:
    """The value itself, if a formula holds for it.

    Raises:
        NoValue: it is outside the formula's range.
    """
    if not low <= value <= high:
        raise NoValue(f"{name} is {value:g} {unit}, and the formula holds from {low:g} to {high:g} {unit}")
    return value
