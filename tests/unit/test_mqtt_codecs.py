"""Payloads, among them those that devices really publish."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt import PayloadSettings
from drivers.mqtt.codecs import EARLIEST, LATEST, Unread, codec, look_at_spelling, same_unit
from drivers.mqtt.settings import Misspelt

CAPTURED = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "payloads" / "mqtt_payloads.jsonl").read_text().splitlines()
]


def captured(topic: str, number: int = 0) -> bytes:
    return [message for message in CAPTURED if message["topic"] == topic][number]["payload"].encode()


def read(payload: bytes, **settings):
    return codec(PayloadSettings(**settings))(payload)


def refused(payload: bytes, **settings) -> str:
    with pytest.raises(Unread) as reason:
        read(payload, **settings)
    return str(reason.value)


@pytest.mark.parametrize(
    ("topic", "path", "value"),
    [
        ("tele/D3-H12KW/SENSOR", "DS18B20-1.Temperature", 38.2),
        ("tele/D3-H12KW/SENSOR", "DS18B20-2.Temperature", 37.6),
        ("tele/D3-H12KW/SENSOR", "ANALOG.CTEnergy1.Energy", 62.962),
        ("tele/test/SENSOR", "DS18B20-4.Temperature", 8.0),
        ("zigbee2mqtt/FRIENDLY_NAME", "temperature", 27.34),
        ("zigbee2mqtt/FRIENDLY_NAME", "humidity", 44.72),
        ("application/d63c10b6-9263-4ab3-9299-4308fa19a2ad/device/a84041f621857cd2/event/up",
         "object.soiltemperature", -0.1),
        ("application/d63c10b6-9263-4ab3-9299-4308fa19a2ad/device/a84041f621857cd2/event/up",
         "object.soilmoisture", 0.0),
        ("farm/senml", "0.v", 23.1),
        ("shelly1/events/rpc", "params.switch:1.apower", 0.0),
        ("te/device/main///m/environment", "temperature", 25.0),
        ("waterquality/WQM-001/sensors/live", "sensors.dissolved_oxygen.value", 6.5),
        ("waterquality/WQM-001/sensors/live", "sensors.turbidity.value", 2100.0),
    ],
)  # fmt: skip
def test_captured_documents_are_read_by_path(topic, path, value):
    assert read(captured(topic), format="json", value=path)[0] == value


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        ("shellies/shellyht-3CBD1F/sensor/temperature", 22.5),
        ("pond-node/sensor/water_temperature/state", 23.1),
        ("homeassistant/sensor/zhuwo/temperature/state", 15.5),
    ],
)
def test_captured_plain_numbers_are_read(topic, value):
    assert read(captured(topic)) == (value, None, None)


@pytest.mark.parametrize("topic", ["tele/test/LWT", "zigbee2mqtt/bridge/state", "pond-node/status"])
@pytest.mark.parametrize("how", [{"format": "number"}, {"format": "json"}, {"format": "json", "value": "a.b"}])
def test_a_last_will_is_no_reading(topic, how):
    assert refused(captured(topic), **how) in ("the payload is not a number", "it is not JSON")


@pytest.mark.parametrize("message", CAPTURED, ids=lambda message: message["topic"])
def test_nothing_captured_is_read_by_a_path_that_is_not_in_it(message):
    reason = refused(message["payload"].encode(), format="json", value="no.such.field")
    assert reason in ("there is no no.such.field", "it is not JSON")


def test_times_and_units_that_devices_state_are_kept():
    up = captured("application/17c82e96-be03-4f38-aef3-f83d48582d97/device/0101010101010101/event/up")
    _, at, _ = read(up, format="json", value="fPort", at="time")
    assert at == datetime(2022, 7, 18, 9, 34, 15, 775023, tzinfo=UTC)
    shelly = captured("shelly1/events/rpc")
    assert read(shelly, format="json", value="params.switch:1.apower", at="params.ts")[1] == datetime(
        2023, 1, 30, 10, 3, 5, 860000, tzinfo=UTC
    )
    fish = captured("waterquality/WQM-001/sensors/live")
    assert read(fish, format="json", value="sensors.temperature.value", unit="sensors.temperature.unit") == (
        28.0,
        None,
        "°C",
    )


def test_a_local_time_without_its_zone_is_refused():
    tasmota = captured("tele/D3-H12KW/SENSOR")
    assert "has no zone" in refused(tasmota, format="json", value="DS18B20-1.Temperature", at="Time")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("true", "value is true or false, not a number"),
        ("null", "value is null, not a number"),
        ("[1]", "value is a list, not a number"),
        ("{}", "value is an object, not a number"),
        ('"on"', "value is not a number"),
        ('"NaN"', "value is not a number"),
        ('"inf"', "value is not a number"),
        ('""', "value is empty"),
        ("NaN", "it is not JSON"),
        ("Infinity", "it is not JSON"),
        ("1e999", "it is not JSON"),
        ('"1e999"', "value is out of range"),
        ('"1_0"', "value is not a number"),
        ('"23,1"', "value is not a number"),
        ('"\\ud800"', "it is not JSON"),
    ],
)
@pytest.mark.parametrize("how", [{}, {"unit": "unit"}])
def test_what_is_no_number_is_refused_with_a_reason(value, reason, how):
    payload = b'{"value": ' + value.encode() + b', "unit": "degC"}'
    assert refused(payload, format="json", **how) == reason


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "the payload is empty"),
        (b"  \n", "the payload is empty"),
        (b"nan", "the payload is not a number"),
        (b"-Infinity", "the payload is not a number"),
        (b"1_000", "the payload is not a number"),
        (b"0x10", "the payload is not a number"),
        (b"23.1 C", "the payload is not a number"),
        (b"1e400", "the payload is out of range"),
        (b"\xff\xfe", "the payload is not a number"),
        (b"true", "the payload is not a number"),
        (b"1 2", "the payload is not a number"),
        ("\u0661".encode(), "the payload is not a number"),
    ],
)
def test_plain_payloads_are_decimal_numbers_and_nothing_else(payload, reason):
    assert refused(payload) == reason


@pytest.mark.parametrize(
    ("payload", "value"), [(b" 23.1\n", 23.1), (b"-0.5", -0.5), (b"+1e3", 1000.0), (b".5", 0.5), (b"5.", 5.0)]
)
def test_plain_numbers_may_be_written_in_any_usual_way(payload, value):
    assert read(payload)[0] == value


def test_a_number_written_as_a_text_is_a_number():
    assert read(b'{"value": "7.25"}', format="json")[0] == 7.25


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"[1, 2]", "it is a list, not a JSON object"),
        (b"23.1", "it is a number, not a JSON object"),
        (b'"x"', "it is a text, not a JSON object"),
        (b"{}", "there is no value"),
        (b'{"value": ', "it is not JSON"),
    ],
)
def test_documents_without_the_field_say_so(payload, reason):
    assert refused(payload, format="json") == reason


@pytest.mark.parametrize(
    ("at", "meant"),
    [
        ('"2026-11-23T10:00:00Z"', datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ('"2026-11-23T12:00:00+02:00"', datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("1795428000", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("1795428000.5", datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("1795428000000", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("1795428000500.0", datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("path", ["at", "meta.at"])
def test_times_are_iso_8601_or_seconds_or_milliseconds(at, meant, path):
    payload = b'{"value": 1, "at": %b, "meta": {"at": %b}}' % (at.encode(), at.encode())
    found = read(payload, format="json", at=path)[1]
    assert found == meant
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("0", "out of range"),
        ("946684805", "out of range"),
        ("-1", "out of range"),
        ("1e300", "out of range"),
        ("4102444800", "out of range"),
        ('"1970-01-01T00:00:10Z"', "out of range"),
        ('"9999-12-31T23:59:59-14:00"', "out of range"),
        ('"yesterday"', "not ISO 8601"),
        ('""', "not ISO 8601"),
        ("true", "is true or false"),
        ("null", "is null"),
        ("[]", "is a list"),
    ],
)
def test_times_that_cannot_be_are_refused(at, reason):
    assert reason in refused(b'{"value": 1, "at": %b}' % at.encode(), format="json", at="at")


def test_a_time_that_is_missing_is_refused():
    assert refused(b'{"value": 1}', format="json", at="at") == "there is no at"
    assert refused(b'{"value": 1}', format="json", at="a.t") == "there is no a.t"


def test_a_counter_must_be_there_where_one_is_named():
    assert read(b'{"value": 1, "n": 5}', format="json", counter="n")[0] == 1.0
    assert refused(b'{"value": 1}', format="json", counter="n") == "there is no n"


def test_a_dot_inside_a_key_is_escaped():
    assert read(b'{"a.b": {"c": 4}}', format="json", value=r"a\.b.c")[0] == 4


@pytest.mark.parametrize(("one", "other"), [("°C", "degC"), ("Cel", "degC"), ("mg/L", "mg/l"), ("percent", "%")])
def test_units_written_differently_are_one(one, other):
    assert same_unit(one, other)


def test_units_that_differ_are_not():
    assert not same_unit("°C", "degF")


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(["value", "at", "u"]), children)
    ),
    max_leaves=8,
)


@given(
    st.binary() | ANY_JSON.map(lambda document: json.dumps(document).encode()),
    st.sampled_from(["value", "value.at", "0", "value.0.u"]),
    st.sampled_from([None, "at", "at.u"]),
    st.sampled_from([None, "u"]),
    st.sampled_from(["json", "number"]),
)
def test_any_payload_is_a_finite_value_in_utc_or_a_reason(payload, value, at, unit, form):
    try:
        number, time, name = read(payload, format=form, value=value, at=at, unit=unit)
    except Unread as reason:
        assert 0 < len(str(reason)) < 120  # noqa: PT017 - either end is right, each has its own demand
    else:
        assert type(number) is float
        assert math.isfinite(number)
        assert time is None or EARLIEST <= time < LATEST
        assert name is None or isinstance(name, str)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives(value):
    assert read(orjson.dumps({"value": value}), format="json")[0] == value
    assert read(repr(value).encode())[0] == value


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("$.do", "do"),
        ("$['a']['b']", "a.b"),
        ('$.values[0]["v.x"]', r"values.0.v\.x"),
        ("values[0].v", "values.0.v"),
        ("values.[0].v", "values.0.v"),
        ("[0].v", "0.v"),
        (".a.b", "a.b"),
        ("/a~1b/c.d", r"a/b.c\.d"),
    ],
)
def test_a_path_of_another_spelling_is_named_with_the_right_one(path, right):
    with pytest.raises(Misspelt) as named:
        look_at_spelling(path)
    assert named.value.hint == f"write {right}"
    look_at_spelling(right)
    codec(PayloadSettings("json", right))


@pytest.mark.parametrize("path", ["$", "$..do", "$[*].v", "$.a[?(@.b)]", "a[1"])
def test_what_is_not_the_path_of_one_field_is_named_with_an_example(path):
    with pytest.raises(Misspelt) as named:
        look_at_spelling(path)
    assert "such as data." in named.value.hint


@pytest.mark.parametrize("path", ["", " a", "a..b", "a."])
def test_a_path_with_an_empty_level_is_refused(path):
    with pytest.raises(Misspelt) as refused:
        codec(PayloadSettings("json", path))
    assert "such as data." in refused.value.hint


def test_a_key_may_hold_what_looks_like_another_spelling():
    assert read(b'{"DI[0]":{"$":{"/x":7}}}', format="json", value=r"DI\[0].\$.\/x") == (7.0, None, None)
    assert read(b'{"$x":7}', format="json", value="$x") == (7.0, None, None)
    # As it was read before there was a way to write it: what runs must not stop at an upgrade.
    assert read(b'{"DI[0]":7}', format="json", value="DI[0]") == (7.0, None, None)
