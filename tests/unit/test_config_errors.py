"""Each kind of mistake gives one line that names the file, the line, the key, what is wrong and what to do."""

from __future__ import annotations

import pytest

from agent.config import parse
from tests.support.document import GOOD, changed, problems_of


def test_the_document_that_the_mistakes_are_made_in_is_good():
    assert parse(GOOD, "c.yaml", {}).mqtt[0].subscriptions[0].qos == 1


SECRET = "(hint: create it, readable by the user that runs the agent)"
WIRES = "(hint: write $${ for the characters themselves)"
MISTAKES = {
    "unknown key": (
        "    fps: 5",
        "    fsp: 5",
        "c.yaml:26: cameras[0].fsp: unknown key (hint: did you mean fps?)",
    ),
    "unknown section": (
        "models:",
        "modles:",
        "c.yaml:18: modles: unknown key (hint: did you mean models?)",
    ),
    "missing key": (
        "  site: site_001\n",
        "",
        "c.yaml:1: gateway.site: is missing (hint: the farm site)",
    ),
    "key without a value": (
        "site: site_001",
        "site:",
        "c.yaml:3: gateway.site: is empty (hint: the farm site)",
    ),
    "wrong type": (
        "    fps: 5",
        "    fps: fast",
        "c.yaml:26: cameras[0].fps: must be a number, not fast (hint: most frames a second to process)",
    ),
    "no whole number": (
        "    local: true",
        "    local: true\n    keepalive_s: 3.5",
        (
            "c.yaml:9: mqtt[0].keepalive_s: must be a whole number, not 3.5 "
            "(hint: MQTT keepalive: how soon a dead connection is noticed)"
        ),
    ),
    "no number at all": (
        "low: 4",
        "low: .nan",
        "c.yaml:17: sensors[0].limits.low: must be a number, not .nan (hint: values below it raise an alert)",
    ),
    "no switch": (
        "local: true",
        "local: maybe",
        ("c.yaml:8: mqtt[0].local: must be true or false, not maybe (hint: alerts are published on this connection)"),
    ),
    "a list where a value belongs": (
        "id: barge-1",
        "id: [a]",
        "c.yaml:2: gateway.id: must be one value (hint: name of this gateway, unique in the company)",
    ),
    "a value where a list belongs": (
        "    subscriptions:\n      - topic: farm/{site}/{tank}/{metric}\n        qos: 1",
        "    subscriptions: all",
        "c.yaml:9: mqtt[0].subscriptions: must be a list, not all (hint: each entry begins with `- `)",
    ),
    "a value where a section belongs": (
        "limits: {low: 4, high: 18}",
        "limits: 18",
        (
            "c.yaml:17: sensors[0].limits: must be a section: lines of `key: value` below it, indented, not 18 "
            "(hint: its keys: low, high, hysteresis, max_age_s)"
        ),
    ),
    "out of range": (
        "    fps: 5",
        "    fps: 500",
        ("c.yaml:26: cameras[0].fps: must be at most 120, not 500 (hint: most frames a second to process)"),
    ),
    "none of the choices": (
        "qos: 1",
        "qos: 3",
        "c.yaml:11: mqtt[0].subscriptions[0].qos: must be 0 or 1, not 3 (hint: 1: acknowledged once on disk)",
    ),
    "a choice misspelled": (
        "kafka:",
        "kafka:\n  delivery: exactly-once",
        (
            "c.yaml:5: kafka.delivery: must be exactly_once or at_least_once, not exactly-once "
            "(hint: did you mean exactly_once?)"
        ),
    ),
    "no name": (
        "id: barge-1",
        "id: barge 1",
        (
            "c.yaml:2: gateway.id: must be a name: up to 63 letters, digits and . _ -, first a letter or digit, "
            "not barge 1 (hint: name of this gateway, unique in the company)"
        ),
    ),
    "a broker without its port": (
        "[127.0.0.1:9092]",
        "[127.0.0.1]",
        (
            "c.yaml:5: kafka.brokers[0]: must be host:port, not 127.0.0.1 "
            "(hint: such as kafka.example:9092; ports end at 65535)"
        ),
    ),
    "a broker at a port that cannot be": (
        "[127.0.0.1:9092]",
        "[127.0.0.1:65536]",
        (
            "c.yaml:5: kafka.brokers[0]: must be host:port, not 127.0.0.1:65536 "
            "(hint: such as kafka.example:9092; ports end at 65535)"
        ),
    ),
    "no broker": (
        "[127.0.0.1:9092]",
        "[]",
        "c.yaml:5: kafka.brokers: needs at least one entry (hint: bootstrap brokers, each host:port)",
    ),
    "two equal keys": (
        "    fps: 5",
        "    fps: 5\n    fps: 6",
        "c.yaml:27: the key fps is here a second time; the first is in line 26 (hint: keep one of them)",
    ),
    "a secret file that is not there": (
        "    local: true",
        "    local: true\n    password_file: /nowhere/pw",
        "c.yaml:9: mqtt[0].password_file: the file /nowhere/pw cannot be read: no such file or directory " + SECRET,
    ),
    "an environment variable that is not set": (
        "site: site_001",
        "site: ${SITE}",
        (
            "c.yaml:3: gateway.site: the environment variable SITE is not set "
            "(hint: set it, or give a default: ${SITE:-…})"
        ),
    ),
    "a reference that is none": (
        "site: site_001",
        "site: ${SITE",
        f"c.yaml:3: gateway.site: has a ${{ that begins neither ${{NAME}} nor ${{NAME:-default}} {WIRES}",
    ),
    "a runtime folder too long for a socket": (
        "  site: site_001",
        f"  site: site_001\n  runtime_dir: /{'r' * 100}",
        (
            "c.yaml:4: gateway.runtime_dir: is too long: with /tidegate.sock it may have 107 bytes "
            "(hint: choose a shorter folder)"
        ),
    ),
}


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_by_its_line(old, new, line):
    assert line in problems_of(changed(old, new))


