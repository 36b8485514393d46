"""Codecs by name: those of this package, and those that other packages declare as entry points."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from drivers.spelling import Misspelt

if TYPE_CHECKING:
    from drivers.mqtt.codecs.measurements import Family

GROUP: Final = "tidegate.codecs"
"""The group of the entry points. Each is a `Family`, under the name that `payload.format` gives."""

FAMILIES: Final = {
    "json": "document:Document",
    "number": "number:Number",
    "csv": "table:Table",
    "senml": "senml:Senml",
    "sparkplug": "sparkplug:Sparkplug",
    "zigbee2mqtt": "zigbee2mqtt:Zigbee2Mqtt",
    "tasmota": "tasmota:Tasmota",
    "shelly": "shelly:Shelly",
    "esphome": "esphome:Esphome",
    "home_assistant": "home_assistant:HomeAssistant",
    "chirpstack": "chirpstack:ChirpStack",
    "things_stack": "things_stack:ThingsStack",
    "thin_edge": "thin_edge:ThinEdge",
}
"""Module and class by name. A module is imported when it is first asked for: a farm has one or two of them."""


@cache
def family(name: str) -> Family:
    """The family of a name.

    Raises:
        Misspelt: there is none.
    """
    if name in FAMILIES:
        module, _, made = FAMILIES[name].partition(":")
        found: Family = getattr(import_module(f"drivers.mqtt.codecs.families.{module}"), made)
        return found
    declared = entry_points(group=GROUP)
    for one in declared:
        if one.name == name:
            loaded: Family = one.load()
            return loaded
    known = sorted({*FAMILIES, *declared.names})
    raise Misspelt(f"there is no format {name}", f"write {', '.join(known[:-1])} or {known[-1]}")
