"""P1 to P5 of agent/config/rules/pins.py: what a push may change, key by key, and what config.yaml pins."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml

from agent.config import ConfigErrors, Pins, parse
from agent.config.rules.pins import FREE, NEVER, keys
from agent.config.schema import Config
from agent.config.wording import section_of
from drivers.patterns import Keys

REFUSED = "a push may not"
LOGIN = {"username": "gw", "password_file": "password"}
DOCUMENT: dict[str, Any] = {
    "gateway": {"id": "gw-1", "site": "site-1"},
    "kafka": {"brokers": ["kafka:9092"], "security": "sasl_ssl", **LOGIN, "budget": {"bytes_per_day": 5_000_000}},
    "mqtt": [
        {
            "name": "barge",
            "local": True,
            **LOGIN,
            "tls": {"ca_file": "ca.pem"},
            "subscriptions": [
                {
                    "topic": "application/+/device/+/event/+",
                    "payload": {"format": "chirpstack", "layout": [{"channel": "do", "type": "u16", "at": 4}]},
                    "channels": [
                        {"channel": "do", "sensor_id": "t_oxygen"},
                        {"channel": "second", "sensor_id": "t_second"},
                        {"channel": "third", "sensor_id": "t_third"},
                    ],
                }
            ],
        },
        {"name": "shed", "host": "10.0.0.9"},
    ],
    "sensors": [
        {"id": f"t_{name}", "type": "oxygen", "unit": "mg/L", "tank": tank, "limits": {"low": -5, "high": 50}}
        for name, tank in (("oxygen", "t"), ("second", "t"), ("third", "u"))
    ],
    "quality": [{"sensor": "t_oxygen", "neighbour": "t_second", "tolerance": 1, "high": 50}],
    "rules": [{"sensor": "t_oxygen"}],
    "alerting": {"maintenance": [{"tank": "t", "begins": "07:30", "ends": "08:30"}]},
    "derived": [{"id": "t_change", "kind": "rate", "tank": "t", "of": "t_oxygen"}],
    "calibrations": [{"sensor": "t_oxygen", "coefficients": [0, 1.1], "done": "2026-03-01", "by": "Ida"}],
    "farm": {
        "tanks": [{"tank": "t", "score": [{"sensor": "t_oxygen", "low": 6}]}],
        "lice_limits": [{"limit": 0.5}],
    },
    "cameras": [{"name": "pen", "source": "rtsp://10.0.0.7/main", "tank": "t", "model": "fish"}],
    "models": [{"name": "fish", "path": "package:fish/1"}],
    "fleet": {"partition": 0},
}
CONNECTION = {
    "brokers",
    "security",
    "sasl_mechanism",
    "username",
    "password_file",
    "host",
    "port",
    "local",
    "client_id",
}
"""Where Kafka and MQTT are, and how one logs in there."""


OF_ITS_OWN = {
    "fleet.may_change": ["http"],
    "kafka.brokers": ["evil.example:9092"],
    "cameras.source": "/dev/video9",
    "kafka.budget.bytes_per_day": 6_000_000,
    "calibrations.points": [[0, 0], [1, 2]],
    "calibrations.coefficients": [0, 1.2],
    "calibrations.done": "2026-03-02",
    "farm.zone": "Europe/Oslo",
    "quality.sensor": "t_third",
    "quality.neighbour": "t_third",
    "rules.sensor": "t_third",
    "alerting.zone": "Europe/Oslo",
    "alerting.maintenance.tank": "u",
    "alerting.maintenance.begins": "09:00",
    "alerting.maintenance.ends": "09:00",
}
"""Other values of keys whose type alone does not say what they may be."""


@pytest.fixture
def folder(tmp_path):
    for name in ("password", "other", "ca.pem"):
        (tmp_path / name).write_text("hunter2\n")
    return tmp_path


def pins_of(folder, document, env=None):
    text = yaml.safe_dump(document)
    return Pins(text, parse(text, "config.yaml", env or {}, folder=folder))


def refused(folder, config_yaml, pushed, env=None):
    """The problems of a push on a gateway with this config.yaml, as (key, message)."""
    try:
        parse(yaml.safe_dump(pushed), "push", env or {}, folder=folder, pushed=True,
              pins=pins_of(folder, config_yaml, env))  # fmt: skip
    except ConfigErrors as errors:
        return [(problem.path, problem.message) for problem in errors.problems]
    return []


def pinned(folder, config_yaml, pushed, env=None):
    return [path for path, message in refused(folder, config_yaml, pushed, env) if message.startswith(REFUSED)]


def field_of(key):
    section, field = Config, None
    for part in key.split("."):
        field = section.model_fields[part]
        section = section_of(field.annotation) or section
    return field


LEAVES = [key for key in keys() if section_of(field_of(key).annotation) is None]
OPTIONAL_SECTIONS = [
    key
    for key in keys()
    if section_of(field_of(key).annotation) and field_of(key).default is None and key not in Keys(FREE)
]


def choices(annotation):
    """The plain types and literal values that an annotation allows."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if isinstance(annotation, type):
        return [annotation]
    return [found for part in get_args(annotation) for found in choices(part)]


