"""`mqtt[].subscriptions`: which topics are read, and how their messages become readings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from agent.config.schema.values import Section, Text, TextList, Zone, whole


class LayoutField(Section):
    """One value in the raw bytes of a LoRaWAN uplink: number times `scale` plus `offset`."""

    channel: Text = Field(description="Name of the value, for `channels`.")
    type: Literal["u8", "i8", "u16", "i16", "u24", "i24", "u32", "i32", "f32"] = Field(
        description="`u` is without a sign, `i` with one, `f` a float; the number is its bits."
    )
    at: int = Field(ge=-256, le=255, description="Its first byte, counted from 0, or from the end if negative.")
    scale: float = Field(default=1.0, description="What the number is multiplied by.")
    offset: float = Field(default=0.0, description="What is added then.")
    little: bool = Field(default=False, description="The low byte comes first.")
    unit: Text | None = Field(default=None, description="Unit of the value.")
    f_port: int | None = Field(default=None, ge=1, le=255, description="Only in uplinks with this FPort.")


class Channel(Section):
    """Which sensor a channel is. `tidegate probe` lists the channels of a broker's devices."""

    channel: Text = Field(description="Name of the channel, such as `DS18B20.3C01F09620CB.Temperature`.")
    device: Text | None = Field(
        default=None, description="Name of the device; any device of the subscription if not set."
    )
    sensor_id: Text = Field(description="A sensor of `sensors`.")


class Payload(Section):
    """How a message of a subscription becomes readings."""

    format: Text = Field(
        default="number",
        description="`number`: the payload is the value; `json`: the fields below say where it is. "
        "Families whose messages bring several values, which `channels` names: `csv`, `senml`, `sparkplug`, "
        "`zigbee2mqtt`, `tasmota`, `shelly`, `esphome`, `home_assistant`, `chirpstack`, `things_stack`, `thin_edge`; "
        "and what other packages "
        "declare as entry points of `tidegate.codecs`.",
    )
    value: Text = Field(
        default="value", description="JSON only: path of the value, such as `data.temp`, `m.0.v` or `m.id=do1.v`."
    )
    at: Text | None = Field(
        default=None,
        description="JSON: path of the device's own time (CSV: its column): ISO 8601 with its zone, or s, ms, us or "
        "ns since 1970 as a number or digits. If it cannot be used, the gateway's time is used and the reading says "
        "why. "
        "The same payload with the same time counts as the same message.",
    )
    at_zone: Zone | None = Field(
        default=None,
        description="Time zone of times without one, such as `UTC` or `Europe/Oslo`.",
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
    each: Text | None = Field(
        default=None,
        description="JSON only: path of a list or object whose members are one measurement each. `value`, `unit`, "
        "`at` and `name` are paths in a member then.",
    )
    name: Text | None = Field(
        default=None, description="With `each`: path of the channel's name in a member; its key or its id if not set."
    )
    device: Text | None = Field(
        default=None, description="JSON: path of the device's name. CSV: its column. The topic if not set."
    )
    columns: TextList = Field(
        default=[], description="CSV: names of the columns, `-` for one to leave out; the first line if not set."
    )
    delimiter: Text | None = Field(
        default=None, description="CSV: what separates columns; `;`, tab or `,` if not set."
    )
    layout: list[LayoutField] = Field(
        default=[],
        description="`chirpstack` and `things_stack`: the raw bytes, where the server does not decode them.",
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
    channels: list[Channel] = Field(
        default=[],
        description="Where a message brings several values: which sensors they are. What is not listed is left out, "
        "unless `sensor_id` has `{device}` or `{channel}` in it.",
    )
