"""The one table of unit spellings: all of it, in the configuration and in payloads alike."""

import pytest

from agent.app.sources import mqtt_settings
from agent.config import ConfigErrors, parse
from agent.farm.units import UNITS
from drivers import Reading
from drivers.mqtt.readings import observe
from drivers.mqtt.topics.routes import Routes
from drivers.units import SPELLINGS, name_of, same

KINDS = {unit: kind for kind, units in reversed(UNITS.items()) for unit in units}
FIELD = {
    "degC": ("°C", "℃", "ºC", "C", "Cel", "celsius", "Celsius", "deg C"),
    "uS/cm": ("\u00b5S/cm", "\u03bcS/cm", "us/cm", "umho/cm", "\u00b5mho/cm"),
    "mg/L": ("mg/l", "MG/L", "mg L-1", "mg.L-1", "mg·L⁻¹", "mg l^-1", "mg/litre", "ppm"),
    "m3/h": ("m³/h", "m^3/h", "m3/h"),
    "L/min": ("LPM", "l/min", "lpm"),
    "hPa": ("mbar", "hpa"),
    "ppt": ("‰",),
    "%": ("%RH", "% RH", "% sat", "%sat", "percent"),
    "ug/L": ("\u00b5g/L", "\u03bcg/l"),
    "umol/m2/s": ("\u00b5mol/m²/s", "µmol m⁻² s⁻¹"),
}
SPELLED = [
    *((text, name) for name, others in SPELLINGS.items() for text in (name, *others)),
    *((text, name) for name, texts in FIELD.items() for text in texts if text != "ppm"),
]


def document(unit, kind="temperature"):
    return f"""
gateway: {{id: gw-1, site: s}}
kafka: {{brokers: "127.0.0.1:1"}}
mqtt:
  - name: barge
    local: true
    subscriptions:
      - {{topic: "farm/{{tank}}/{{metric}}", payload: {{format: json, unit: u}}}}
sensors:
  - {{id: t1_{kind}, type: {kind}, unit: "{unit}", tank: t1, limits: {{high: 1}}}}
"""


def reading(config, kind, unit, value="7.5"):
    routes = Routes(mqtt_settings(config.mqtt[0], config))
    payload = f'{{"value": {value}, "u": "{unit}"}}'.encode()
    (seen,), _ = observe([(f"farm/t1/{kind}".encode(), payload, 0x32, None)], routes, "mqtt:barge")
    return seen


def test_no_spelling_stands_for_two_units():
    folded = {}
    for text, name in SPELLED:
        assert name_of(text) == name, text
        assert folded.setdefault(text.casefold(), name) == name, text


@pytest.mark.parametrize(("text", "name"), SPELLED)
def test_each_spelling_is_the_same_unit_in_the_configuration_and_in_a_payload(text, name):
    kind = KINDS.get(name, "special")
    by_name = parse(document(name, kind))
    by_text = parse(document(text, kind))
    wanted = name_of(name, kind) or name
    for config, unit in ((by_name, text), (by_text, name), (by_text, text)):
        seen = reading(config, kind, unit)
        assert isinstance(seen, Reading), f"{unit}: {seen.reason}"
        assert seen.unit == wanted


@pytest.mark.parametrize("kind", sorted(UNITS))
def test_every_unit_of_a_kind_is_in_the_table_by_its_own_name(kind):
    assert [unit for unit in UNITS[kind] if unit not in SPELLINGS] == []


@pytest.mark.parametrize("kind", ["oxygen", "dissolved_oxygen", "Ammonia"])
def test_a_ppm_is_a_mg_per_l_in_water(kind):
    assert same("ppm", "mg/l", kind)
    assert reading(parse(document("ppm", kind)), kind, "mg/L").unit == "mg/L"


def test_a_ppm_of_something_else_is_no_mg_per_l():
    assert not same("ppm", "mg/L", "co2")
    assert not same("ppm", "mg/L", "gas")


@pytest.mark.parametrize(
    ("one", "other"),
    [("degC", "degF"), ("mg/L", "ug/L"), ("uS/cm", "mS/cm"), ("hPa", "Pa"), ("m", "mm"), ("%", "mg/L"), ("x", "y")],
)
def test_units_that_differ_are_not_one(one, other):
    assert not same(one, other)
    seen = reading(parse(document(one, "special")), "special", other)
    assert seen.reason == "its unit is not the one in the configuration"


def test_a_sensor_that_config_does_not_know_has_its_units_name_from_the_table():
    config = parse(document("degC").replace("t1_temperature", "t2_temperature"))
    assert reading(config, "temperature", "ºC").unit == "degC"
    assert reading(config, "temperature", "furlong").unit == "furlong"


def test_a_unit_that_is_not_of_its_kind_is_refused_by_the_check():
    with pytest.raises(ConfigErrors, match="must be degC, degF or K, not furlong"):
        parse(document("furlong"))
    with pytest.raises(ConfigErrors, match="must be mg/L, % or umol/L"):
        parse(document("uS/cm", "oxygen"))
