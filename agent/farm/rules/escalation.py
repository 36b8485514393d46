"""Which raised alerts nobody has answered: escalation, acknowledgement and snooze. Pure: names and moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class _Raised:
    since_s: float
    quiet_until_s: float = 0.0
    acknowledged: bool = False
    escalated: bool = False


class Escalation:
    """Keeps, for each alert that is raised, since when; times are of a clock that is never set back."""

    def __init__(self, after_s: float | None = None) -> None:
        self.after_s = after_s
        """None: nothing escalates."""
        self._raised: dict[str, _Raised] = {}

    def acknowledge(self, alert_id: str, now_s: float, snooze_s: float | None = None) -> None:
        """Somebody has seen it: it does not escalate, or with `snooze_s` not before so long has passed."""
        known = self._raised.setdefault(alert_id, _Raised(now_s))
        known.acknowledged = snooze_s is None
        known.quiet_until_s = now_s + (snooze_s or 0.0)
        known.escalated = False

    def due(self, raised: Iterable[tuple[str, bool]], now_s: float) -> list[str]:
        """The alerts to escalate now, each once. `raised`: what is raised now, and whether it is acknowledged."""
        known: dict[str, _Raised] = {}
        due = []
        for alert_id, acknowledged in raised:
            one = known[alert_id] = self._raised.get(alert_id) or _Raised(now_s)
            one.acknowledged = one.acknowledged or acknowledged
            if one.acknowledged or one.escalated or self.after_s is None or now_s < one.quiet_until_s:
                continue
            if now_s - max(one.since_s, one.quiet_until_s) >= (0.0 if one.quiet_until_s else self.after_s):
                one.escalated = True
                due.append(alert_id)
        self._raised = known
        return due
