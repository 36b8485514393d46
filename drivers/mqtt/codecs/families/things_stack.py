"""Uplinks of The Things Stack 3: what its formatter decoded, or the raw bytes by a layout that config declares."""

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


class ThingsStack:
    """Reads `v3/APP@TENANT/devices/DEVICE/up`. A device is its id, a channel a key of the decoded payload."""

    filters = ("v3/+/devices/+/up", "v3/+/devices/+/join")

    def __init__(self, settings: PayloadSettings) -> None:
        self._layout = Layout(settings.layout)
        self._leaves = Leaves(Written(decimal_comma=settings.decimal_comma, switch=True))

    def read(self, message: Message) -> Read:
        """The values of one uplink.

        Raises:
            Unread: it is no uplink, or its bytes are neither decoded nor declared.
        """
        levels = message.topic.split("/")
        place = levels.index("devices") if "devices" in levels else -1
        device = levels[place + 1] if 0 <= place < len(levels) - 1 else ""
        rest = levels[place + 2 :] if device else levels[-1:]
        if rest[:1] == ["join"]:
            return Read(Kind.BIRTH, device=device)
        if rest[:1] == ["down"]:
            return Read(Kind.COMMAND, device=device)
        if rest != ["up"]:
            return Read(Kind.OTHER, device=device)
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=device)
        document = object_of(message.payload)
        uplink, ids = document.get("uplink_message"), document.get("end_device_ids")
        if not isinstance(uplink, dict) or not isinstance(ids, dict) or not isinstance(ids.get("device_id"), str):
            raise Unread("it is no uplink of The Things Stack 3")
        device = ids["device_id"]
        stated = uplink.get("received_at") or document.get("received_at")
        at = None if stated is None else time_from(stated)
        if self._layout.fields:
            return readings(
                self._layout.of(uplink.get("frm_payload"), uplink.get("f_port"), device, at), device=device
            )
        if not isinstance(uplink.get("decoded_payload"), dict):
            if not uplink.get("frm_payload"):
                return Read(Kind.OTHER, device=device)
            raise Unread(
                "its bytes are not decoded: set a payload formatter for the device, or declare payload.layout"
            )
        return readings(self._leaves.of(uplink["decoded_payload"], device, at), device=device)

    def forget(self) -> None:
        """Nothing is remembered."""