def test_one_pass_finds_mistakes_of_all_kinds_in_order_of_lines():
    text = changed("qos: 1", "qos: 3").replace("id: barge-1", "id: ${NO}").replace("model: fish", "model: fsh")
    text = text.replace("    unit: degC", "    unit: degC\n    unit: K").replace(
        "    fps: 5", "    fps: -1\n    fbs: 5"
    )
    assert [line.split(": ")[0:2] for line in problems_of(text)] == [
        ["c.yaml:2", "gateway.id"],
        ["c.yaml:11", "mqtt[0].subscriptions[0].qos"],
        ["c.yaml:16", "the key unit is here a second time; the first is in line 15 (hint"],
        ["c.yaml:26", "cameras[0].model"],
        ["c.yaml:27", "cameras[0].fps"],
        ["c.yaml:28", "cameras[0].fbs"],
    ]


def test_what_the_environment_holds_is_never_shown():
    """E3."""
    text = changed("    fps: 5", "    fps: ${SECRET}").replace("site: site_001", "site: ${SECRET}")
    lines = problems_of(text, env={"SECRET": "hunter 2"})
    assert len(lines) == 2
    assert not [line for line in lines if "hunter" in line]


def test_what_the_environment_holds_is_not_shown_by_a_drivers_parser_either():
    """E3."""
    text = changed("        qos: 1", "        payload: {format: json, value: '${SECRET}'}")
    text = text.replace("rtsp://10.0.0.7/main", "${SECRET}://x").replace("farm/{site}/{tank}/{metric}", "${TOPIC}")
    lines = problems_of(text, env={"SECRET": "$.hunter2", "TOPIC": "hunter2/#/x"})
    assert [line.split(": ")[2] for line in lines if "SECRET" in line or "TOPIC" in line] == [
        "the value of ${TOPIC} cannot be used here (hint",
        "the value of ${SECRET} cannot be used here (hint",
        "the value of ${SECRET}://… is not a camera source (hint",
    ]
    assert not [line for line in lines if "hunter" in line]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("127.0.0.1:9092", '"gw:hunter2@127.0.0.1:9092"'),
        ("    local: true", '    local: true\n    host: "gw:hunter2@barge.local"'),
        ("rtsp://10.0.0.7/main", '"admin:hunter2@10.0.0.7/main"'),
        ("rtsp://10.0.0.7/main", '"rtsp:/admin:hunter2@10.0.0.7/main"'),
    ],
    ids=["kafka", "mqtt", "camera", "camera with one slash"],
)
def test_a_login_written_into_an_address_is_not_shown(old, new):
    (line,) = problems_of(changed(old, new))
    assert "hunter2" not in line


def test_a_message_obeys_no_control_characters():
    (line,) = problems_of(changed("id: barge-1", r'id: "\e[31m\nx"'))
    assert line.isprintable()


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES.values(), ids=MISTAKES)
def test_every_line_says_what_to_do(old, new, line):
    assert all(
        "(hint: " in problem and not problem.endswith("(hint: )") for problem in problems_of(changed(old, new))
    )
