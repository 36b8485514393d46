"""Sparkplug B: births, deaths and data of edge nodes and their devices.

Writers differ from the specification, so nothing here needs a birth, a death or an answer to a rebirth request where
it can be helped: data with names is read without a birth, a name that no birth had is a new metric, and age is told
by the times alone. A birth is asked for (a rebirth request) where an alias is not known, a node is new to us or a
sequence number is missing; if nobody answers, again after half a minute, and then ever less often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from drivers.mqtt.codecs.measurements import Answer, Kind, Measurement, Read, is_empty, readings
from drivers.mqtt.codecs.protobuf import field_of, fields_of, float_of
from drivers.mqtt.codecs.times import time_from
from drivers.mqtt.codecs.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from drivers.mqtt.codecs.measurements import Message
    from drivers.mqtt.settings import PayloadSettings

_MOST_NODES: Final = 1_024
_MOST_METRICS: Final = 10_000
"""Remembered of one node. Past it all of the node is forgotten, and its next birth asked for."""
_LONGEST_NAME: Final = 256
_DEEPEST: Final = 4
_ASK_AGAIN: Final = timedelta(seconds=30)
_ASK_AT_LEAST: Final = timedelta(hours=1)

# Bits and sign of the integer data types of the specification.
_INTEGERS: Final = {1: (8, True), 2: (16, True), 3: (32, True), 4: (64, True), 5: (8, False), 6: (16, False),
                    7: (32, False), 8: (64, False)}  # fmt: skip
_FLOATS: Final = frozenset({9, 10})
_BOOLEAN: Final = 11
_TEMPLATE: Final = 19
_SURELY_POSITIVE: Final = {10: 2**7, 11: 2**31}
"""By field: an integer of unknown type below it is what it seems, for negative ones have 8 to 64 bits."""
_UNITS: Final = frozenset({"engunit", "engineering units", "engineeringunits", "unit", "units"})
_GOOD: Final = 192
_CONTROL: Final = ("Node Control/", "Device Control/")


@dataclass(slots=True)
class _Metric:
    """One metric as it is written. `held` is the field with its value, and that field's content."""

    name: str = ""
    alias: int | None = None
    at_ms: int | None = None
    datatype: int = 0
    is_null: bool = False
    unit: str | None = None
    quality: int = _GOOD
    held: int = 0
    content: int | bytes = 0


