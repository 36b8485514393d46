"""Shelly: the first generation has a topic for each value, later ones JSON-RPC that brings what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from drivers.mqtt.codecs.leaves import Leaves, object_of
from drivers.mqtt.codecs.measurements import Kind, Measurement, Read, is_empty, readings, text_of
from drivers.mqtt.codecs.numbers import Written, value
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from drivers.mqtt.codecs.leaves import Path
    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_WRITTEN: Final = Written(switch=True)
_UNITS: Final = {
    "tC": "degC", "tF": "degF", "rh": "%", "apower": "W", "aprtpower": "VA", "voltage": "V", "current": "A",
    "freq": "Hz", "humidity": "%", "battery": "%", "power": "W", "temperature": "degC", "lux": "lx",
    "ext_temperature": "degC", "ext_humidity": "%", "temperature_f": "degF", "total": "Wh",
}  # fmt: skip
_SKIP: Final = frozenset({"id", "source", "by_minute", "minute_ts", "wake_period", "uptime", "errors", "hwID"})
_READ_METHODS: Final = ("NotifyStatus", "NotifyFullStatus")
_INVALID_C: Final = 999.0
"""What the first generation writes for a probe that is not there."""


class Shelly:
    """Reads what a Shelly publishes. A channel is `sensor/temperature` or `temperature:100.tC`."""

    filters = ("shellies/#", "+/events/rpc", "+/status/+", "+/online")

    def __init__(self, _settings: PayloadSettings) -> None:
        pass

    def read(self, message: Message) -> Read:
        """The values of one message.

        Raises:
            Unread: it is none of a Shelly.
        """
        levels = message.topic.split("/")
        if levels[0] == "shellies":
            return self._first(levels, message)
        device, last = "/".join(levels[:-1]) or message.topic, levels[-1]
        if last == "online":
            return Read(Kind.AVAILABILITY, device=device)
        if "command" in levels or (last == "rpc" and levels[-2:] != ["events", "rpc"]):
            return Read(Kind.COMMAND, device=device)
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=device)
        if levels[-2:] == ["events", "rpc"]:
            return self._notification(message)
        if len(levels) > 2 and levels[-2] == "status":
            device = "/".join(levels[:-2])
            return readings(self._component(last, object_of(message.payload), device, None), device=device)
        return Read(Kind.OTHER, device=device)

    def forget(self) -> None:
        """Nothing is remembered: what a partial update leaves out has not changed, and is no new reading."""

    @staticmethod
    def _component(name: str, found: Any, device: str, at: datetime | str | None) -> Iterator[Measurement]:
        if isinstance(found, dict):
            yield from Leaves(_WRITTEN, None, _SKIP, _unit_of, frozenset()).of(found, device, at, (name[:128],))

    def _notification(self, message: Message) -> Read:
        document = object_of(message.payload)
        device = document.get("src")
        if not isinstance(device, str):
            raise Unread("it does not say which Shelly it is of")
        params = document.get("params")
        if document.get("method") not in _READ_METHODS or not isinstance(params, dict):
            return Read(Kind.OTHER, device=device)
        at = time_from(params["ts"]) if params.get("ts") is not None else None
        found = (
            one
            for name, inner in params.items()
            if name not in {"ts", "sys", "wifi", "cloud", "mqtt", "ws", "ble"}
            for one in self._component(name, inner, device, at)
        )
        return readings(found, device=device)

    @staticmethod
    def _first(levels: list[str], message: Message) -> Read:
        if len(levels) < 3:
            return Read(Kind.OTHER)
        device, rest = levels[1], levels[2:]
        channel = "/".join(rest)
        if rest == ["online"]:
            return Read(Kind.AVAILABILITY, device=device)
        if rest[-1] in {"announce", "info"}:
            return Read(Kind.DESCRIPTION, device=device)
        if rest[-1] in {"command", "set"}:
            return Read(Kind.COMMAND, device=device)
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=device)
        if message.payload.lstrip()[:1] == b"{":
            document = object_of(message.payload)
            return readings(
                Leaves(_WRITTEN, None, _SKIP, _unit_of).of(document, device, None, (channel,)), device=device
            )
        name = next((level for level in reversed(rest) if not level.isdigit()), channel)
        unit = _UNITS.get(name)
        try:
            found, behind = value(text_of(message.payload), "it", _WRITTEN)
        except Unread as reason:
            return Read(measurements=(Measurement(device, channel, None, unit, None, str(reason)),), device=device)
        if unit == "degC" and found >= _INVALID_C:
            return Read(measurements=(Measurement(device, channel, None, unit, None, "sensor fault"),), device=device)
        return Read(measurements=(Measurement(device, channel, found, behind or unit),), device=device)


def _unit_of(path: Path) -> str | None:
    return _UNITS.get(path[-1])
