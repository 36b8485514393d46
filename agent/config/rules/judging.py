"""Whether `quality`, `rules` and `alerting` name what there is, and can ever say anything."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from agent.farm.rules import window_of

if TYPE_CHECKING:
    from agent.config.rules.findings import Findings
    from drivers.spelling import Location

_OXYGEN = ("oxygen", "dissolved_oxygen", "oxygen_saturation")


def look_at_judging(findings: Findings) -> None:
    """Sensors, neighbours, ranges and windows."""
    sensors = {str(sensor.get("id")): sensor for _, sensor in findings.items("sensors")}
    for key in ("quality", "rules"):
        seen: set[str] = set()
        for location, item in findings.items(key):
            name = item.get("sensor")
            if not isinstance(name, str):
                continue
            if name in seen:
                findings.say((*location, "sensor"), "is listed twice", "put all of a sensor into one entry")
            seen.add(name)
            sensor = sensors.get(name)
            if sensor is None:
                findings.say((*location, "sensor"), f"there is no sensor {findings.written((*location, 'sensor'))}",
                             "add it to sensors, with its unit")  # fmt: skip
            elif key == "quality":
                _quality(findings, location, item, sensors)
            else:
                _rule(findings, location, item, sensor)
    alerting = findings.section("alerting")
    for location, item in findings.items("maintenance", alerting, ("alerting",)):
        _window(findings, location, item, {str(sensor.get("tank")) for sensor in sensors.values()})


def _quality(findings: Findings, location: Location, item: dict[str, Any], sensors: dict[str, Any]) -> None:
    low, high = _number(item.get("low")), _number(item.get("high"))
    if low is not None and high is not None and low >= high:
        findings.say((*location, "low"), f"must be below high, which is {high:g}", "are the two swapped?")
    neighbour, own = item.get("neighbour"), sensors[item["sensor"]]
    if neighbour is None:
        if item.get("tolerance") is not None:
            findings.say((*location, "tolerance"), "has no effect without neighbour", "name the sensor beside it")
        return
    place = (*location, "neighbour")
    other = sensors.get(neighbour) if isinstance(neighbour, str) else None
    if item.get("tolerance") is None:
        findings.say(place, "needs tolerance", "say how far the two may be apart")
    if other is None or other is own:
        findings.say(place, f"there is no other sensor {findings.written(place)}", "add it to sensors")
    elif (other.get("type"), other.get("unit")) != (own.get("type"), own.get("unit")):
        findings.say(place, "has another type or unit", "compare sensors of one kind, in one unit")


def _rule(findings: Findings, location: Location, item: dict[str, Any], sensor: dict[str, Any]) -> None:
    limits = sensor.get("limits")
    bounds = [limits.get(key) for key in ("low", "high")] if isinstance(limits, dict) else []
    if item.get("forecast_s") is not None and all(bound is None for bound in bounds):
        place = (*location, "forecast_s")
        findings.say(place, "has no effect: the sensor has no limit", "give it limits.low or limits.high")
    if item.get("unwatched_after_s") is not None and sensor.get("type") not in _OXYGEN:
        place = (*location, "unwatched_after_s")
        findings.say(place, "is only for oxygen", "use silent_after_s for other sensors")


def _window(findings: Findings, location: Location, item: dict[str, Any], tanks: set[str]) -> None:
    if isinstance(item.get("tank"), str) and item["tank"] not in tanks:
        place = (*location, "tank")
        findings.say(place, f"no sensor is in {findings.written(place)}", "name a tank of sensors")
    begins, ends = item.get("begins"), item.get("ends")
    if not (isinstance(begins, str) and isinstance(ends, str)):
        return
    try:
        window = window_of("", begins, ends, "UTC")
    except ValueError as fault:
        findings.say((*location, "begins"), str(fault), "write 07:30 in both, or 2026-03-01T07:30 in both")
        return
    if isinstance(window.begins, datetime) and isinstance(window.ends, datetime) and window.ends <= window.begins:
        findings.say((*location, "ends"), "is not after begins", "are the two swapped?")


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