@dataclass(slots=True)
class _Node:
    """What is known of an edge node. Aliases are its own and not its devices'."""

    born: bool = False
    sequence: int | None = None
    aliases: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Device and name of each alias."""
    known: dict[tuple[str, str], tuple[int, str | None]] = field(default_factory=dict)
    """Data type and unit by device and name."""
    asked_at: datetime | None = None
    wait: timedelta = _ASK_AGAIN


class Sparkplug:
    """Reads all messages of `spBv1.0`. A device is `GROUP/NODE` or `GROUP/NODE/DEVICE`, a channel a metric's name."""

    filters = ("spBv1.0/#",)

    def __init__(self, _settings: PayloadSettings) -> None:
        self._nodes: dict[str, _Node] = {}

    def read(self, message: Message) -> Read:
        """The metrics of a birth or of data.

        Raises:
            Unread: it is no message of Sparkplug B.
        """
        levels = message.topic.split("/")
        if "STATE" in levels[:2]:
            return Read(Kind.AVAILABILITY)
        if len(levels) not in {4, 5} or levels[0] != "spBv1.0":
            raise Unread("its topic is not one of Sparkplug B")
        kind, node_name = levels[2], f"{levels[1]}/{levels[3]}"
        device = "/".join((node_name, *levels[4:]))
        if kind in {"NCMD", "DCMD"}:
            return Read(Kind.COMMAND, device=device)
        if is_empty(message.payload):
            return Read(Kind.DELETED, device=device)
        if kind not in {"NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"}:
            raise Unread("its topic is not one of Sparkplug B")
        node = self._node(node_name)
        if kind == "NDEATH":
            node.born, node.sequence = False, None
            return Read(Kind.WILL, device=device)
        at_ms, sequence, metrics = _payload(message.payload)
        in_order = kind == "NBIRTH" or node.sequence is None or sequence == (node.sequence + 1) % 256
        if sequence is not None:
            node.sequence = sequence % 256
        if kind == "NBIRTH":
            node.born, node.asked_at, node.wait = True, None, _ASK_AGAIN
            node.aliases.clear()
        if kind == "DDEATH":
            return Read(Kind.WILL, device=device, answers=self._ask(node, levels, message, needed=not in_order))
        birth = kind in {"NBIRTH", "DBIRTH"}
        unknown = [metric for metric in metrics if not self._name(node, device, metric, birth=birth)]
        at = None if at_ms is None else time_from(at_ms)
        found = readings(
            (one for metric in metrics for one in _measured(metric, node, device, at, 0)),
            device=device,
            kind=Kind.BIRTH if birth else Kind.READINGS,
        )
        needed = bool(unknown) or not node.born or not in_order
        return Read(found.kind, found.measurements, self._ask(node, levels, message, needed=needed), device)

    def forget(self) -> None:
        """Births may be among what was lost: aliases and types may be others now."""
        self._nodes.clear()

    def _node(self, name: str) -> _Node:
        node = self._nodes.get(name)
        if node is None:
            if len(self._nodes) >= _MOST_NODES:
                del self._nodes[next(iter(self._nodes))]
            node = self._nodes[name] = _Node()
        return node

    def _name(self, node: _Node, device: str, metric: _Metric, *, birth: bool) -> bool:
        """Fill in what earlier messages said of a metric, and note what this one says.

        False: its name is not known.
        """
        if not metric.name:
            if metric.alias is None or metric.alias not in node.aliases:
                return False
            metric.name = node.aliases[metric.alias][1]
        elif metric.alias is not None:
            node.aliases[metric.alias] = (device, metric.name)
        key = (device, metric.name)
        datatype, unit = node.known.get(key, (0, None))
        metric.datatype = metric.datatype or datatype
        metric.unit = metric.unit or unit
        if birth or key not in node.known:
            if len(node.known) + len(node.aliases) >= _MOST_METRICS:
                node.known.clear()
                node.aliases.clear()
                node.born = False
            node.known[key] = (metric.datatype, metric.unit)
        return True

    def _ask(self, node: _Node, levels: list[str], message: Message, *, needed: bool) -> tuple[Answer, ...]:
        """A rebirth request if one is due. A retained message is no sign of a node that could answer."""
        if not needed or message.retained:
            return ()
        now = message.received_at
        if node.asked_at is not None:
            if now - node.asked_at < node.wait:
                return ()
            node.wait = min(2 * node.wait, _ASK_AT_LEAST)
        node.asked_at = now
        return (Answer(f"spBv1.0/{levels[1]}/NCMD/{levels[3]}", _rebirth(now)),)


def _rebirth(now: datetime) -> bytes:
    at = int(now.timestamp() * 1_000)
    metric = field_of(1, b"Node Control/Rebirth") + field_of(3, at) + field_of(4, _BOOLEAN) + field_of(14, 1)
    return field_of(1, at) + field_of(2, metric)


def _payload(data: bytes) -> tuple[int | None, int | None, list[_Metric]]:
    """Time in ms, sequence number and metrics."""
    at_ms = sequence = None
    metrics: list[_Metric] = []
    for number, _, content in fields_of(data):
        if number == 1 and isinstance(content, int):
            at_ms = content
        elif number == 2 and isinstance(content, bytes):
            metrics.append(_metric(content))
        elif number == 3 and isinstance(content, int):
            sequence = content
        elif number == 4 and isinstance(content, bytes) and content.endswith(b"_COMPRESSED"):
            raise Unread("it is compressed Sparkplug B, which is not read: switch compression off in the node")
    return at_ms, sequence, metrics


