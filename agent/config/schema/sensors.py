"""`sensors`: units and limits of the sensors that are known by name."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import Name, Section, Text


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


class Sensor(Section):
    """A sensor that config knows by name: its unit and limits."""

    id: Name = Field(description="Id, as the subscriptions name it: `{tank}_{metric}` unless they say otherwise.")
    type: Name = Field(description="What it measures; known kinds have a fixed choice of units.")
    unit: Text = Field(description="Unit of its values and limits, such as `degC` or `mg/L`.")
    tank: Name = Field(description="The tank or pen that it is in.")
    limits: Limits = Field(default=Limits(), description="Limits that raise alerts.")
