"""`farm`, `derived`, `calibrations`: what is computed beside the readings."""

from __future__ import annotations

from datetime import date  # noqa: TC003 - pydantic reads the annotations when the classes are made
from typing import Literal

from pydantic import Field

from agent.config.schema.sensors import Limits
from agent.config.schema.values import Name, Section, Text, Zone


class Derived(Section):
    """A quantity computed from sensors' newest values, with its inputs and their ages beside it."""

    id: Name = Field(
        description="Name of the derived quantity; `farm.tanks` and other derived quantities may use it."
    )
    kind: Literal["oxygen_saturation", "oxygen_deficit", "salinity", "nh3_n", "nh3", "rate", "swing"] = Field(
        description="What is computed: saturation and deficit need oxygen, temperature, salinity, pressure; "
        "salinity needs conductivity and temperature; `nh3_n` and `nh3` need tan, temperature, ph, salinity; `rate` "
        "(an hour) and `swing` (within 24 hours) need `of`."
    )
    tank: Name = Field(description="The tank or pen that it is of.")
    oxygen: Name | None = Field(default=None, description="Sensor of dissolved oxygen, in mg/L or umol/L.")
    temperature: Name | None = Field(default=None, description="Sensor of the water's temperature.")
    conductivity: Name | None = Field(
        default=None, description="Sensor of conductivity as measured, without compensation to 25 degC."
    )
    tan: Name | None = Field(default=None, description="Sensor of total ammonia nitrogen (type `tan`), as nitrogen.")
    ph: Name | None = Field(default=None, description="Sensor of pH, on the NBS scale.")
    salinity: Name | None = Field(default=None, description="Sensor, or derived quantity, of practical salinity.")
    salinity_psu: float | None = Field(
        default=None, ge=0, le=45, description="The salinity where no sensor measures it; 0 for fresh water."
    )
    pressure: Name | None = Field(
        default=None, description="Sensor of the air pressure at the station itself, not reduced to sea level."
    )
    pressure_hpa: float | None = Field(
        default=None,
        ge=500,
        le=1100,
        description="The air pressure where no sensor measures it.",
    )
    of: Name | None = Field(default=None, description="Any sensor, for `rate` and `swing`.")
    max_age_s: float = Field(
        default=600.0, ge=1, le=86_400, description="Inputs measured longer ago are not used; there is no value then."
    )
    every_s: float = Field(default=60.0, ge=1, le=86_400, description="How often it is computed.")
    limits: Limits = Field(default=Limits(), description="Bounds for its alerts.")


class ProbeCalibration(Section):
    """The calibration of one probe. One that is reported as an event counts too; of several the newest counts."""

    sensor: Name = Field(description="The sensor that was calibrated.")
    points: list[list[float]] | None = Field(
        default=None,
        description="Two points, each the raw value and the true one: `[[6.8, 7.0], [9.7, 10.0]]`.",
    )
    coefficients: list[float] | None = Field(
        default=None, description="In place of points: c0, c1, … of calibrated = c0 + c1 raw + c2 raw² + …."
    )
    done: date = Field(description="When it was done, such as `2026-03-01`.")
    valid_days: int | None = Field(
        default=None, gt=0, le=3660, description="After so many days each value says that a calibration is overdue."
    )
    by: Text = Field(description="Who did it.")


class Objective(Section):
    """What one variable of a tank's water-quality score should be."""

    sensor: Name = Field(description="A sensor or derived quantity.")
    low: float | None = Field(default=None, description="Hourly medians below it fail. In the sensor's unit.")
    high: float | None = Field(default=None, description="Hourly medians above it fail. In the sensor's unit.")
    source: Text = Field(default="config", description="Who says so.")


class FarmTank(Section):
    """A tank or pen whose figures are kept. Tanks that only events name have figures too, without water quality."""

    tank: Name = Field(description="Its name, as sensors and events have it.")
    species: Text = Field(default="", description="Label of its figures until a stocking names the species.")
    temperature: Name | None = Field(default=None, description="The sensor whose daily means make degree days.")
    score: list[Objective] = Field(
        default=[], description="The variables of its water-quality score: four at least, for a score."
    )


class LiceLimit(Section):
    """How many adult female sea lice a fish may have, in some weeks of the year."""

    limit: float = Field(gt=0, le=100, description="Mean adult females a fish must be below it.")
    first_week: int = Field(default=1, ge=1, le=53, description="The first ISO week in which it holds.")
    last_week: int = Field(default=53, ge=1, le=53, description="The last one.")
    year: int | None = Field(
        default=None, ge=2000, le=2200, description="The only year in which it holds; all if unset."
    )
    least_fish: int = Field(default=0, ge=0, le=1000, description="How many fish of each pen must be counted a week.")
    source: Text = Field(default="config", description="Which regulation says so.")


class FarmAlerts(Section):
    """Alerts on figures of a tank. A key with the value 0 raises none."""

    mortality_percent: float = Field(default=5.0, ge=0, le=100, description="Mortality over 30 days, in %, above it.")
    mortality_times: float = Field(
        default=5.0, ge=0, le=1000, description="Mortality of a day above so many times that of the 14 days before."
    )
    score: float = Field(default=80.0, ge=0, le=100, description="A water-quality score below it.")


class Farm(Section):
    """Stock, feed, growth, mortality and water quality of the tanks, from events and sensors."""

    topic: Text | None = Field(
        default="tidegate/farm/events",
        description="Topic pattern on the local broker on which events come, as JSON; `+` and `#` may be used.",
    )
    zone: Zone = Field(default="UTC", description="The zone whose days are the farm's, such as `Europe/Oslo`.")
    tanks: list[FarmTank] = Field(default=[], description="Tanks with a temperature, a score or a species.")
    lice_limits: list[LiceLimit] = Field(default=[], description="The calendar of sea lice limits.")
    alerts: FarmAlerts = Field(default=FarmAlerts(), description="When figures raise an alert.")


class Metrics(Section):
    """Metrics sent upstream, for gateways that no Prometheus can reach."""

    upstream_every_s: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        description="How often all metrics go to the topic `gateway-metrics`, in lane `bulk`; 0 for never.",
    )
