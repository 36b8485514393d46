"""What `tidegate check --live` said of a broker, in a few words, and whether that came true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.brokers.disturbance import Disturbance

if TYPE_CHECKING:
    from tests.support.brokers.trials import Row

_OF_NODES = ("replication is ", "min.insync.replicas is ")
_MANY = 3
LATE_S = 5.0
"""A reading this late is one that a window, or the way back, held up."""


def lines(row: Row) -> list[dict[str, Any]]:
    """All lines of the check, in its order."""
    return [line for part in row.check for line in part["lines"]]


def said(row: Row) -> str:
    """Which subjects are not well, or not known."""
    found = lines(row)
    wrong = [line["subject"] for line in found if line["well"] is False]
    unknown = [line["subject"] for line in found if line["well"] is None]
    if len(wrong) > _MANY:
        wrong = [*wrong[:1], f"{len(wrong) - 1} more"]
    words = ([f"NOT {', '.join(wrong)}"] if wrong else []) + ([f"? {', '.join(unknown)}"] if unknown else [])
    return "; ".join(words) or "ok"


def true(row: Row) -> str:
    """Whether the check foretold what was then counted; the queue and the window one by one, the rest together."""
    if row.failed or len(row.outcomes) < len(Disturbance):
        return "not all was run"
    missing = sum(one.missing for one in row.outcomes.values())
    doubled = sum(one.doubled - one.marked for one in row.outcomes.values())
    late_s = max(one.late_s for one in row.outcomes.values())
    found = lines(row)
    if not found or all(line["well"] is None for line in found):
        return "it could not ask"
    warned = {line["subject"] for line in found if line["well"] is False}
    if any(part["name"] == "kafka" for part in row.check):
        return _true_of_kafka(found, missing, doubled)
    faults = []
    if missing and not warned - {"window"}:
        faults.append(f"it does not say that readings are lost, and {missing:,} are missing")
    if doubled and not warned - {"queue", "window"}:
        faults.append(f"it does not say that readings come twice, and {doubled:,} did")
    if late_s > LATE_S and "window" not in warned:
        faults.append(f"it does not say that readings are held up, and some came {late_s:.0f} s late")
    if faults:
        return "**no**: " + "; ".join(faults)
    if "queue" in warned and not missing:
        return "it is stricter: the queue was never full in this run"
    return "yes"


def _true_of_kafka(found: list[dict[str, Any]], missing: int, doubled: int) -> str:
    """What was said of copies on other nodes cannot be seen on one."""
    reasons = [why for line in found if not line["well"] for why in line.get("why", ()) or [line["text"]]]
    told = [why for why in reasons if not why.startswith(_OF_NODES)]
    if (missing or doubled) and not told:
        lost = f"{missing:,} are missing, {doubled:,} came twice"
        return f"**no**: apart from what it says of copies on other nodes it says ok, and {lost}"
    if told and not missing and not doubled:
        return "it is stricter: nothing was lost or came twice in this run"
    return "yes" if len(told) == len(reasons) else "yes, as far as one node can show"
