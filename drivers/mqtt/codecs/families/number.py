"""A number as the whole payload. The topic is the device, and its one channel is `value`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drivers.mqtt.codecs.measurements import Kind, Measurement, Read, is_empty
from drivers.mqtt.codecs.numbers import Written, number

if TYPE_CHECKING:
    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings


class Number:
    """Reads plain numbers, with a unit behind them or not."""

    filters: tuple[str, ...] = ()

    def __init__(self, settings: PayloadSettings) -> None:
        self._written = Written(decimal_comma=settings.decimal_comma, switch=settings.switch)

    def read(self, message: Message) -> Read:
        """The one value.

        Raises:
            Unread: it is no number.
        """
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=message.topic)
        found, unit = number(message.payload, "the payload", self._written)
        return Read(measurements=(Measurement(message.topic, "value", found, unit),), device=message.topic)

    def forget(self) -> None:
        """Nothing is remembered."""
