"""What is said of a reading: a quality, and the reasons if it is not good."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal, NamedTuple

RANGE: Final = 1
RATE: Final = 2
STUCK: Final = 4
SPIKE: Final = 8
SCATTER: Final = 16
DRIFT: Final = 32
NEIGHBOUR: Final = 64
UNJUDGED: Final = -1
"""Doubts as bits, so that a reading's verdict is one number: 0 is good, UNJUDGED that nothing looked at it."""

REASONS: Final = ("range", "rate", "stuck", "spike", "scatter", "drift", "neighbour")
"""The words on the wire, in the order of the bits."""
SAID: Final = {
    "range": "outside of what the sensor can measure",
    "rate": "changes faster than water does",
    "stuck": "does not change",
    "spike": "jumps",
    "scatter": "scatters more than usual",
    "drift": "moves in one direction day after day",
    "neighbour": "differs from the sensor beside it",
}
"""The same for people."""


class Verdict(NamedTuple):
    """How good a reading is. `reasons` is empty unless it is suspect or bad."""

    quality: Literal["unjudged", "good", "suspect", "bad"]
    reasons: tuple[str, ...] = ()


@lru_cache(maxsize=256)
def verdict_of(doubts: int) -> Verdict:
    """The verdict for a number of doubts; the same object each time."""
    if doubts == UNJUDGED:
        return Verdict("unjudged")
    if not doubts:
        return Verdict("good")
    reasons = tuple(reason for bit, reason in enumerate(REASONS) if doubts >> bit & 1)
    return Verdict("bad" if doubts & RANGE else "suspect", reasons)
