"""One condition with hold-off and hysteresis in time, so that what comes and goes is one alert."""

from __future__ import annotations

from enum import Enum


class Change(Enum):
    """What a look at a condition changes."""

    RAISED = "raised"
    CLEARED = "cleared"


class Condition:
    """Raised once it has held for `hold_off_s`, cleared once it has not for `clear_after_s`.

    What is not known (None) changes nothing: a silence in what would be judged ends no alert. The first look that
    finds it not to hold answers CLEARED, so that what an earlier run has left raised ends.
    """

    __slots__ = ("_clear_after_s", "_hold_off_s", "_since_s", "raised")

    def __init__(self, hold_off_s: float = 0.0, clear_after_s: float = 0.0) -> None:
        self._hold_off_s = hold_off_s
        self._clear_after_s = clear_after_s
        self._since_s: float | None = None
        """Since when it has been otherwise than `raised` says."""
        self.raised: bool | None = None

    def look(self, now_s: float, *, holds: bool | None) -> Change | None:
        """Take what was found at a moment of a clock that is never set back."""
        if holds is None:
            return None
        if self.raised is None and not holds:
            self.raised = False
            return Change.CLEARED
        if holds is self.raised:
            self._since_s = None
            return None
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s < (self._hold_off_s if holds else self._clear_after_s):
            return None
        self._since_s = None
        self.raised = holds
        return Change.RAISED if holds else Change.CLEARED

    def end(self) -> Change | None:
        """It is over at once, whatever its hysteresis: something else says the same better."""
        self._since_s = None
        was, self.raised = self.raised, False
        return None if was is False else Change.CLEARED
