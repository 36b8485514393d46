"""Each kind of mistake gives one line that names the file, the line, the key, what is wrong and what to do."""

from __future__ import annotations

import pytest

from agent.config import ConfigErrors, parse

GOOD = """\
gateway:
  id: barge-1
  site: site_001
kafka:
  brokers: [127.0.0.1:9092]
mqtt:
  - name: barge
    local: true
    subscriptions:
      - topic: farm/{site}/{tank}/{metric}
        qos: 1
sensors:
  - id: pen-1_temperature
    type: temperature
    unit: degC
    tank: pen-1
    limits: {low: 4, high: 18}
models:
  - name: fish
    path: zoo/fish
cameras:
  - name: pen-1
    source: rtsp://10.0.0.7/main
    tank: pen-1
    model: fish
    fps: 5
"""


def changed(old, new):
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def problems_of(text, **how):
    with pytest.raises(ConfigErrors) as caught:
        parse(text, "c.yaml", how.pop("env", {}), **how)
    return [str(problem) for problem in caught.value.problems]


def test_the_document_that_the_mistakes_are_made_in_is_good():
    assert parse(GOOD, "c.yaml", {}).mqtt[0].subscriptions[0].qos == 1


UNITS = "the unit of temperature must be degC, degF or K"
SECRET = "(hint: put it there, readable for the user that runs the agent)"
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
        "c.yaml:1: gateway.site: is missing (hint: the farm site on which it stands)",
    ),
    "key without a value": (
        "site: site_001",
        "site:",
        "c.yaml:3: gateway.site: is empty (hint: the farm site on which it stands)",
    ),
    "wrong type": (
        "    fps: 5",
        "    fps: fast",
        "c.yaml:26: cameras[0].fps: must be a number, not fast (hint: at most so many frames a second are looked at)",
    ),
    "no whole number": (
        "    local: true",
        "    local: true\n    keepalive_s: 3.5",
        (
            "c.yaml:9: mqtt[0].keepalive_s: must be a whole number, not 3.5 "
            "(hint: how soon a dead connection is noticed)"
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
            "(hint: its keys: low, high, hysteresis)"
        ),
    ),
    "out of range": (
        "    fps: 5",
        "    fps: 500",
        (
            "c.yaml:26: cameras[0].fps: must be at most 120, not 500 "
            "(hint: at most so many frames a second are looked at)"
        ),
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
        "c.yaml:5: kafka.brokers: needs at least one entry (hint: where to ask first, each host:port)",
    ),
    "a unit of another spelling": (
        "unit: degC",
        "unit: celsius",
        f"c.yaml:15: sensors[0].unit: {UNITS}, not celsius (hint: did you mean degC?)",
    ),
    "a unit of another kind": (
        "unit: degC",
        "unit: NTU",
        f"c.yaml:15: sensors[0].unit: {UNITS}, not NTU (hint: degC is usual; or is the type wrong?)",
    ),
    "limits the wrong way round": (
        "{low: 4, high: 18}",
        "{low: 18, high: 4}",
        "c.yaml:17: sensors[0].limits.low: must be below high, which is 4 (hint: the two may be swapped)",
    ),
    "limits that cannot clear": (
        "{low: 4, high: 18}",
        "{low: 4, high: 18, hysteresis: 14}",
        (
            "c.yaml:17: sensors[0].limits.hysteresis: must be less than the 14 between low and high "
            "(hint: else an alert could never clear)"
        ),
    ),
    "a model that is not there": (
        "model: fish",
        "model: fisch",
        "c.yaml:25: cameras[0].model: there is no model fisch under models (hint: did you mean fish?)",
    ),
    "a sensor that nothing brings": (
        "id: pen-1_temperature",
        "id: temperature",
        (
            "c.yaml:13: sensors[0].id: no subscription brings a sensor of this id "
            "(hint: the first subscription would call it pen-1_temperature)"
        ),
    ),
    "no local connection": (
        "    local: true\n",
        "",
        (
            "c.yaml:6: mqtt: one connection needs local: true "
            "(hint: put it on the broker on the farm's own network: alerts go there)"
        ),
    ),
    "two local connections": (
        "sensors:",
        "  - name: other\n    local: yes\nsensors:",
        "c.yaml:13: mqtt[1].local: only one connection may be local; mqtt[0] is (hint: remove one of them)",
    ),
    "a name used twice": (
        "sensors:",
        "  - name: barge\nsensors:",
        "c.yaml:12: mqtt[1].name: barge is the name of mqtt[0] in line 7 (hint: names are unique)",
    ),
    "two sessions of one name": (
        "    local: true",
        "    local: true\n    client_id: a\n  - name: other\n    client_id: a",
        (
            "c.yaml:11: mqtt[1].client_id: is the client_id of mqtt[0] at the same broker "
            "(hint: two sessions of one name push each other out)"
        ),
    ),
    "two equal keys": (
        "    fps: 5",
        "    fps: 5\n    fps: 6",
        "c.yaml:27: the key fps stands here for a second time, first in line 26 (hint: keep one of them)",
    ),
    "a wildcard in the middle": (
        "farm/{site}/{tank}/{metric}",
        "farm/#/{site}/{tank}/{metric}",
        (
            "c.yaml:10: mqtt[0].subscriptions[0].topic: # may only be the whole last level "
            "(hint: + stands for any one level)"
        ),
    ),
    "a placeholder within a level": (
        "farm/{site}/{tank}/{metric}",
        "farm/{site}/x{tank}/{tank}/{metric}",
        (
            "c.yaml:10: mqtt[0].subscriptions[0].topic: level 3, x{tank}: a placeholder stands for one whole level "
            "(hint: put it between slashes)"
        ),
    ),
    "a placeholder that is none": (
        "farm/{site}/{tank}/{metric}",
        "farm/{farm}/{tank}/{metric}",
        (
            "c.yaml:10: mqtt[0].subscriptions[0].topic: {farm} is no placeholder "
            "(hint: there are {site}, {tank}, {metric}, {sensor})"
        ),
    ),
    "a topic without what names are made of": (
        "farm/{site}/{tank}/{metric}",
        "farm/{tank}/temperature",
        (
            "c.yaml:10: mqtt[0].subscriptions[0].topic: has no {metric}, so sensor_id and sensor_type must be said "
            "(hint: add sensor_id: … to this subscription)"
        ),
    ),
    "a name made of nothing": (
        "        qos: 1",
        '        sensor_type: "{sensor}"',
        (
            "c.yaml:11: mqtt[0].subscriptions[0].sensor_type: {sensor} is not in the topic "
            "(hint: the topic has {site}, {tank} and {metric})"
        ),
    ),
    "the same sensors twice": (
        "        qos: 1",
        "        qos: 1\n      - topic: farm/{tank}/{site}/{metric}",
        (
            "c.yaml:12: mqtt[0].subscriptions[1].topic: brings the same sensors as mqtt[0].subscriptions[0] "
            "(hint: give each a sensor_id of its own, or remove one)"
        ),
    ),
    "a field path for plain numbers": (
        "        qos: 1",
        "        payload: {at: time}",
        "c.yaml:11: mqtt[0].subscriptions[0].payload.at: has no meaning for plain numbers (hint: set format: json)",
    ),
    "a field path with a hole": (
        "        qos: 1",
        "        payload: {format: json, value: a..b}",
        (
            "c.yaml:11: mqtt[0].subscriptions[0].payload.value: must be a path without empty levels "
            "(hint: such as data.temp or values.0.v)"
        ),
    ),
    "a secret file that is not there": (
        "    local: true",
        "    local: true\n    password_file: /nowhere/pw",
        "c.yaml:9: mqtt[0].password_file: the file /nowhere/pw cannot be read: no such file or directory " + SECRET,
    ),
    "a certificate without its key": (
        "    local: true",
        "    local: true\n    tls:\n      cert_file: /dev/null",
        "c.yaml:10: mqtt[0].tls.cert_file: needs key_file beside it (hint: add key_file: …)",
    ),
    "a login without a password": (
        "kafka:",
        "kafka:\n  security: sasl_ssl\n  username: me",
        "c.yaml:5: kafka.security: a login with SASL needs password_file (hint: add kafka.password_file)",
    ),
    "a certificate for a connection without TLS": (
        "kafka:",
        "kafka:\n  ca_file: /dev/null",
        "c.yaml:5: kafka.ca_file: is not used with security plaintext (hint: set kafka.security: ssl)",
    ),
    "a reserve that is all of the budget": (
        "kafka:",
        "kafka:\n  budget: {bytes_per_day: 1_000_000, alert_reserve_bytes: 1000000}",
        (
            "c.yaml:5: kafka.budget.alert_reserve_bytes: must be less than bytes_per_day, which is 1000000 "
            "(hint: else nothing but alarms would ever be sent)"
        ),
    ),
    "a reserve of no budget": (
        "kafka:",
        "kafka:\n  budget: {alert_reserve_bytes: 1000}",
        ("c.yaml:5: kafka.budget.alert_reserve_bytes: is a part of bytes_per_day (hint: set bytes_per_day, too)"),
    ),
    "a lane with more than the link": (
        "kafka:",
        "kafka:\n  budget:\n    bytes_per_day: 5000\n    bulk: {bytes_per_day: 6000}",
        (
            "c.yaml:7: kafka.budget.bulk.bytes_per_day: is more than the whole link's, which is 5000 "
            "(hint: lower it, or remove it)"
        ),
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
        f"c.yaml:3: gateway.site: holds a ${{ that is no ${{NAME}} or ${{NAME:-default}} {WIRES}",
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
        ["c.yaml:16", "the key unit stands here for a second time, first in line 15 (hint"],
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


def test_a_message_obeys_no_control_characters():
    (line,) = problems_of(changed("id: barge-1", r'id: "\e[31m\nx"'))
    assert line.isprintable()


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES.values(), ids=MISTAKES)
def test_every_line_says_what_to_do(old, new, line):
    assert all(
        "(hint: " in problem and not problem.endswith("(hint: )") for problem in problems_of(changed(old, new))
    )