def _metric(data: bytes) -> _Metric:
    metric = _Metric()
    for number, _, content in fields_of(data):
        if number == 1 and isinstance(content, bytes):
            metric.name = content[:_LONGEST_NAME].decode(errors="replace")
        elif number == 9 and isinstance(content, bytes):
            metric.unit, metric.quality = _properties(content)
        elif 10 <= number <= 18:
            metric.held, metric.content = number, content
        elif isinstance(content, int):
            if number == 2:
                metric.alias = content
            elif number == 3:
                metric.at_ms = content
            elif number == 4:
                metric.datatype = content
            elif number == 7:
                metric.is_null = content != 0
    return metric


def _properties(data: bytes) -> tuple[str | None, int]:
    """Unit and quality of a metric, which are properties by their names."""
    keys: list[str] = []
    values: list[bytes] = []
    for number, _, content in fields_of(data):
        if isinstance(content, bytes) and number in {1, 2}:
            if number == 1:
                keys.append(content[:_LONGEST_NAME].decode(errors="replace").lower())
            else:
                values.append(content)
    unit, quality = None, _GOOD
    for key, written in zip(keys, values, strict=False):
        for number, _, content in fields_of(written):
            if key in _UNITS and number == 8 and isinstance(content, bytes):
                unit = content.decode(errors="replace") or None
            elif key == "quality" and number in {3, 4} and isinstance(content, int):
                quality = content
    return unit, quality


def _measured(
    metric: _Metric, node: _Node, device: str, at: datetime | str | None, depth: int
) -> Iterator[Measurement]:
    name = metric.name
    if name == "bdSeq" or name.startswith(_CONTROL):
        return
    if metric.at_ms is not None:
        at = time_from(metric.at_ms)
    if not name:
        unknown = "the alias of a metric is not known before the node's next birth"
        reason = "a metric has neither name nor alias" if metric.alias is None else unknown
        yield Measurement(device, "", None, None, at, reason)
    elif metric.datatype == _TEMPLATE or metric.held == 18:
        if depth >= _DEEPEST or not isinstance(metric.content, bytes):
            yield Measurement(device, name, None, None, at, "it is a template that is nested too deep, or is broken")
            return
        for number, _, content in fields_of(metric.content):
            if number == 2 and isinstance(content, bytes):
                inner = _metric(content)
                inner.name = f"{name}/{inner.name}"[:_LONGEST_NAME]
                yield from _measured(inner, node, device, at, depth + 1)
    else:
        try:
            yield Measurement(device, name, _value(metric), metric.unit, at)
        except Unread as reason:
            yield Measurement(device, name, None, metric.unit, at, str(reason))


def _value(metric: _Metric) -> float:
    if metric.is_null or metric.held == 0:
        raise Unread("it is null")
    if metric.quality != _GOOD and metric.quality in {0, 500}:
        raise Unread("its device says that it is bad" if metric.quality == 0 else "its device says that it is stale")
    content, datatype = metric.content, metric.datatype
    if metric.held in {12, 13}:
        number = float_of(content)
        if number is None:
            raise Unread("its value is not of its own kind")
        if not math.isfinite(number):
            raise Unread("it is nan or infinite")
        return number
    if metric.held > 14 or not isinstance(content, int):
        raise Unread("it is a text or data, not a number")
    if metric.held == 14 or datatype == _BOOLEAN:
        return float(content != 0)
    if datatype in _INTEGERS:
        bits, signed = _INTEGERS[datatype]
        content &= (1 << bits) - 1
        return float(content - (1 << bits) if signed and content >> (bits - 1) else content)
    if datatype in _FLOATS or (datatype == 0 and content < _SURELY_POSITIVE[metric.held]):
        return float(content)
    raise Unread(
        "its type is not known before a birth, and it may be negative" if datatype == 0 else "it is no number"
    )
