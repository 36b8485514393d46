"""Whether subscriptions and cameras can work, and bring what sensors and limits wait for.

Topics, paths and sources are read by the drivers' own parsers, so that `tidegate check` finds what a driver would.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from agent.config.schema.values import HOST
from agent.farm import units
from drivers.patterns import PLACEHOLDERS, Pattern, Template
from drivers.spelling import Misspelt, path_text
from drivers.units import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.config.rules.findings import Findings
    from drivers.spelling import Location

_LONGEST_TEXT: Final = 1024
_LONGEST_LABEL: Final = 63
_OF_SOME: Final = frozenset({"each", "name", "device", "columns", "delimiter", "layout"})
_USED: Final = {
    "number": frozenset[str](),
    "json": frozenset({"each", "name", "device"}),
    "csv": frozenset({"device", "columns", "delimiter"}),
    "chirpstack": frozenset({"layout"}),
    "things_stack": frozenset({"layout"}),
    **{
        name: frozenset[str]()
        for name in (
            "senml",
            "sparkplug",
            "zigbee2mqtt",
            "tasmota",
            "shelly",
            "esphome",
            "home_assistant",
            "thin_edge",
        )
    },
}
"""Which of the keys that only some formats have each of ours uses; those of other packages may use any."""
_TEMPLATES: Final = {"sensor_id": "{tank}_{metric}", "sensor_type": "{metric}", "tank": "{tank}"}


def look_at_wiring(findings: Findings) -> None:
    """Topics, the names made of them, payloads, units, limits, and sensors that nothing brings."""
    _host(findings, ("http", "host"), findings.section("http").get("host"))
    for at, connection in findings.items("mqtt"):
        _host(findings, (*at, "host"), connection.get("host"))
        first: dict[tuple[str, Any], Location] = {}
        for location, item in findings.items("subscriptions", connection, at):
            _topic(findings, location, item, first)
            _unit(findings, (*location, "unit"), item.get("sensor_type"), item.get("unit"))
            _payload(findings, (*location, "payload"), item.get("payload"))
    for location, camera in findings.items("cameras"):
        _source(findings, (*location, "source"), camera.get("source"))
    for location, sensor in findings.items("sensors"):
        _unit(findings, (*location, "unit"), sensor.get("type"), sensor.get("unit"))
        _limits(findings, (*location, "limits"), sensor.get("limits"))
        _brought(findings, location, sensor)


def _topic(
    findings: Findings, location: Location, item: dict[str, Any], first: dict[tuple[str, Any], Location]
) -> None:
    topic, place = item.get("topic"), (*location, "topic")
    if not isinstance(topic, str):
        return
    try:
        pattern = Pattern(topic)
    except Misspelt as fault:
        _misspelt(findings.say, findings, place, fault)
        return
    if _by_channel(item):
        _channels(findings, location, item)
        return
    # A payload with three values takes three subscriptions of one topic, each with a sensor of its own.
    same = first.setdefault((pattern.filter, str(item.get("sensor_id"))), location)
    if same is not location:
        message = f"brings the same sensors as {path_text(same)}"
        findings.say(place, message, "give each a sensor_id of its own, or remove one")
    _templates(findings, location, item, pattern.names)


def _by_channel(item: dict[str, Any]) -> bool:
    """Whether its messages bring several values, each with a device and a channel."""
    payload = item.get("payload")
    written = payload if isinstance(payload, dict) else {}
    is_single = (written.get("format") or "number") in {"json", "number"} and written.get("each") is None
    return not is_single or bool(item.get("channels"))


def _channels(findings: Findings, location: Location, item: dict[str, Any]) -> None:
    """Each channel belongs to one sensor that is known by name."""
    known = {sensor.get("id") for _, sensor in findings.items("sensors")}
    first: dict[tuple[Any, Any], Location] = {}
    for at, one in findings.items("channels", item, location):
        same = first.setdefault((one.get("device"), one.get("channel")), at)
        if same is not at:
            findings.say((*at, "channel"), f"is also that of {path_text(same)}", "remove one of them")
        if isinstance(one.get("sensor_id"), str) and one["sensor_id"] not in known:
            message = f"there is no sensor {findings.written((*at, 'sensor_id'))}"
            findings.say((*at, "sensor_id"), message, "add it to sensors, with its type, unit and tank")
    template = item.get("sensor_id")
    used = Template(template if isinstance(template, str) else "").fields
    if not first and not {"device", "channel"}.intersection(used):
        message = "brings several values a message, and none has a sensor"
        hint = (
            "list channels with their sensor_id (tidegate probe shows them), or set sensor_id: '{device}_{channel}'"
        )
        findings.say((*location, "topic"), message, hint)


def _templates(findings: Findings, location: Location, item: dict[str, Any], given: Sequence[str]) -> None:
    from drivers.mqtt.codecs import name_reader  # noqa: PLC0415 - paho, which verbs that only ask for folders do without

    sensor_id = item.get("sensor_id")
    # Of a sensor that config knows by name it knows type and tank, too.
    is_known = any(sensor.get("id") == sensor_id for _, sensor in findings.items("sensors"))
    lacking = {}
    by_payload = _is_json(item)
    for key, default in _TEMPLATES.items():
        template = item.get(key)
        used = Template(template if isinstance(template, str) else default).fields
        missing = [name for name in used if name not in given]
        if by_payload:
            for path in (name for name in missing if name not in PLACEHOLDERS):
                try:
                    name_reader(path)
                except Misspelt:
                    hint = "such as {id} or {device.eui}"
                    findings.say((*location, key), f"{{{path}}} is not the path of a field", hint)
            missing = [name for name in missing if name in PLACEHOLDERS]
        absent = next(iter(missing), None)
        if absent is None or (key != "sensor_id" and is_known):
            continue
        if template is None:
            lacking[key] = absent
        else:
            hint = f"the topic has {_listed(given)}" if given else "the topic has no placeholder"
            if absent not in PLACEHOLDERS:
                hint += "; to take it from a field of the payload, set payload.format: json"
            elif by_payload:
                hint += f"; a field of the payload goes by another name, as in {key}: '{{data.{absent}}}'"
            findings.say((*location, key), f"{{{absent}}} is not in the topic", hint)
    if lacking:
        absent_names = _listed(list(dict.fromkeys(lacking.values())))
        message = f"has no {absent_names}, so the subscription needs {_and(list(lacking))}"
        findings.say((*location, "topic"), message, f"add {next(iter(lacking))}: … to it")


def _is_json(item: dict[str, Any]) -> bool:
    payload = item.get("payload")
    return isinstance(payload, dict) and payload.get("format") == "json"


def _format(findings: Findings, location: Location, payload: dict[str, Any]) -> str | None:
    """The format if there is one of this name; keys that it does not use are reported."""
    from drivers.mqtt.codecs.registry import family  # noqa: PLC0415 - as in _templates

    kind = payload.get("format") or "number"
    if not isinstance(kind, str):
        return None
    try:
        family(kind)
    except Misspelt as fault:
        _misspelt(findings.say, findings, (*location, "format"), fault)
        return None
    for key in sorted(_OF_SOME.difference(_USED.get(kind, _OF_SOME))):
        if payload.get(key) is not None:
            formats = " or ".join(name for name, keys in _USED.items() if key in keys)
            findings.say((*location, key), f"has no effect with format: {kind}", f"it is for {formats}")
    return kind


def _payload(findings: Findings, location: Location, payload: Any) -> None:
    from drivers.mqtt.codecs import codec, look_at_spelling  # noqa: PLC0415 - as in _templates
    from drivers.mqtt.settings import PayloadSettings  # noqa: PLC0415 - the same

    if not isinstance(payload, dict):
        return
    kind = _format(findings, location, payload)
    if kind is None:
        return
    if payload.get("at_zone") is not None and kind in {"json", "number"} and payload.get("at") is None:
        findings.say((*location, "at_zone"), "has no effect without at", "name the field of the time in at")
    for key in ("value", "at", "unit", "counter"):
        path = payload.get(key)
        if path is None:
            continue
        if kind == "number":
            findings.say((*location, key), "has no effect on plain numbers", "set format: json")
        elif isinstance(path, str) and kind == "json":
            try:
                codec(PayloadSettings(format="json", value=path))
            except Misspelt as fault:
                _misspelt(findings.say, findings, (*location, key), fault)
                continue
            try:
                look_at_spelling(path)
            except Misspelt as fault:
                _misspelt(findings.say_unusable, findings, (*location, key), fault)


def _misspelt(
    say: Callable[[Location, str, str], None], findings: Findings, place: Location, fault: Misspelt
) -> None:
    """What a parser says of a value quotes it, which must not be done with what came from the environment (E3)."""
    if "${" in findings.raw(place):
        message = f"the value of {findings.written(place)} cannot be used here"
        say(place, message, "check the value of the variable")
    else:
        say(place, str(fault), fault.hint)


def _host(findings: Findings, location: Location, host: Any) -> None:
    """A host or an address and nothing else; what the schema refuses is passed over."""
    if not isinstance(host, str) or not re.fullmatch(HOST.pattern, host):
        return
    shown = findings.written(location)
    with_port = re.fullmatch(r"(?:\[(?P<ipv6>.*)\]|(?P<name>[^:]*)):(?P<port>[0-9]+)", host)
    if with_port is not None:
        hint = "write the port into the key port" + (", and the address without brackets" if host[0] == "[" else "")
        findings.say_unusable(location, f"{shown} has a port in it", hint)
    elif "[" in host or "]" in host:
        findings.say_unusable(location, f"{shown} has brackets around it", "write the address without [ and ]")
    elif ":" in host or re.fullmatch(r"[0-9.]+", host):
        try:
            ip_address(host)
        except ValueError:
            kind = "IPv6" if ":" in host else "IPv4"
            findings.say_unusable(location, f"{shown} is not an {kind} address", "look for a missing or wrong part")
    elif not all(0 < len(label) <= _LONGEST_LABEL for label in host.removesuffix(".").split(".")):
        message = f"{shown} cannot be the name of a host"
        findings.say_unusable(location, message, f"between two dots there are 1 to {_LONGEST_LABEL} characters")


def _source(findings: Findings, location: Location, source: Any) -> None:
    from drivers.camera.source import parse  # noqa: PLC0415 - as in _templates
    from drivers.values import Misconfigured  # noqa: PLC0415 - the same

    # What is too long the schema says.
    if not isinstance(source, str) or len(source) > _LONGEST_TEXT:
        return
    try:
        parse(source)
    except Misconfigured as fault:
        # The reason quotes the kind of address alone, which must not be done if the environment holds it (E3).
        is_shown = "${" not in findings.raw(location).partition("://")[0]
        message = fault.reason if is_shown else f"the value of {findings.written(location)} is not a camera source"
        findings.say_unusable(location, message, fault.hint)


def _limits(findings: Findings, location: Location, limits: Any) -> None:
    if not isinstance(limits, dict):
        return
    low, high, hysteresis = (_number(limits.get(key)) for key in ("low", "high", "hysteresis"))
    if low is None or high is None:
        return
    if low >= high:
        findings.say((*location, "low"), f"must be below high, which is {high:g}", "are the two swapped?")
    elif hysteresis is not None and hysteresis >= high - low:
        message = f"must be less than the {high - low:g} between low and high"
        findings.say((*location, "hysteresis"), message, "lower it; otherwise an alert could never clear")


def _brought(findings: Findings, location: Location, sensor: dict[str, Any]) -> None:
    name, kind, tank = sensor.get("id"), sensor.get("type"), sensor.get("tank")
    if not (isinstance(name, str) and isinstance(kind, str) and isinstance(tank, str)):
        return
    all_templates = [
        {key: Template(str(item.get(key) or default)) for key, default in _TEMPLATES.items()}
        for _, item in findings.subscriptions()
        if not _by_channel(item) or isinstance(item.get("sensor_id"), str)
    ]
    channels = (one for at, item in findings.subscriptions() for _, one in findings.items("channels", item, at))
    if any(one.get("sensor_id") == name for one in channels):
        return
    if any(templates["sensor_id"].can_make(name) for templates in all_templates):
        return
    hint = (
        "list a channel that is this sensor in channels" if findings.subscriptions() else "there are no subscriptions"
    )
    if all_templates:
        written = {key: findings.raw((*location, key)) for key in ("tank", "type")}
        wanted = all_templates[0]["sensor_id"].fill({"tank": written["tank"], "metric": written["type"]})
        hint = f"the first subscription would call it {wanted}"
    findings.say((*location, "id"), "no subscription brings a sensor of this id", hint)


def _unit(findings: Findings, location: Location, kind: Any, unit: Any) -> None:
    if not isinstance(kind, str) or not isinstance(unit, str):
        return
    known = units.allowed(kind)
    if known is None or unit in known or name_of(unit, kind) in known:
        return
    message = f"the unit of {kind} must be {_and(list(known), 'or')}, not {findings.written(location)}"
    findings.say(location, message, f"{known[0]} is usual; or is the type wrong?")


def _listed(names: Sequence[str]) -> str:
    return _and([f"{{{name}}}" for name in names])


def _and(words: list[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
