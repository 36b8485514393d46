"""Values that are well written and do not fit each other, what they stand for or what they name: one line each."""

from __future__ import annotations

import pytest

from tests.support.document import changed, problems_of

UNITS = "the unit of temperature must be degC, degF or K"
MISTAKES = {
    "a unit of another kind": (
        "unit: degC",
        "unit: NTU",
        f"c.yaml:15: sensors[0].unit: {UNITS}, not NTU (hint: degC is usual; or is the type wrong?)",
    ),
    "limits the wrong way round": (
        "{low: 4, high: 18}",
        "{low: 18, high: 4}",
        "c.yaml:17: sensors[0].limits.low: must be below high, which is 4 (hint: are the two swapped?)",
    ),
    "limits that cannot clear": (
        "{low: 4, high: 18}",
        "{low: 4, high: 18, hysteresis: 14}",
        (
            "c.yaml:17: sensors[0].limits.hysteresis: must be less than the 14 between low and high "
            "(hint: lower it; otherwise an alert could never clear)"
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
        "c.yaml:12: mqtt[1].name: barge is also the name of mqtt[0] in line 7 (hint: give one of them another name)",
    ),
    "two sessions of one name": (
        "    local: true",
        "    local: true\n    client_id: a\n  - name: other\n    client_id: a",
        (
            "c.yaml:11: mqtt[1].client_id: mqtt[0] has the same client_id at the same broker "
            "(hint: give each its own; otherwise each connection ends the other)"
        ),
    ),
    "a wildcard in the middle": (
        "farm/{site}/{tank}/{metric}",
        "farm/#/{site}/{tank}/{metric}",
        (
            "c.yaml:10: mqtt[0].subscriptions[0].topic: level 2, #: # may only be the whole last level "
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
            "c.yaml:10: mqtt[0].subscriptions[0].topic: {farm} is not a placeholder "
            "(hint: there are {site}, {tank}, {metric}, {sensor}; + stands for any other level)"
        ),
    ),
    "a topic without what names are made of": (
        "farm/{site}/{tank}/{metric}",
        "farm/{tank}/temperature",
        (
            "c.yaml:10: mqtt[0].subscriptions[0].topic: has no {metric}, "
            "so the subscription needs sensor_id and sensor_type (hint: add sensor_id: … to it)"
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
    "a field of the payload that is named like a level": (
        "        qos: 1",
        '        payload: {format: json}\n        sensor_type: "{sensor}"',
        (
            "c.yaml:12: mqtt[0].subscriptions[0].sensor_type: {sensor} is not in the topic (hint: the topic has "
            "{site}, {tank} and {metric}; a field of the payload goes by another name, as in "
            "sensor_type: '{data.sensor}')"
        ),
    ),
    "a name from a payload that has no fields": (
        "        qos: 1",
        '        sensor_id: "{id}"',
        (
            "c.yaml:11: mqtt[0].subscriptions[0].sensor_id: {id} is not in the topic (hint: the topic has {site}, "
            "{tank} and {metric}; to take it from a field of the payload, set payload.format: json)"
        ),
    ),
    "a name from a field without a name": (
        "        qos: 1",
        '        payload: {format: json}\n        sensor_id: "{a..b}"',
        (
            "c.yaml:12: mqtt[0].subscriptions[0].sensor_id: {a..b} is not the path of a field "
            "(hint: such as {id} or {device.eui})"
        ),
    ),
    "a zone without a time": (
        "        qos: 1",
        "        payload: {format: json, at_zone: UTC}",
        (
            "c.yaml:11: mqtt[0].subscriptions[0].payload.at_zone: has no effect without at "
            "(hint: name the field of the time in at)"
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
        "c.yaml:11: mqtt[0].subscriptions[0].payload.at: has no effect on plain numbers (hint: set format: json)",
    ),
    "a field path with a hole": (
        "        qos: 1",
        "        payload: {format: json, value: a..b}",
        (
            "c.yaml:11: mqtt[0].subscriptions[0].payload.value: the path a..b has an empty level, "
            "or a space at one end (hint: write it such as data.temp or values.0.v)"
        ),
    ),
    "a path of JSONPath": (
        "        qos: 1",
        "        payload: {format: json, value: $.do}",
        (
            "c.yaml:11: mqtt[0].subscriptions[0].payload.value: the path $.do is not in this program's notation "
            "(hint: write do)"
        ),
    ),
    "a path with brackets": (
        "        qos: 1",
        "        payload: {format: json, at: 'values[0].t'}",
        (
            "c.yaml:11: mqtt[0].subscriptions[0].payload.at: the path values[0].t is not in this program's notation "
            "(hint: write values.0.t)"
        ),
    ),
    "a host with its port": (
        "    local: true",
        "    local: true\n    host: 10.0.0.7:1883",
        "c.yaml:9: mqtt[0].host: 10.0.0.7:1883 has a port in it (hint: write the port into the key port)",
    ),
    "an address in brackets": (
        "    local: true",
        "    local: true\n    host: '[::1]'",
        "c.yaml:9: mqtt[0].host: [::1] has brackets around it (hint: write the address without [ and ])",
    ),
    "an address in brackets with its port": (
        "sensors:",
        "http:\n  host: '[::]:9464'\nsensors:",
        (
            "c.yaml:13: http.host: [::]:9464 has a port in it "
            "(hint: write the port into the key port, and the address without brackets)"
        ),
    ),
    "an address that cannot be": (
        "    local: true",
        "    local: true\n    host: 10.0.0.256",
        "c.yaml:9: mqtt[0].host: 10.0.0.256 is not an IPv4 address (hint: look for a missing or wrong part)",
    ),
    "half an IPv6 address": (
        "    local: true",
        "    local: true\n    host: fd00:7",
        "c.yaml:9: mqtt[0].host: fd00:7 has a port in it (hint: write the port into the key port)",
    ),
    "a name with a hole": (
        "    local: true",
        "    local: true\n    host: broker..farm",
        (
            "c.yaml:9: mqtt[0].host: broker..farm cannot be the name of a host "
            "(hint: between two dots there are 1 to 63 characters)"
        ),
    ),
    "an address with its scheme": (
        "    local: true",
        "    local: true\n    host: mqtt://broker",
        (
            "c.yaml:9: mqtt[0].host: must be a host name or an address, not mqtt://… "
            "(hint: write it without mqtt://; the port has a key of its own)"
        ),
    ),
    "a camera over HTTP": (
        "rtsp://10.0.0.7/main",
        "http://10.0.0.7/main",
        (
            "c.yaml:23: cameras[0].source: cameras are not read from http:// addresses "
            "(hint: use the camera's rtsp:// address; its manual or web page names it)"
        ),
    ),
    "a raw # in a camera's password": (
        "rtsp://10.0.0.7/main",
        "rtsp://viewer:pa#ss@10.0.0.7/main",
        (
            "c.yaml:23: cameras[0].source: the login in the rtsp:// address has a raw # "
            "(hint: write %23 in place of #)"
        ),
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
            "(hint: lower it; otherwise nothing but alarms would be sent)"
        ),
    ),
    "a reserve of no budget": (
        "kafka:",
        "kafka:\n  budget: {alert_reserve_bytes: 1000}",
        (
            "c.yaml:5: kafka.budget.alert_reserve_bytes: has no effect without bytes_per_day "
            "(hint: set bytes_per_day as well)"
        ),
    ),
    "a lane with more than the link": (
        "kafka:",
        "kafka:\n  budget:\n    bytes_per_day: 5000\n    bulk: {bytes_per_day: 6000}",
        (
            "c.yaml:7: kafka.budget.bulk.bytes_per_day: is more than the whole link's, which is 5000 "
            "(hint: lower it, or remove it)"
        ),
    ),
}


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_by_its_line(old, new, line):
    assert line in problems_of(changed(old, new))


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES.values(), ids=MISTAKES)
def test_every_line_says_what_to_do(old, new, line):
    assert all(
        "(hint: " in problem and not problem.endswith("(hint: )") for problem in problems_of(changed(old, new))
    )
