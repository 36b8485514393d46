"""A configuration for the devices that were heard on a broker, with a question wherever it had to guess."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from agent.farm import units
from agent.farm.quantities import quantity_of
from drivers.units import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.mqtt.codecs.recognition import Channel, Device, Recognition

_LONGEST_ID: Final = 64
_LISTED: Final = 40
"""Topics that are of no family, at most so many are named."""


class Draft:
    """The text of one configuration."""

    def __init__(self, heard: Recognition, *, seconds: float, host: str, port: int, connection: list[str]) -> None:
        """`connection` are further lines of the connection, such as its user."""
        self._heard = heard
        self._seconds = seconds
        self._host, self._port, self._connection = host, port, connection
        self._ids: set[str] = set()
        self._sensors: list[str] = []

    def text(self) -> str:
        """The whole document."""
        subscriptions = [line for device in self._devices() for line in self._subscriptions(device)]
        lines = [
            f"# Drafted by tidegate probe from {self._heard.messages} messages in {self._seconds:g} s.",
            "# Look over each line with a question mark; `tidegate check` says what is wrong with the rest.",
            "#",
            *self._listed(),
            "",
            "gateway:",
            "  id: ${TIDEGATE_GATEWAY_ID:-barge-1}    # ? a name that no other gateway of the company has",
            "  site: ${TIDEGATE_SITE:-site_001}       # ? the farm site",
            "",
            "kafka:",
            "  brokers: ${TIDEGATE_KAFKA:-127.0.0.1:9092}    # ? the company's cluster",
            "",
            "mqtt:",
            "  - name: farm",
            f"    host: {_quoted(self._host)}",
            f"    port: {self._port}",
            "    local: true    # alerts are published here",
            *self._connection,
            *(["    subscriptions:", *subscriptions] if subscriptions else ["    subscriptions: []"]),
        ]
        if self._sensors:
            lines += [
                "",
                "sensors:    # ? add limits: {low: …, high: …} to those that are to raise alarms",
                *self._sensors,
            ]
        return "\n".join(lines) + "\n"

    def _devices(self) -> list[Device]:
        return sorted(self._heard.devices.values(), key=lambda one: (one.family, one.name))

    def _listed(self) -> Iterator[str]:
        """Everything that was heard, as comments."""
        if not self._heard.devices:
            yield "# No device was recognised. Do they publish on this broker, and may this user read their topics?"
        for device in self._devices():
            yield f"# {device.family}: {_plain(device.name)}"
            for name, channel in device.channels.items():
                yield f"#     {_plain(name)}: {_said(channel)}"
        if self._heard.unknown:
            yield "# Not recognised:"
            for topic, reason in list(self._heard.unknown.items())[:_LISTED]:
                yield f"#     {_plain(topic)}: {_plain(reason)}"

    def _subscriptions(self, device: Device) -> Iterator[str]:
        chosen = {
            name: (kind, channel)
            for name, channel in device.channels.items()
            if (kind := quantity_of(_named(device, name), _unit(channel))) and channel.count
        }
        left = [name for name in device.channels if name not in chosen]
        if not chosen:
            yield f"      # {device.family} {_plain(device.name)} sends nothing that is known here: {_some(left)}"
            return
        sensors = {name: self._sensor(device, name, *found) for name, found in chosen.items()}
        for topic in device.filters:
            yield f"      - topic: {_quoted(_pattern(topic))}"
            if device.family == "number":
                (sensor_id,) = sensors.values()
                yield f"        sensor_id: {_quoted(sensor_id)}"
                continue
            zone = any(channel.at == "no_zone" for channel in device.channels.values())
            if zone:
                yield "        # ? its clock states no time zone: add at_zone, such as at_zone: Europe/Oslo"
            yield f"        payload: {{format: {device.family}}}"
            yield "        channels:"
            for name, sensor_id in sensors.items():
                yield (
                    f"          - {{device: {_quoted(device.name)}, channel: {_quoted(name)}, "
                    f"sensor_id: {_quoted(sensor_id)}}}"
                )
            if left:
                yield f"          # left out: {_some(left)}"

    def _sensor(self, device: Device, name: str, kind: str, channel: Channel) -> str:
        known = _unit(channel)
        unit, question = known, ""
        allowed = units.allowed(kind)
        if not unit:
            unit = allowed[0] if allowed else "1"
            question = "    # ? the device does not say its unit"
        elif allowed is not None and unit not in allowed and name_of(unit, kind) not in allowed:
            kind, question = f"{kind}_{len(self._ids)}", f"    # ? an odd unit for {kind}"
        sensor_id = self._id(device, name)
        self._sensors += [
            f"  - id: {_quoted(sensor_id)}",
            f"    type: {kind}",
            f"    unit: {_quoted(unit)}{question}",
            "    tank: tank_001    # ? which tank",
        ]
        return sensor_id

    def _id(self, device: Device, name: str) -> str:
        text = device.name if device.family == "number" else f"{device.name}_{name}"
        made = re.sub(r"[/+#\x00-\x1f\x7f{}]+", ".", text).strip(" .$_")[: _LONGEST_ID - 4].strip(" .$_") or "sensor"
        found, number = made, 2
        while found in self._ids:
            found, number = f"{made}_{number}", number + 1
        self._ids.add(found)
        return found


def _named(device: Device, name: str) -> str:
    return device.name if name == "value" else name


def _unit(channel: Channel) -> str | None:
    return name_of(channel.unit) or channel.unit if channel.unit else None


def _said(channel: Channel) -> str:
    if channel.value is None:
        return _plain(channel.reason) or "no value"
    unit = f" {_plain(channel.unit)}" if channel.unit else ""
    return f"{channel.value:g}{unit}"


def _some(names: list[str]) -> str:
    return ", ".join(_plain(name) for name in names[:_LISTED]) or "nothing"


def _plain(text: str) -> str:
    """On one line of a comment."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:200].replace("${", "$ {")


def _quoted(text: str) -> str:
    """As a text of YAML, in which nothing is taken from the environment."""
    return json.dumps(text, ensure_ascii=False)


def _pattern(topic: str) -> str:
    """A topic as a pattern: a level that would read as a placeholder is any level."""
    return "/".join("+" if "{" in level or "}" in level else level for level in topic.split("/"))
