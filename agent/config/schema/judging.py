"""`quality`, `rules` and `alerting`: which sensors are judged how, and what raises an alert beside their limits."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import Section, Text, Zone


class Quality(Section):
    """How the readings of one sensor are judged. A key without a value, and no default, is a check that is not made.

    All values are in the sensor's unit. Sensors that are not listed are only held against the range of their kind.
    """

    sensor: Text = Field(description="The sensor, as in `sensors`.")
    low: float | None = Field(default=None, description="What it cannot measure is `bad`; the range of its kind.")
    high: float | None = Field(default=None, description="The same, above.")
    rate_per_minute: float | None = Field(default=None, gt=0, description="The fastest change that water can make.")
    stuck_s: float | None = Field(
        default=None, gt=0, description="For longer, exactly the same value means that it is stuck."
    )
    spike: float | None = Field(
        default=20.0, gt=1, description="A jump of so many times its usual change is a spike."
    )
    jump: float = Field(default=0.0, ge=0, description="Smaller jumps are never spikes.")
    scatter: float | None = Field(
        default=20.0,
        gt=1,
        description="Differences of so many times the usual ones, over several readings, are scatter.",
    )
    drift: float | None = Field(
        default=None,
        gt=0,
        description="Daily means that move in one direction for three days, by more than this, are drift; with a "
        "neighbour, means of the difference to it.",
    )
    neighbour: Text | None = Field(
        default=None, description="A sensor of the same kind in the same water, in `sensors`; needs `tolerance`."
    )
    tolerance: float | None = Field(default=None, gt=0, description="How far the neighbour's value may be away.")
    max_age_s: float = Field(default=600.0, ge=1, le=86_400, description="Older values of a neighbour say nothing.")
    clear_after_s: float = Field(
        default=300.0, ge=0, le=86_400, description="Its alert ends after so long without a doubt."
    )


class Rule(Section):
    """What raises an alert about one sensor, beside its limits. A key without a value is a rule that is not there."""

    sensor: Text = Field(description="The sensor, as in `sensors`; its limits count for `forecast_s`.")
    silent_after_s: float | None = Field(default=None, ge=1, description="Nothing heard of it for so long.")
    unwatched_after_s: float | None = Field(
        default=None,
        ge=1,
        description="No good reading for so long of this sensor, and of no other of its tank with this key: the tank "
        "is unwatched.",
    )
    fall_per_hour: float | None = Field(default=None, gt=0, description="It falls faster, in its unit an hour.")
    rise_per_hour: float | None = Field(default=None, gt=0, description="It rises faster, in its unit an hour.")
    forecast_s: float | None = Field(
        default=None,
        ge=10,
        le=21_600,
        description="It will cross a limit within so long, by its trend and its usual day.",
    )
    trend_s: float = Field(
        default=1200.0,
        ge=1,
        le=86_400,
        description="Over how long a trend is smoothed. Less where water changes within minutes.",
    )
    hold_off_s: float = Field(
        default=60.0, ge=0, le=86_400, description="How long a trend or forecast must hold before it is raised."
    )
    clear_after_s: float = Field(
        default=300.0, ge=0, le=86_400, description="How long it must have ended before it is cleared."
    )


class Maintenance(Section):
    """Work at a tank: its rules and doubts raise no alert meanwhile, and its limits a warning."""

    tank: Text = Field(description="The tank, as in `sensors`.")
    begins: Text = Field(description="`07:30`, every day; or once, as in `2026-03-01T07:30`.")
    ends: Text = Field(description="The same; a time of day before `begins` is of the next day.")


class Alerting(Section):
    """What becomes of alerts."""

    escalate_after_s: float | None = Field(
        default=None,
        ge=1,
        le=86_400,
        description="An alert that nobody acknowledges for so long is sent again as an alarm.",
    )
    zone: Zone = Field(default="UTC", description="The zone of maintenance windows, such as `Europe/Oslo`.")
    maintenance: list[Maintenance] = Field(default=[], description="Maintenance windows.")
