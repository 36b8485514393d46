"""Payloads, among them those that devices really publish."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt import PayloadSettings
from drivers.mqtt.codecs import EARLIEST, LATEST, Unread, codec, documents, identity

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
    assert refused(captured(topic), **how) in (
        "the payload is not a number",
        "the payload has text after the number that is not a known unit",
        "it is not JSON",
    )


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


def test_a_local_time_without_its_zone_is_read_only_if_config_names_the_zone():
    tasmota = captured("tele/D3-H12KW/SENSOR")
    how = {"format": "json", "value": "DS18B20-1.Temperature", "at": "Time"}
    assert read(tasmota, **how) == (38.2, "no_zone", None)
    _, utc, _ = read(tasmota, **how, at_zone="UTC")
    _, oslo, _ = read(tasmota, **how, at_zone="Europe/Oslo")
    assert utc - oslo in (timedelta(hours=1), timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("true", "value is true or false, not a number: set payload.switch to read it as 1 or 0"),
        ("null", "value is null, not a number"),
        ("[1]", "value is a list, not a number"),
        ("{}", "value is an object, not a number"),
        ('"on"', "value is a word such as ON or OFF: set payload.switch to read it as 1 or 0"),
        ('"NaN"', "value says that the device has no value"),
        ('"inf"', "value says that the device has no value"),
        ('""', "value is empty"),
        ("NaN", "value is nan, not a number"),
        ("nan", "value is nan, not a number"),
        ("-nan(ind)", "value is nan, not a number"),
        ("-inf", "value is infinite, not a number"),
        ("Infinity", "value is infinite, not a number"),
        ("None", "value is null, not a number"),
        ("undefined", "value is null, not a number"),
        ("", "value is null, not a number"),
        ("1e999", "value is out of range, not a number"),
        ("1" + "0" * 400, "value is out of range, not a number"),
        ("nanny", "it is not JSON"),
        ("01", "it is not JSON"),
        ('"1e999"', "value is out of range"),
        ('"1_0"', "value is not a number"),
        ('"23,1"', "value has a decimal comma: set payload.decimal_comma if it is one"),
        ('"23.1 furlongs"', "value has text after the number that is not a known unit"),
        ('"\\ud800"', "value is not a number"),
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
        (b"\0", "the payload is empty"),
        (b"nan", "the payload says that the device has no value"),
        (b"NULL", "the payload says that the device has no value"),
        (b"-Infinity", "the payload says that the device has no value"),
        (b"1_000", "the payload is not a number"),
        (b"0x10", "the payload has text after the number that is not a known unit"),
        (b"7.25 C\0C", "the payload has text after the number that is not a known unit"),
        (b"1e400", "the payload is out of range"),
        (b"\xff\xfe", "the payload is not a number"),
        (b"true", "the payload is a word such as ON or OFF: set payload.switch to read it as 1 or 0"),
        (b"Online", "the payload is not a number"),
        (b"7,25", "the payload has a decimal comma: set payload.decimal_comma if it is one"),
        (b"1.007,25", "the payload is not a number"),
        (b"12:30", "the payload is not a number"),
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


@pytest.mark.parametrize("payload", [b"7.25\0", b"7.25\r\n\0\0", b'{"value":7.25}\0', b'\xef\xbb\xbf{"value":7.25}'])
def test_what_a_device_leaves_around_its_text_costs_nothing(payload):
    assert read(payload, format="json" if b"{" in payload else "number")[0] == 7.25


@pytest.mark.parametrize(
    ("payload", "unit"),
    [(b"7.25 mg/L", "mg/L"), (b"7.25mg/l\0", "mg/L"), ("7.25 °C".encode(), "degC"), (b"7.25%", "%")],
)
def test_a_unit_behind_a_number_is_read_with_it(payload, unit):
    assert read(payload) == (7.25, None, unit)
    assert read(b'{"value": "%b"}' % payload.rstrip(b"\0"), format="json") == (7.25, None, unit)


@pytest.mark.parametrize(("text", "value"), [("7,25", 7.25), ("-0,5 mg/L", -0.5), ("7.25", 7.25), ("7", 7.0)])
def test_a_decimal_comma_is_read_if_config_says_so(text, value):
    assert read(text.encode(), decimal_comma=True)[0] == value
    assert read(b'{"value": "%b"}' % text.encode(), format="json", decimal_comma=True)[0] == value


@pytest.mark.parametrize("text", ["7,25,3", "1.007,25", ",5", "7, 25"])
def test_what_may_be_two_numbers_is_not_read_with_a_decimal_comma(text):
    assert "number" in refused(text.encode(), decimal_comma=True)


@pytest.mark.parametrize(("word", "value"), [("ON", 1), ("off", 0), ("True", 1), ("false", 0), ("yes", 1), ("No", 0)])
def test_words_of_a_switch_are_read_if_config_says_so(word, value):
    assert read(word.encode(), switch=True) == (value, None, None)
    assert read(b'{"value": "%b"}' % word.encode(), format="json", switch=True) == (value, None, None)
    assert read(b'{"value": true}', format="json", switch=True)[0] == 1
    assert read(b"3", switch=True)[0] == 3


@pytest.mark.parametrize(
    "beside",
    ["nan", "NaN", "-nan", "-nan(ind)", "inf", "-Infinity", "None", "undefined", "1e400", "", " ", '"a \\" nan, :}"'],
)
def test_a_field_without_a_value_costs_its_neighbours_nothing(beside):
    payload = b'{"temp":%b,"do":2.0,"deep":{"v":[1,%b]},"last":%b}' % ((beside.encode() or b"null",) * 3)
    if not beside.strip():
        payload = b'{"temp":%b,"do":2.0,"deep":{"v":1},"last":%b}' % ((beside.encode(),) * 2)
    assert read(payload, format="json", value="do")[0] == 2.0
    assert refused(payload, format="json", value="temp")
    assert read(payload, format="json", value="do", at="temp")[1] in ("missing", "not_a_time")


def test_text_that_looks_like_such_a_field_stays_as_it_is():
    payload = b'{"name": "a: nan, b:} None", "bad": nan, "u": "\xb0C", "do": 2.0}'
    assert read(payload, format="json", value="do", unit="u") == (2.0, None, "°C")
    assert read(payload, format="json", value="do", unit="name")[2] == "a: nan, b:} None"


@pytest.mark.parametrize(
    "payload",
    [b"[" * 100_000, b'{"a":' * 30_000, b'{"value":1,"bad":nan,"x":"' + b'\\"' * 100_000, b"{" + b'"\\' * 30_000],
)
def test_a_document_made_to_hurt_is_refused_soon(payload):
    assert refused(payload, format="json") == "it is not JSON"


def test_a_text_without_an_end_is_looked_at_once_and_not_from_each_of_its_quotes():
    for text in ('"' + '\\"' * 1_000, '"' + '\\"' * 1_000 + "\\", '"' + "a" * 1_000):
        assert len(documents._TOKEN.findall(text)) == 1
    assert refused(b'{"value": 1, "bad": nan, "x": "' + b'\\"' * 30_000, format="json") == "it is not JSON"


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
        ("1795428000123456", datetime(2026, 11, 23, 10, 0, 0, 123_456, tzinfo=UTC)),
        ("1795428000500000000", datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=UTC)),
        ('"1795428000"', datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ('"1795428000.5"', datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=UTC)),
        ('"1795428000500"', datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=UTC)),
        ('"1712011200123"', datetime(2024, 4, 1, 22, 40, 0, 123_000, tzinfo=UTC)),
        ('"20261123T100000Z"', datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ('" 2026-11-23 10:00:00+00:00 "', datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ('"2026-11-23T10:00:00.500000000Z"', datetime(2026, 11, 23, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("path", ["at", "meta.at"])
def test_times_are_iso_8601_or_numbers_since_1970(at, meant, path):
    payload = b'{"value": 1, "at": %b, "meta": {"at": %b}}' % (at.encode(), at.encode())
    found = read(payload, format="json", at=path)[1]
    assert found == meant
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("0", "not_set"),
        ("74888", "not_set"),
        ("946684805", "not_set"),
        ("-1", "not_set"),
        ("1e300", "not_a_time"),
        ("4102444800", "not_set"),
        ('"1970-01-01T00:00:10Z"', "not_set"),
        ('"9999-12-31T23:59:59-14:00"', "not_a_time"),
        ('"2026-03-01T06:00:00"', "no_zone"),
        ('"20260301"', "not_set"),
        ('"yesterday"', "not_a_time"),
        ('"2026-13-01T06:00:00Z"', "not_a_time"),
        ('"' + "9" * 100 + '"', "not_a_time"),
        ('""', "missing"),
        ("true", "not_a_time"),
        ("null", "missing"),
        ("[]", "not_a_time"),
        ("nan", "not_a_time"),
    ],
)
@pytest.mark.parametrize("path", ["at", "meta.at"])
def test_a_time_that_cannot_be_used_is_a_word_and_costs_the_value_nothing(at, reason, path):
    payload = b'{"value": 1, "at": %b, "meta": {"at": %b}}' % (at.encode(), at.encode())
    assert read(payload, format="json", at=path) == (1.0, reason, None)


def test_a_time_counter_or_unit_that_is_missing_costs_the_value_nothing():
    assert read(b'{"value": 1}', format="json", at="at") == (1.0, "missing", None)
    assert read(b'{"value": 1}', format="json", at="a.t") == (1.0, "missing", None)
    assert read(b'{"value": 1}', format="json", counter="n") == (1.0, None, None)
    assert read(b'{"value": 1, "u": null}', format="json", unit="u") == (1.0, None, None)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b'{"v": 1, "t": 1795428000, "n": 5}', True),
        (b'{"v": 1, "t": null, "n": 5}', True),
        (b'{"v": 1, "t": 1795428000}', True),
        (b'{"v": 1, "t": 7}', False),
        (b'{"v": 1, "t": "2026-03-01T06:00:00"}', False),
        (b'{"v": 1}', False),
        (b"1", False),
    ],
)
def test_only_a_payload_that_says_its_own_time_or_counter_is_the_same_message_when_it_comes_again(payload, says):
    assert identity(PayloadSettings("json", "v", at="t", counter="n"))(payload) is says


def test_a_dot_inside_a_key_is_escaped():
    assert read(b'{"a.b": {"c": 4}}', format="json", value=r"a\.b.c")[0] == 4


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
        assert time in (None, "missing", "not_a_time", "no_zone", "not_set") or EARLIEST <= time < LATEST
        assert name is None or isinstance(name, str)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives(value):
    assert read(orjson.dumps({"value": value}), format="json")[0] == value
    assert read(repr(value).encode())[0] == value