def bounds(key):
    found = {"ge": None, "le": None, "gt": None, "lt": None}
    field = field_of(key)
    for part in field.metadata:
        found |= {bound: getattr(part, bound) for bound in found if getattr(part, bound, None) is not None}
    return found


def another(key, current):
    """A value of the key's type that is not its present one."""
    if key in OF_ITS_OWN:
        return OF_ITS_OWN[key]
    kinds = choices(field_of(key).annotation)
    if Path in kinds:
        return "other"
    if bool in kinds:
        return not current
    if int in kinds or float in kinds:
        limit = bounds(key)
        low = limit["ge"] if limit["ge"] is not None else limit["gt"]
        high = limit["le"] if limit["le"] is not None else limit["lt"]
        middle = ((low or 0) + (high if high is not None else (low or 0) + 10)) / 2
        return int(middle) if int in kinds else middle + 0.01
    literals = [kind for kind in kinds if not isinstance(kind, type)]
    return next(value for value in literals if value != current) if literals else "other"


def changed(document, key):
    """The document with this one key changed; the parts of it that are lists at their first entry."""
    document = copy.deepcopy(document)
    place, config = document, Config.model_validate(document)
    *parts, last = key.split(".")
    for part in parts:
        place = place.setdefault(part, {})
        config = getattr(config, part)
        if isinstance(place, list):
            place, config = place[0], config[0]
    place[last] = another(key, getattr(config, last))
    return document


def must_be_pinned(key):
    return (
        key.split(".")[0] in ("gateway", "fleet", "http")
        or key == "cameras.source"
        or Path in choices(field_of(key).annotation)
        or (key.split(".")[0] in ("kafka", "mqtt") and key.split(".")[-1] in CONNECTION)
        or key.startswith("mqtt.tls.")
    )


@pytest.mark.parametrize("key", LEAVES)
def test_p1_a_push_changes_a_key_only_if_it_is_free(folder, key):
    document = copy.deepcopy(DOCUMENT)
    push = changed(document, key)
    assert push != document
    said = [path.replace("[0]", "") for path in pinned(folder, document, push)]
    if key in Keys(FREE) and not must_be_pinned(key):
        assert said == []
    else:
        assert key in said, "pinned unless FREE names it"


@pytest.mark.parametrize("key", LEAVES)
def test_p2_config_yaml_may_leave_a_key_to_pushes(folder, key):
    if key in Keys(NEVER):
        listed = DOCUMENT | {"fleet": {"partition": 0, "may_change": [key]}}
        with pytest.raises(ConfigErrors, match="is never changed by a push"):
            pins_of(folder, listed)
        return
    document = DOCUMENT | {"fleet": {"partition": 0, "may_change": [key]}}
    if key != "mqtt.name":  # a new name alone is a new connection: TestAnMqttConnection
        assert pinned(folder, document, changed(document, key)) == []
    section = key.split(".")[0]
    if section != key:
        document = DOCUMENT | {"fleet": {"partition": 0, "may_change": [section]}}
        assert pinned(folder, document, changed(document, key)) == []


@pytest.mark.parametrize("key", OPTIONAL_SECTIONS)
def test_p1_a_section_that_is_pinned_can_be_neither_left_out_nor_added(folder, key):
    without, with_it = copy.deepcopy(DOCUMENT), copy.deepcopy(DOCUMENT)
    *parts, last = key.split(".")
    place = without
    for part in parts:
        place = place[part][0] if isinstance(place[part], list) else place[part]
    del place[last]
    assert [path.replace("[0]", "") for path in pinned(folder, with_it, without)] == [key]
    if key != "fleet":  # without it no push comes
        assert [path.replace("[0]", "") for path in pinned(folder, without, with_it)] == [key]


def test_p2_what_may_change_lists_must_be_a_key():
    for key, hint in (
        ("kafka.broker", "did you mean kafka.brokers?"),
        ("mqtt[0].host", "did you mean mqtt.host?"),
        ("nonsense", "docs/CONFIG.md"),
    ):
        with pytest.raises(ConfigErrors) as caught:
            parse(yaml.safe_dump(DOCUMENT | {"fleet": {"partition": 0, "may_change": [key]}}), env={})
        (problem,) = [one for one in caught.value.problems if one.path == "fleet.may_change[0]"]
        assert hint in problem.hint


