"""The whole configuration as types. Strict: unknown keys are errors; every number says its unit.

The same document stands in `config.yaml` and in a fleet push. Descriptions are the text of docs/CONFIG.md.
"""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.cameras import Camera
from agent.config.schema.farm import Derived, Farm, Metrics, ProbeCalibration
from agent.config.schema.fleet import Fleet
from agent.config.schema.gateway import Gateway
from agent.config.schema.http import Http
from agent.config.schema.judging import Alerting, Maintenance, Quality, Rule
from agent.config.schema.kafka import Budget, Kafka, LaneBudget
from agent.config.schema.log import Log
from agent.config.schema.logging import Logging
from agent.config.schema.models import Model
from agent.config.schema.mqtt import Mqtt, Tls
from agent.config.schema.sensors import Limits, Sensor
from agent.config.schema.subscriptions import Payload, Subscription
from agent.config.schema.values import Section

__all__ = [
    "Alerting",
    "Budget",
    "Camera",
    "Config",
    "Derived",
    "Farm",
    "Fleet",
    "Gateway",
    "Http",
    "Kafka",
    "LaneBudget",
    "Limits",
    "Log",
    "Logging",
    "Maintenance",
    "Metrics",
    "Model",
    "Mqtt",
    "Payload",
    "ProbeCalibration",
    "Quality",
    "Rule",
    "Sensor",
    "Subscription",
    "Tls",
]


class Config(Section):
    """The whole document."""

    gateway: Gateway = Field(description="Who this gateway is and where it keeps its files.")
    kafka: Kafka = Field(description="The Kafka cluster.")
    mqtt: list[Mqtt] = Field(min_length=1, description="Connections to MQTT brokers; one of them is local.")
    log: Log = Field(default=Log(), description="The durable log.")
    sensors: list[Sensor] = Field(default=[], description="Units and limits of sensors.")
    derived: list[Derived] = Field(default=[], description="Quantities that are computed from sensors.")
    calibrations: list[ProbeCalibration] = Field(default=[], description="Calibrations of probes.")
    farm: Farm | None = Field(default=None, description="Figures of tanks; without it none are kept.")
    quality: list[Quality] = Field(default=[], description="How readings are judged.")
    rules: list[Rule] = Field(default=[], description="Rules of alerts, beside the limits of `sensors`.")
    alerting: Alerting = Field(default=Alerting(), description="What becomes of alerts.")
    cameras: list[Camera] = Field(default=[], description="Cameras.")
    models: list[Model] = Field(default=[], description="Models for the cameras.")
    http: Http = Field(default=Http(), description="Metrics and health over TCP.")
    metrics: Metrics = Field(default=Metrics(), description="Metrics sent upstream.")
    fleet: Fleet | None = Field(
        default=None, description="Configuration pushes; without it only config.yaml is used."
    )
    logging: Logging = Field(default=Logging(), description="Messages in the journal.")
