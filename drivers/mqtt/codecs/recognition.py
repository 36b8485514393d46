"""Which family a message is of, and which devices and channels a broker's messages name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from drivers.mqtt.codecs.measurements import Kind, Message, Read, is_empty
from drivers.mqtt.codecs.numbers import Written, number
from drivers.mqtt.codecs.registry import family
from drivers.mqtt.codecs.unread import Unread
from drivers.mqtt.settings import PayloadSettings

if TYPE_CHECKING:
    from datetime import datetime

    from drivers.mqtt.codecs.measurements import Codec, Measurement

_MOST_DEVICES: Final = 1_000
_MOST_CHANNELS: Final = 250
_MOST_UNKNOWN: Final = 200
_COMPONENTS: Final = frozenset({"sensor", "binary_sensor", "switch", "number", "light", "fan", "valve"})
_TASMOTA: Final = frozenset({"SENSOR", "STATE", "LWT", "RESULT", "INFO1", "INFO2", "INFO3", "POWER"})
_AVAILABLE: Final = (b"online", b"offline")
"""All that a will or a sign of life says."""
_WHOLE: Final = {
    "sparkplug": ("spBv1.0/#",),
    "thin_edge": ("te/#",),
    "chirpstack": ("application/+/device/+/event/+",),
    "things_stack": ("v3/+/devices/+/up",),
}
"""Families of which one subscription brings all devices."""


@dataclass(slots=True)
class Channel:
    """What was heard of one channel: the newest value, or the reason why there is none."""

    value: float | None = None
    unit: str | None = None
    reason: str = ""
    at: datetime | str | None = None
    count: int = 0

    def hear(self, one: Measurement) -> None:
        """Take a measurement."""
        self.count += 1
        self.unit = one.unit or self.unit
        self.at = one.at
        if one.value is None:
            self.reason = one.reason
        else:
            self.value, self.reason = one.value, ""


@dataclass(slots=True)
class Device:
    """A device, by its family: the filters that bring it, and its channels."""

    family: str
    name: str
    filters: dict[str, None] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)


class Recognition:
    """Listens to everything on a broker, and keeps what it recognises, within bounds."""

    def __init__(self) -> None:
        self._codecs: dict[str, Codec] = {}
        self._bases: set[str] = {"zigbee2mqtt"}
        self._discovery: set[str] = set()
        self.devices: dict[tuple[str, str], Device] = {}
        self.unknown: dict[str, str] = {}
        """Topics that are of no family, with the reason."""
        self.messages = 0

    def hear(self, message: Message) -> None:
        """Take one message."""
        levels = message.topic.split("/")
        if levels[0] == "tidegate" or levels[0].startswith("$") or message.payload.strip().lower() in _AVAILABLE:
            return
        self.messages += 1
        name = self._family(levels, message)
        if not name:
            self._note(message.topic, "no family of payloads is like this")
            return
        try:
            read = self._codec(name).read(message)
        except Unread as reason:
            self._note(message.topic, str(reason))
            return
        if name == "home_assistant" and read.kind is Kind.DESCRIPTION:
            self._discovery.add(levels[0])
        if read.measurements:
            self._keep(name, levels, message.topic, read)

    def _keep(self, name: str, levels: list[str], topic: str, read: Read) -> None:
        filters: tuple[str, ...] = _WHOLE.get(name) or ((f"{levels[0]}/#",) if name == "zigbee2mqtt" else (topic,))
        if name == "home_assistant":
            filters = (*(f"{prefix}/#" for prefix in sorted(self._discovery)), topic)
        for one in read.measurements:
            if not one.channel:
                continue
            key = name, one.device
            device = self.devices.get(key)
            if device is None:
                if len(self.devices) >= _MOST_DEVICES:
                    self._note(topic, "more devices than are listed")
                    return
                device = self.devices[key] = Device(name, one.device)
            device.filters.update(dict.fromkeys(filters))
            channel = device.channels.get(one.channel)
            if channel is None and len(device.channels) < _MOST_CHANNELS:
                channel = device.channels[one.channel] = Channel()
            if channel is not None:
                channel.hear(one)

    def _note(self, topic: str, reason: str) -> None:
        if topic in self.unknown or len(self.unknown) < _MOST_UNKNOWN:
            self.unknown[topic] = reason

    def _codec(self, name: str) -> Codec:
        if name not in self._codecs:
            self._codecs[name] = family(name)(PayloadSettings(format=name))
        return self._codecs[name]

    def _family(self, levels: list[str], message: Message) -> str:
        """The name of the family; empty if it is none. Topics say more than payloads do."""
        by_topic = self._by_topic(levels, message)
        if by_topic:
            return by_topic
        described = getattr(self._codecs.get("home_assistant"), "topics", ())
        return "home_assistant" if message.topic in described else self._by_payload(message)

    def _by_topic(self, levels: list[str], message: Message) -> str:  # noqa: C901, PLR0911 - a family a line
        first, last = levels[0], levels[-1]
        if first == "spBv1.0":
            return "sparkplug"
        if len(levels) > 2 and levels[-2] == "bridge" and last in {"state", "devices", "info"}:
            self._bases.add(first)
        if first in self._bases:
            return "zigbee2mqtt"
        if first in {"te", "tedge"}:
            return "thin_edge"
        if first == "application" and len(levels) == 6 and levels[2] == "device":
            return "chirpstack"
        if first == "v3" and len(levels) > 4 and levels[2] == "devices":
            return "things_stack"
        if last in _TASMOTA and {"tele", "stat", "cmnd"}.intersection(levels[:-1]):
            return "tasmota"
        if first == "shellies" or levels[-2:] == ["events", "rpc"]:
            return "shelly"
        if len(levels) > 2 and levels[-2] == "status" and ":" in last:
            return "shelly"
        if last == "config" and len(levels) in {4, 5} and message.payload[:1] == b"{":
            return "home_assistant"
        if last == "state" and len(levels) > 3 and levels[-3] in _COMPONENTS:
            return "esphome"
        return ""

    def _by_payload(self, message: Message) -> str:
        payload = message.payload
        if is_empty(payload):
            return "number"  # of which nothing comes
        try:
            number(payload, "it", Written(switch=True, decimal_comma=True))
        except Unread:
            pass
        else:
            return "number"
        for name in ("senml", "json", "csv"):
            try:
                read = self._codec(name).read(message)
            except Unread:
                continue
            values = [one for one in read.measurements if one.value is not None]
            if name == "senml" and not all(one.device and one.channel for one in read.measurements):
                continue
            if values:
                return name
        return ""
