"""Whether derived quantities have their inputs, calibrations can be computed, and tanks and topics make sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from agent.farm.water.calibration import coefficients_of
from agent.farm.water.derived import INPUTS
from drivers.patterns import Pattern
from drivers.spelling import Misspelt, path_text

if TYPE_CHECKING:
    from agent.config.rules.findings import Findings
    from drivers.spelling import Location

_FIXED: Final = {"salinity": "salinity_psu", "pressure": "pressure_hpa"}
_KEYS: Final = tuple(dict.fromkeys(name for names in INPUTS.values() for name in names))
_TYPES: Final = {
    "oxygen": ("oxygen", "dissolved_oxygen"),
    "temperature": ("temperature",),
    "conductivity": ("conductivity",),
    "tan": ("tan",),
    "ph": ("ph",),
    "salinity": ("salinity",),
    "pressure": ("pressure",),
}


def look_at_farm(findings: Findings) -> None:
    """Derived quantities, calibrations, tanks."""
    types = {str(sensor.get("id")): str(sensor.get("type")) for _, sensor in findings.items("sensors")}
    derived = {str(item.get("id")): str(item.get("kind")) for _, item in findings.items("derived")}
    for location, item in findings.items("derived"):
        if item.get("id") in types:
            message = f"{findings.written((*location, 'id'))} is also the id of a sensor"
            findings.say((*location, "id"), message, "give the derived quantity another id")
        _inputs(findings, location, item, types | derived)
        _bounds(findings, (*location, "limits"), item.get("limits"))
    for location, item in findings.items("calibrations"):
        _calibration(findings, location, item)
    farm = findings.section("farm")
    _topic(findings, farm.get("topic"))
    first: dict[str, Location] = {}
    for location, tank in findings.items("tanks", farm, ("farm",)):
        name = tank.get("tank")
        if isinstance(name, str) and first.setdefault(name, location) is not location:
            message = f"{findings.written((*location, 'tank'))} is already {path_text(first[name])}"
            findings.say((*location, "tank"), message, "put both into one entry")
        for place, objective in findings.items("score", tank, location):
            if objective.get("low") is None and objective.get("high") is None:
                findings.say(place, "needs low or high", "add the bound that hourly medians should keep")
            _bounds(findings, place, objective)


def _inputs(findings: Findings, location: Location, item: dict[str, Any], types: dict[str, str]) -> None:
    kind = item.get("kind")
    if not isinstance(kind, str) or kind not in INPUTS:
        return
    for name in _KEYS:
        fixed = _FIXED.get(name)
        given = [key for key in (name, fixed) if key is not None and item.get(key) is not None]
        if name not in INPUTS[kind]:
            for key in given:
                findings.say((*location, key), f"is not used for {kind}", f"it needs {', '.join(INPUTS[kind])}")
        elif not given:
            ways = f"{name} or {fixed}" if fixed else name
            findings.say(location, f"{kind} needs {ways}", f"add {name} with the id of a sensor")
        elif len(given) > 1:
            findings.say((*location, given[1]), f"has no effect beside {name}", "remove one of the two")
        else:
            _type(findings, (*location, name), item.get(name), name, types)
    if item.get("of") == item.get("id") and item.get("id") is not None:
        findings.say((*location, "of"), "is this quantity itself", "name a sensor")


def _type(findings: Findings, place: Location, sensor: Any, name: str, types: dict[str, str]) -> None:
    """A sensor that config knows must measure what the formula needs; of another its type is not known here."""
    kind = types.get(sensor) if isinstance(sensor, str) else None
    if kind is None or name not in _TYPES or kind.lower() in _TYPES[name]:
        return
    hint = "TAN is total ammonia nitrogen: if the probe gives that, write type: tan" if name == "tan" else ""
    findings.say(
        place,
        f"{findings.written(place)} measures {kind}, not {name}",
        hint or f"name a sensor of type {' or '.join(_TYPES[name])}",
    )


def _calibration(findings: Findings, location: Location, item: dict[str, Any]) -> None:
    try:
        points, numbers = item.get("points"), item.get("coefficients")
        coefficients_of(
            None if points is None else tuple((float(raw), float(true)) for raw, true in points),
            None if numbers is None else tuple(map(float, numbers)),
        )
    except TypeError:
        return  # not as the schema has it, which says so
    except ValueError as fault:
        # The same, where a number is none.
        if "float" not in str(fault):
            pairs = "unpack" in str(fault)
            text = "a point is two numbers" if pairs else str(fault)
            findings.say(location, text, "such as points: [[6.8, 7.0], [9.7, 10.0]]")


def _topic(findings: Findings, topic: Any) -> None:
    if not isinstance(topic, str):
        return
    try:
        Pattern(topic)
    except Misspelt as fault:
        findings.say(("farm", "topic"), str(fault), fault.hint)


def _bounds(findings: Findings, location: Location, bounds: Any) -> None:
    if not isinstance(bounds, dict):
        return
    try:
        low, high = float(bounds["low"]), float(bounds["high"])
    except (KeyError, TypeError, ValueError):
        return
    if low >= high:
        findings.say((*location, "low"), f"must be below high, which is {high:g}", "are the two swapped?")
