"""Home Assistant's discovery: retained messages say which topics bring what, in which unit and how it is taken out.

Of templates only the plain ones are read, which is nearly all that devices announce: `{{ value }}`,
`{{ value_json.a.b }}`, `{{ value_json['a'] }}`, with `float`, `int` and `round` behind.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from drivers.mqtt.codecs.leaves import document_of, object_of
from drivers.mqtt.codecs.measurements import Kind, Measurement, Read, is_empty, readings, text_of
from drivers.mqtt.codecs.numbers import Written, value
from drivers.mqtt.codecs.paths import followed
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.codecs.paths import Levels
    from drivers.mqtt.settings import PayloadSettings

_MOST: Final = 4_096
"""Descriptions remembered, each of at most 64 components."""
_MOST_COMPONENTS: Final = 64
_LONGEST: Final = 256
_MEASURING: Final = ("sensor", "binary_sensor", "number", "switch")
_SWITCHED: Final = ("binary_sensor", "switch")
_SHORT: Final = {
    "stat_t": "state_topic", "val_tpl": "value_template", "unit_of_meas": "unit_of_measurement",
    "uniq_id": "unique_id", "dev": "device", "ids": "identifiers",
    "avty_t": "availability_topic", "avty": "availability", "t": "topic",
    "cmps": "components", "p": "platform", "pl_on": "payload_on", "pl_off": "payload_off", "dev_cla": "device_class",
}  # fmt: skip
_STEP = r"(?:\.[A-Za-z_]\w{0,63}|\[\s*(?:'[^'\]]{1,64}'|\"[^\"\]]{1,64}\"|\d{1,4})\s*\])"
_TEMPLATE: Final = re.compile(
    r"\{\{-?\s*(?:value|value_json(" + _STEP + r"{0,8}))\s*"
    r"(?:\|\s*(?:float|int|round|is_defined)\s*(?:\([^()|{}]{0,32}\))?\s*){0,4}-?\}\}"
)
_STEPS: Final = re.compile(r"\.(\w+)|\[\s*(?:'([^']*)'|\"([^\"]*)\"|(\d+))\s*\]")


@dataclass(frozen=True, slots=True)
class _Entity:
    """What one topic brings of one entity. Without `way` the payload is the value; None is a template not read."""

    device: str
    channel: str
    unit: str | None
    way: Levels | None
    on: str = ""
    off: str = ""


class HomeAssistant:
    """Reads descriptions and the topics that they name. The device is its name or id, a channel the unique id."""

    filters = ("homeassistant/#",)

    def __init__(self, settings: PayloadSettings) -> None:
        self._written = Written(decimal_comma=settings.decimal_comma, switch=True)
        self._described: dict[str, list[tuple[str, _Entity]]] = {}
        """Topics and entities by the topic of their description."""
        self._entities: dict[str, dict[tuple[str, str], _Entity]] = {}
        self._availability: set[str] = set()
        self.topics: set[str] = set()
        """The topics that descriptions name, for a probe that follows them."""

    def read(self, message: Message) -> Read:
        """The values of a topic that was described, or nothing for a description.

        Raises:
            Unread: nothing has described the topic, or what it brings is not as described.
        """
        topic = message.topic
        levels = topic.split("/")
        if levels[-1] == "config" and len(levels) in {4, 5}:
            self._describe(levels, message)
            return Read(Kind.DESCRIPTION)
        entities = self._entities.get(topic)
        if entities is None:
            if topic in self._availability or levels[-1] in {"status", "availability", "LWT"}:
                return Read(Kind.AVAILABILITY)
            if is_empty(message.payload):
                return Read(Kind.DELETED)
            raise Unread("no discovery message has said what this topic brings")
        if is_empty(message.payload):
            return Read(Kind.DELETED)
        found = tuple(self._measured(entity, message.payload) for entity in entities.values())
        return readings(found, device=found[0].device if found else "")

    def forget(self) -> None:
        """The descriptions come again: they are retained."""
        self._described.clear()
        self._entities.clear()
        self._availability.clear()
        self.topics.clear()

    def _measured(self, entity: _Entity, payload: bytes) -> Measurement:
        if entity.way is None:
            reason = "its template is not one that is read here"
            return Measurement(entity.device, entity.channel, None, entity.unit, None, reason)
        try:
            found: Any = followed(document_of(payload), entity.way) if entity.way else text_of(payload)
            if entity.on and isinstance(found, str) and found in {entity.on, entity.off}:
                found = found == entity.on
            number, unit = value(found, "it", self._written)
        except Unread as reason:
            return Measurement(entity.device, entity.channel, None, entity.unit, None, str(reason))
        return Measurement(entity.device, entity.channel, number, entity.unit or unit)

    def _describe(self, levels: list[str], message: Message) -> None:
        for topic, entity in self._described.pop(message.topic, ()):
            known = self._entities.get(topic, {})
            known.pop((entity.device, entity.channel), None)
            if not known:
                self._entities.pop(topic, None)
        if is_empty(message.payload) or len(self._described) >= _MOST:
            return
        described = _long(object_of(message.payload))
        components = described.get("components")
        if isinstance(components, dict):
            parts = [
                (key, {**described, **_long(inner)})
                for key, inner in list(components.items())[:_MOST_COMPONENTS]
                if isinstance(inner, dict)
            ]
        else:
            parts = [(levels[-2], {**described, "platform": levels[1]})]
        found: list[tuple[str, _Entity]] = []
        for name, part in parts:
            for topic in _availability(part):
                if len(self._availability) < _MOST:
                    self._availability.add(topic)
                    self.topics.add(topic)
            state = _full(part, part.get("state_topic"))
            if part.get("platform") in _MEASURING and state:
                entity = _entity(name, levels, part)
                self._entities.setdefault(state, {})[entity.device, entity.channel] = entity
                self.topics.add(state)
                found.append((state, entity))
        self._described[message.topic] = found


def _entity(name: str, levels: list[str], part: dict[str, Any]) -> _Entity:
    device = _long(part["device"]) if isinstance(part.get("device"), dict) else {}
    identifiers = device.get("identifiers")
    first = identifiers[0] if isinstance(identifiers, list) and identifiers else identifiers
    names = (device.get("name"), first, levels[2] if len(levels) == 5 else None, levels[-2])
    template = part.get("value_template")
    return _Entity(
        device=next((one for one in names if isinstance(one, str) and one), levels[-2])[:_LONGEST],
        channel=(_text(part.get("unique_id")) or name)[:_LONGEST],
        unit=_text(part.get("unit_of_measurement")) or None,
        way=() if template is None else _way(template),
        on=(_text(part.get("payload_on")) or "ON") if part.get("platform") in _SWITCHED else "",
        off=_text(part.get("payload_off")) or "OFF",
    )


def _long(described: dict[str, Any]) -> dict[str, Any]:
    return {_SHORT.get(key, key): held for key, held in described.items()}


def _text(found: Any) -> str:
    return found if isinstance(found, str) else ""


def _full(part: dict[str, Any], topic: Any) -> str:
    """A topic with what `~` stands for."""
    text, base = _text(topic), _text(part.get("~"))
    if text.startswith("~"):
        text = base + text[1:]
    elif text.endswith("~"):
        text = text[:-1] + base
    return text[: 4 * _LONGEST]


def _availability(part: dict[str, Any]) -> list[str]:
    several = part.get("availability")
    topics = [part.get("availability_topic")]
    if isinstance(several, list):
        topics += [_long(one).get("topic") for one in several if isinstance(one, dict)]
    return [full for topic in topics if (full := _full(part, topic))]


def _way(template: Any) -> Levels | None:
    """The path that a template takes, empty for the whole payload; None for a template that is not read."""
    found = _TEMPLATE.fullmatch(template.strip()) if isinstance(template, str) and len(template) < 1_024 else None
    if found is None:
        return None
    if found[1] is None:
        return ()
    return tuple(
        int(place) if place else name or single or double for name, single, double, place in _STEPS.findall(found[1])
    )
