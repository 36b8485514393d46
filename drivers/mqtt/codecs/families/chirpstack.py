"""Uplinks of ChirpStack 4: what its codec decoded, or the raw bytes by a layout that the configuration declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.mqtt.codecs.layouts import Layout
from drivers.mqtt.codecs.leaves import Leaves, object_of
from drivers.mqtt.codecs.measurements import Kind, Read, is_empty, readings
from drivers.mqtt.codecs.numbers import Written
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_KINDS = {
    "join": Kind.BIRTH, "status": Kind.AVAILABILITY, "ack": Kind.COMMAND, "txack": Kind.COMMAND, "log": Kind.OTHER,
    "location": Kind.OTHER, "integration": Kind.OTHER,
}  # fmt: skip


class ChirpStack:
    """Reads `application/ID/device/EUI/event/up`. A device is its EUI, a channel a key of the decoded object."""

    filters = ("application/+/device/+/event/+",)

    def __init__(self, settings: PayloadSettings) -> None:
        self._layout = Layout(settings.layout)
        self._leaves = Leaves(Written(decimal_comma=settings.decimal_comma, switch=True))

    def read(self, message: Message) -> Read:
        """The values of one uplink.

        Raises:
            Unread: it is no uplink, or its bytes are neither decoded nor declared.
        """
        levels = message.topic.split("/")
        device = levels[-3] if len(levels) >= 3 else ""
        if len(levels) >= 2 and levels[-2] == "command":
            return Read(Kind.COMMAND, device=device)
        if levels[-1] in _KINDS:
            return Read(_KINDS[levels[-1]], device=device)
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=device)
        uplink = object_of(message.payload)
        info = uplink.get("deviceInfo")
        if not isinstance(info, dict) or not isinstance(info.get("devEui"), str):
            raise Unread("it is no uplink of ChirpStack 4 (deviceInfo.devEui is missing)")
        device = info["devEui"].lower()
        at = time_from(uplink["time"]) if uplink.get("time") is not None else None
        if self._layout.fields:
            found = self._layout.of(uplink.get("data"), uplink.get("fPort"), device, at)
            return readings(found, device=device)
        if not isinstance(uplink.get("object"), dict):
            if not uplink.get("data"):
                return Read(Kind.OTHER, device=device)  # an uplink without bytes, which only keeps the link alive
            raise Unread(
                "its bytes are not decoded: give the device a codec in ChirpStack, or declare payload.layout"
            )
        return readings(self._leaves.of(uplink["object"], device, at), device=device)

    def forget(self) -> None:
        """Nothing is remembered."""
