"""`sensors`: units and limits of the sensors that are known by name."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.config.schema.values import Label, Name, Section, Text


class Limits(Section):
    """Crossing one raises an alert at once; coming back clears it."""

    low: float | None = Field(default=None, description="Values below it raise an alert. In the sensor's unit.")
    high: float | None = Field(default=None, description="Values above it raise an alert. In the sensor's unit.")
    hysteresis: float = Field(
        default=0.0,
        ge=0,
        description="How far back inside the limit a value must be to clear an alert. In the sensor's unit.",
    )
    max_age_s: float = Field(
        default=600.0,
        ge=1,
        le=86_400,
        description="Readings measured longer ago, by the device's own time, are stored but raise and clear no "
        "alert. Raise it for sensors that send with a longer delay.",
    )


class Range(Section):
    """What a sensor can measure at all, in its unit."""

    low: float | None = Field(default=None, description="The lowest value.")
    high: float | None = Field(default=None, description="The highest value.")


class Sensor(Section):
    """A sensor that config knows by name: its unit and limits."""

    id: Label = Field(description="Id, as the subscriptions name it: `{tank}_{metric}` unless they say otherwise.")
    type: Name = Field(description="What it measures; known kinds have a fixed choice of units.")
    unit: Text = Field(description="Unit of its values and limits, such as `degC` or `mg/L`.")
    tank: Label = Field(description="The tank or pen that it is in.")
    range: Range = Field(
        default=Range(),
        description='A number that devices send for "no value", such as 655.35, is one if it is outside of this.',
    )
    device_kind: (
        Literal[
            "ds18b20",
            "int16",
            "int16_by_10",
            "int16_by_100",
            "uint16",
            "uint16_by_10",
            "uint16_by_100",
            "data_logger",
            "modbus",
        ]
        | None
    ) = Field(
        default=None,
        description="What kind of device it is, for the numbers by which it says that there is no value: -127 and a "
        "first 85 from a `ds18b20`, the largest numbers of 16 bits, whole or by 10 or 100, -9999 from a "
        "`data_logger`, 2000000 from `modbus` probes.",
    )
    sentinels: list[float] = Field(default=[], description="Other numbers by which it says that there is no value.")
    limits: Limits = Field(default=Limits(), description="Limits that raise alerts.")
