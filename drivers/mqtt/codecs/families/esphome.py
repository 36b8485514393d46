"""ESPHome over MQTT: `NODE/COMPONENT/NAME/state`. Units are told by its discovery messages only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from drivers.mqtt.codecs.measurements import Kind, Measurement, Read, is_empty, text_of
from drivers.mqtt.codecs.numbers import Written, value
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_MEASURING: Final = frozenset({"sensor", "binary_sensor", "number", "switch", "light", "fan", "valve"})


class Esphome:
    """Reads the states of ESPHome's components. A channel is `sensor/water_temperature`."""

    filters = ("+/sensor/+/state", "+/binary_sensor/+/state", "+/switch/+/state", "+/number/+/state", "+/status")

    def __init__(self, settings: PayloadSettings) -> None:
        self._written = Written(decimal_comma=settings.decimal_comma, switch=True)

    def read(self, message: Message) -> Read:
        """The value of one component."""
        levels = message.topic.split("/")
        last = levels[-1]
        if len(levels) >= 4 and levels[-3] in _MEASURING and last == "state":
            device, channel = "/".join(levels[:-3]), "/".join(levels[-3:-1])
            if is_empty(message.payload):
                return Read(Kind.DELETED, device=device)
            try:
                found, unit = value(text_of(message.payload), "it", self._written)
            except Unread as reason:
                return Read(measurements=(Measurement(device, channel, None, reason=str(reason)),), device=device)
            return Read(measurements=(Measurement(device, channel, found, unit),), device=device)
        device = "/".join(levels[:-1])
        if last == "status":
            return Read(Kind.AVAILABILITY, device=device)
        if "command" in levels[-2:]:
            return Read(Kind.COMMAND, device=device)
        return Read(Kind.OTHER, device=device)

    def forget(self) -> None:
        """Nothing is remembered."""
