"""Numbers that mean "no value": where each holds, and where it is a real value."""

from __future__ import annotations

import struct

import pytest

from drivers.mqtt.codecs.sentinels import _EDGES, FAULT, MAKERS, SUSPECT, plain, verdict

FLOAT32 = struct.unpack("<f", struct.pack("<f", 327.67))[0]


@pytest.mark.parametrize(
    ("value", "kind", "unit", "more", "meant"),
    [
        (-127.0, "temperature", "degC", {}, FAULT),
        (-127.0, "temperature", "degC", {"maker": "ds18b20"}, FAULT),
        (-196.6, "temperature", "degF", {}, FAULT),
        (-127.0, "redox", "mV", {}, ""),
        (85.0, "temperature", "degC", {"first": True, "maker": "ds18b20"}, FAULT),
        (85.0, "temperature", "degC", {"first": True, "bounds": (0, 40)}, FAULT),
        (85.0, "temperature", "degC", {"first": True}, SUSPECT),
        (85.0, "temperature", "degC", {"maker": "ds18b20"}, ""),
        (85.0, "oxygen", "%", {"first": True}, ""),
        (85.0, "pond_temp", "degC", {"first": True, "maker": "ds18b20"}, FAULT),
        (327.67, "temperature", "degC", {}, FAULT),
        (FLOAT32, "temperature", "degC", {}, FAULT),
        (-327.68, "temperature", "degC", {}, FAULT),
        (327.68, "oxygen", "mg/L", {}, FAULT),
        (327.67, "conductivity", "uS/cm", {}, SUSPECT),
        (327.67, "conductivity", "uS/cm", {"maker": "int16_by_100"}, FAULT),
        (3276.7, "turbidity", "NTU", {}, SUSPECT),
        (3276.7, "temperature", "degC", {}, FAULT),
        (655.35, "conductivity", "uS/cm", {}, SUSPECT),
        (655.0, "conductivity", "uS/cm", {}, ""),
        (655.35, "ph", "pH", {}, FAULT),
        (6553.5, "temperature", "degC", {}, FAULT),
        (6552.7, "temperature", "degC", {}, FAULT),
        (6552.7, "turbidity", "NTU", {}, ""),
        (6549.0, "temperature", "degC", {}, ""),
        (2_000_000.0, "turbidity", "NTU", {}, FAULT),
        (-9999.0, "oxygen", "mg/L", {}, FAULT),
        (-9999.0, "level", "cm", {}, SUSPECT),
        (-9999.0, "feed", "kg", {}, SUSPECT),
        (-9999.0, "feed", "kg", {"maker": "data_logger"}, FAULT),
        (999.0, "feed", "kg", {"sentinels": (999.0,)}, FAULT),
        (7.1, "oxygen", "mg/L", {"first": True}, ""),
    ],
)
def test_a_sentinel_holds_for_who_sends_it_or_where_it_cannot_be_a_value(value, kind, unit, more, meant):
    assert verdict(value, kind, unit, **more) == meant


@pytest.mark.parametrize("maker", MAKERS)
def test_each_kind_of_device_has_sentinels_of_its_own(maker):
    for number in MAKERS[maker]:
        assert verdict(number, "anything", "", maker=maker) == FAULT


_NUMBERS = [*_EDGES, *(number for numbers in MAKERS.values() for number in numbers), 85.0, 185.0, -196.6, 6551.0]


@pytest.mark.parametrize("maker", ["", *MAKERS])
def test_a_number_that_is_plain_at_one_look_stands_for_a_value_whatever_sent_it(maker):
    near = [number * (1 + off) for number in _NUMBERS for off in (-3e-6, -9e-7, 0.0, 9e-7, 3e-6)]
    taken = [value for value in near if plain(value)]
    assert {1.0, 7.6, 25_000.0} <= {*filter(plain, (1.0, 7.6, 25_000.0))}
    for kind, unit in (("temperature", "degC"), ("temperature", "degF"), ("ph", "pH"), ("count", "1")):
        for first in (True, False):
            for value in taken:
                assert not verdict(value, kind, unit, maker=maker, first=first, bounds=(-1.0, 1.0))
