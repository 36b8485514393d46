"""`mqtt[].subscriptions`: which topics are read, and how their messages become readings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from agent.config.schema.values import Section, Text, Zone, whole


class Payload(Section):
    """How a message of a subscription becomes readings."""

    format: Literal["json", "number"] = Field(
        default="number", description="`number`: the payload is the value; `json`: the fields below say where it is."
    )
    value: Text = Field(default="value", description="JSON only: path of the value, such as `data.temp` or `m.0.v`.")
    at: Text | None = Field(
        default=None,
        description="JSON only: path of the device's own time: ISO 8601 with its zone, or s, ms, us or ns since "
        "1970 as a number or digits. If it cannot be used, the gateway's time is used and the reading says why. "
        "The same payload with the same time counts as the same message.",
    )
    at_zone: Zone | None = Field(
        default=None,
        description="JSON only: time zone of times without one, such as `UTC` or `Europe/Oslo`.",
    )
    unit: Text | None = Field(default=None, description="JSON only: path of the unit of measure.")
    counter: Text | None = Field(
        default=None,
        description="JSON only: path of a number that the device counts up; with it, or with `at`, "
        "the same payload again counts as the same message.",
    )
    decimal_comma: bool = Field(default=False, description="Text such as `7,25` is a number.")
    switch: bool = Field(
        default=False, description="`ON`, `true` and `yes` are 1, `OFF`, `false` and `no` are 0, in any case."
    )


class Subscription(Section):
    """One topic pattern. `{site}`, `{tank}`, `{metric}` and `{sensor}` each stand for one whole level."""

    topic: Text = Field(
        description="Such as `farm/{site}/{tank}/{metric}`; `+` and a last `#` match and are ignored. "
        "`$share/GROUP/` before it shares the messages within a group of clients."
    )
    qos: Annotated[Literal[0, 1], BeforeValidator(whole)] = Field(
        default=1, description="1: acknowledged once on disk. 0: messages lost on the link are lost."
    )
    payload: Payload = Field(default=Payload(), description="How to read the payload.")
    sensor_id: Text = Field(
        default="{tank}_{metric}",
        description="Sensor of a message, built from the topic's levels. With JSON payloads, here and in "
        "`sensor_type` "
        "and `tank`, any other name in braces is the path of a field: `{id}`, `{device.eui}`.",
    )
    sensor_type: Text = Field(default="{metric}", description="What it measures: `temperature`, `oxygen`, …")
    tank: Text = Field(default="{tank}", description="Tank or pen of a message.")
    site: Text = Field(
        default="{site}", description="Site of a message; the gateway's own if the topic has no `{site}`."
    )
    unit: Text | None = Field(
        default=None, description="Unit of the values, if neither the payload nor `sensors` has one."
    )
