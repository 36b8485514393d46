"""Tables of `tidegate status`, as lines."""

from __future__ import annotations

import sys

from agent.cli.status import _subscriptions
from agent.cli.table import table


def test_each_subscription_says_what_it_brought_and_why_the_newest_message_was_not_read():
    newest = {"topic": "farm/t9/oxygen", "reason": "the time in t is out of range", "sample": "{}", "at": "…"}
    subscriptions = [
        {
            "connection": "barge",
            "topic": topic,
            "readings": readings,
            "unreadable": unreadable,
            "left_out": 7,
            "repeated": 0,
            "newest_unreadable": newest if unreadable else None,
        }
        for topic, readings, unreadable in (("a/{tank}/#", 12_000, 40), ("b/#", 3, 0), ("", 0, 1))
    ]
    _, first, second, unmatched = _subscriptions({"subscriptions": subscriptions})
    assert first.split(maxsplit=6) == [
        *("mqtt:barge", "a/{tank}/#", "12,000", "40", "7", "0"),
        "farm/t9/oxygen: the time in t is out of range",
    ]
    assert second.split() == ["mqtt:barge", "b/#", "3", "0", "7", "0"]
    assert unmatched.startswith("mqtt:barge (matches no subscription)")
    assert _subscriptions({}) == []


def test_a_long_reason_goes_on_below_on_a_terminal_and_is_cut_nowhere(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    reason = "onnxruntime cannot load the model: Unsupported model IR version: 99, max supported IR version: 14"
    _, first, *rest = table(("UNIT", ""), [["model:fish", reason]])
    assert first.startswith("model:fish  onnxruntime")
    assert all(line.startswith(" " * 12) and len(line) <= 40 for line in rest)
    assert " ".join([first.removeprefix("model:fish").strip(), *map(str.strip, rest)]) == reason