class TestAnMqttConnection:
    """P3."""

    def test_p3_that_is_new_may_not_bring_a_password_to_its_broker(self, folder):
        push = copy.deepcopy(DOCUMENT)
        push["mqtt"].append({"name": "evil", "host": "evil.example", **LOGIN})
        assert pinned(folder, DOCUMENT, push) == ["mqtt[2].name"]
        for listed, said in ((["mqtt.name"], ["host", "username", "password_file"]), (["mqtt"], [])):
            config_yaml = DOCUMENT | {"fleet": {"partition": 0, "may_change": listed}}
            push["fleet"] = config_yaml["fleet"]
            assert pinned(folder, config_yaml, push) == [f"mqtt[2].{key}" for key in sorted(said)]

    def test_p3_may_not_get_the_password_of_another(self, folder):
        push = copy.deepcopy(DOCUMENT)
        push["mqtt"][1] |= LOGIN
        assert pinned(folder, DOCUMENT, push) == ["mqtt[1].password_file", "mqtt[1].username"]

    def test_p3_may_stand_in_another_place_of_the_list(self, folder):
        push = copy.deepcopy(DOCUMENT)
        push["mqtt"].reverse()
        assert refused(folder, DOCUMENT, push) == []


class TestACamera:
    """P4."""

    @pytest.mark.parametrize(
        "source",
        ["/etc/shadow", "/dev/video0", "rtsps://10.0.0.8/main", "file:///etc/shadow", "http://10.0.0.7/", "password"],
    )
    def test_p4_may_not_have_a_source_of_another_kind(self, folder, source):
        push = copy.deepcopy(DOCUMENT)
        push["cameras"].append({"name": "new", "source": source, "tank": "t"})
        assert "cameras[1].source" in pinned(folder, DOCUMENT, push)

    def test_p4_may_have_another_address_of_a_known_kind(self, folder):
        push = copy.deepcopy(DOCUMENT)
        push["cameras"].append({"name": "new", "source": "rtsp://10.0.0.8/main", "tank": "t"})
        assert refused(folder, DOCUMENT, push) == []

    def test_p4_may_not_send_its_login_to_another_address(self, folder):
        env = {"TIDEGATE_CAMERA": "viewer:hunter2"}
        document, push = copy.deepcopy(DOCUMENT), copy.deepcopy(DOCUMENT)
        document["cameras"][0]["source"] = "rtsp://${TIDEGATE_CAMERA}@10.0.0.7/main"
        push["cameras"][0]["source"] = "rtsp://${TIDEGATE_CAMERA}@evil.example/main"
        assert refused(folder, document, document, env) == []
        assert pinned(folder, document, push, env) == ["cameras[0].source"]

    def test_p4_a_model_is_one_that_config_yaml_names(self, folder):
        push = copy.deepcopy(DOCUMENT)
        push["models"].append({"name": "same", "path": "package:fish/1"})
        assert refused(folder, DOCUMENT, push) == []
        push["models"].append({"name": "other", "path": "/tmp/model"})
        assert pinned(folder, DOCUMENT, push) == ["models[2].path"]


def test_p5_a_variable_may_not_be_sent_upstream_under_another_key(folder):
    env = {"TIDEGATE_CAMERA": "hunter2", "TIDEGATE_TANK": "t"}
    document, push = copy.deepcopy(DOCUMENT), copy.deepcopy(DOCUMENT)
    document["cameras"][0]["source"] = "rtsp://viewer:${TIDEGATE_CAMERA}@10.0.0.7/main"
    document["sensors"][0]["tank"] = "${TIDEGATE_TANK}"
    push["cameras"] = document["cameras"]
    push["sensors"][0]["tank"] = "${TIDEGATE_TANK}"
    assert refused(folder, document, push, env) == []
    push["sensors"][0]["tank"] = "${TIDEGATE_CAMERA}"
    ((path, message),) = refused(folder, document, push, env)
    assert path == "sensors[0].tank"
    assert message == "a push may not use TIDEGATE_CAMERA in this key, because config.yaml does not"


def test_p1_a_push_does_not_learn_which_files_there_are(folder):
    for name in ("/etc/shadow", "/nowhere", "other"):
        push = copy.deepcopy(DOCUMENT)
        push["kafka"]["ca_file"] = name
        assert refused(folder, DOCUMENT, push) == [
            ("kafka.ca_file", "a push may not change this key, and config.yaml says otherwise")
        ]


def test_p1_a_password_file_that_config_yaml_names_may_lie_anywhere(folder, tmp_path_factory):
    away = tmp_path_factory.mktemp("away") / "password"
    away.write_text("hunter2\n")
    document = copy.deepcopy(DOCUMENT)
    document["kafka"]["password_file"] = str(away)
    assert refused(folder, document, document) == []


def test_p1_the_same_values_in_another_spelling_are_no_change(folder):
    push = copy.deepcopy(DOCUMENT)
    push["kafka"] |= {"brokers": "kafka:9092", "password_file": str(folder / "password")}
    push["http"] = {"port": "9464"}
    assert refused(folder, DOCUMENT, push) == []


def test_p1_a_path_is_pinned_in_a_free_section_too(folder):
    """There is none yet; a key that comes later must not need somebody to think of it."""
    pins = pins_of(folder, DOCUMENT)
    assert pins._is_pinned("mqtt.subscriptions.payload.schema_file", Path | None)
    assert pins._is_pinned("sensors.files", list[Path])
    assert not pins._is_pinned("mqtt.subscriptions.payload.value", str | None)
