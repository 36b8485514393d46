"""What judges readings and raises alerts, from the sections `sensors`, `quality`, `rules` and `alerting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.config.schema.sensors import Range
from agent.farm.quality import QualitySettings, plausible
from agent.farm.rules import window_of
from agent.pipeline.judging import Judged, Rule, RuleBook
from drivers import units
from drivers.patterns import Template

if TYPE_CHECKING:
    from agent.config import Config
    from agent.config.schema import Quality, Sensor, Subscription


def judged(config: Config) -> list[Judged]:
    """The sensors that are judged, and those that rules or neighbours need to listen to."""
    by_quality = {one.sensor: one for one in config.quality}
    by_rule = {one.sensor for one in config.rules}
    neighbours = {one.neighbour for one in config.quality}
    found = []
    for sensor in config.sensors:
        quality = by_quality.get(sensor.id)
        if quality is not None:
            settings = _settings(quality, sensor)
            unit = _unit(sensor)
            neighbour, calm_s = quality.neighbour, quality.clear_after_s
            found.append(Judged(sensor.id, sensor.type, unit, settings, neighbour, calm_s=calm_s))
        elif sensor.id in by_rule or sensor.id in neighbours or sensor.range != Range():
            found.append(Judged(sensor.id, sensor.type, _unit(sensor), low=sensor.range.low, high=sensor.range.high))
    return found


def rule_book(config: Config) -> RuleBook:
    """The rules, each with its sensor's limits and the connections that can bring it."""
    sensors = {sensor.id: sensor for sensor in config.sensors}
    zone = config.alerting.zone
    rules = []
    for one in config.rules:
        sensor = sensors[one.sensor]
        rules.append(
            Rule(
                sensor_id=sensor.id,
                sensor_type=sensor.type,
                unit=_unit(sensor),
                tank_id=sensor.tank,
                low=sensor.limits.low,
                high=sensor.limits.high,
                **one.model_dump(exclude={"sensor"}),
                connections=_connections(config, sensor.id),
            )
        )
    windows = tuple(window_of(one.tank, one.begins, one.ends, zone) for one in config.alerting.maintenance)
    return RuleBook(tuple(rules), windows, zone, config.alerting.escalate_after_s)


def _settings(quality: Quality, sensor: Sensor) -> QualitySettings:
    low, high = plausible(sensor.type, _unit(sensor))
    return QualitySettings(
        low=_first(quality.low, sensor.range.low, low),
        high=_first(quality.high, sensor.range.high, high),
        **quality.model_dump(exclude={"sensor", "low", "high", "neighbour", "clear_after_s"}),
    )


def _first(*values: float | None) -> float:
    """The first that is set."""
    return next(value for value in values if value is not None)


def _unit(sensor: Sensor) -> str:
    return units.name_of(sensor.unit, sensor.type) or sensor.unit


def _connections(config: Config, sensor_id: str) -> frozenset[str]:
    return frozenset(
        connection.name
        for connection in config.mqtt
        if any(_brings(item, sensor_id) for item in connection.subscriptions)
    )


def _brings(item: Subscription, sensor_id: str) -> bool:
    if any(channel.sensor_id == sensor_id for channel in item.channels):
        return True
    return Template(item.sensor_id).can_make(sensor_id)
