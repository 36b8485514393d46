"""The page of brokers: which row goes where, and when the check is said to have told the truth."""

from __future__ import annotations

import re

import pytest

from tests.support.brokers import page
from tests.support.brokers.disturbance import Disturbance, Outcome
from tests.support.brokers.kinds import KAFKA, MQTT
from tests.support.brokers.trials import Row
from tests.support.brokers.verdict import said, true


def outcome(missing=0, doubled=0, marked=0, late_s=0.0):
    return Outcome(100, 100, missing, doubled, marked, late_s, waiting=0, connected=True)


def row(found, *lines, part="mqtt:barge"):
    check = [{"name": part, "lines": list(lines)}]
    return Row("a broker", "5", check, dict.fromkeys(Disturbance, found))


def line(subject, well, text="", why=()):
    return {"subject": subject, "well": well, "text": text, "why": list(why)}


OK = line("queue", True)
FULL = line("queue", False)
SLOW = line("window", False)
ONE_NODE = line("sensor-data", False, "sensor-data: not guaranteed: exactly once", ["replication is 1; with"])


@pytest.mark.parametrize(
    ("found", "came_true"),
    [
        (row(outcome(), OK), "yes"),
        (row(outcome(missing=1), OK), "no"),
        (row(outcome(doubled=1), OK), "no"),
        (row(outcome(doubled=2, marked=2), OK), "yes"),
        (row(outcome(missing=1), FULL), "yes"),
        (row(outcome(), FULL), "it is stricter"),
        (row(outcome(doubled=1), FULL), "no"),
        (row(outcome(missing=1), SLOW), "no"),
        (row(outcome(late_s=60.0), OK), "no"),
        (row(outcome(late_s=60.0), SLOW), "yes"),
        (row(outcome(missing=1), line("mqtt:barge", None)), "it could not ask"),
        (row(outcome(), ONE_NODE, part="kafka"), "yes, as far as one node can show"),
        (row(outcome(missing=1), ONE_NODE, part="kafka"), "no"),
    ],
)
def test_the_check_told_the_truth_if_what_was_counted_is_what_it_said(found, came_true):
    assert true(found).replace("*", "").startswith(came_true)


def test_what_is_not_well_is_named():
    assert said(row(outcome(), OK)) == "ok"
    assert said(row(outcome(), FULL, line("window", None))) == "NOT queue; ? window"


def test_a_row_takes_its_place_and_the_others_stay(tmp_path, monkeypatch):
    head = "| broker | more |\n| --- | --- |\n"
    file = tmp_path / "BROKERS.md"
    file.write_text(f"# Brokers\n\n<!-- mqtt -->\n\n{head}| b | old |\n\nText.\n\n<!-- kafka -->\n\n{head}")
    monkeypatch.setattr(page, "PAGE", file)
    page.put("mqtt", ["c", "new"], ["a", "b", "c"])
    page.put("mqtt", ["a", "x|y"], ["a", "b", "c"])
    page.put("mqtt", ["b", "new"], ["a", "b", "c"])
    assert f"{head}| a | x\\|y |\n| b | new |\n| c | new |\n\nText." in file.read_text()
    assert file.read_text().endswith(head)


def test_every_broker_has_its_row():
    rows = set(re.findall(r"^\| ([^|]+?) \|", page.PAGE.read_text(), re.MULTILINE))
    assert {kind.title for kind in (*MQTT.values(), *KAFKA.values())} <= rows
