"""Whether the names in a document are unique and stand for something, and logins are complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.config.wording import did_you_mean
from drivers.spelling import path_text

if TYPE_CHECKING:
    from agent.config.rules.findings import Findings
    from drivers.spelling import Location

_TRUE = frozenset(("true", "yes", "on", "1", "t", "y"))
_FALSE = frozenset(("false", "no", "off", "0", "f", "n"))
_NAMED = (("mqtt", "name"), ("sensors", "id"), ("cameras", "name"), ("models", "name"), ("derived", "id"))
# Linux takes 107 bytes for the path of a unix socket.
_LONGEST_SOCKET = 107


def look_at_references(findings: Findings) -> None:
    """Everything that one part of a document says about another, readings apart."""
    _names(findings)
    _sessions(findings)
    _local(findings)
    _models(findings)
    _login(findings)
    _budget(findings)
    folder = findings.section("gateway").get("runtime_dir")
    if isinstance(folder, str) and len(f"{folder}/tidegate.sock".encode()) > _LONGEST_SOCKET:
        message = f"is too long: with /tidegate.sock it may have {_LONGEST_SOCKET} bytes"
        findings.say(("gateway", "runtime_dir"), message, "choose a shorter folder")


def _names(findings: Findings) -> None:
    for section, key in _NAMED:
        first: dict[str, Location] = {}
        for location, item in findings.items(section):
            name = item.get(key)
            if not isinstance(name, str):
                continue
            if name in first:
                line = findings.line((*first[name], key))
                shown = findings.written((*location, key))
                message = f"{shown} is also the name of {path_text(first[name])} in line {line}"
                findings.say((*location, key), message, "give one of them another name")
            first.setdefault(name, location)


def _sessions(findings: Findings) -> None:
    first: dict[tuple[Any, ...], Location] = {}
    for location, item in findings.items("mqtt"):
        session = (item.get("host") or "127.0.0.1", item.get("port") or "1883", item.get("client_id"))
        if not all(isinstance(part, str) for part in session):
            continue
        if session in first:
            message = f"{path_text(first[session])} has the same client_id at the same broker"
            findings.say(
                (*location, "client_id"), message, "give each its own; otherwise each connection ends the other"
            )
        first.setdefault(session, location)


def _local(findings: Findings) -> None:
    connections = findings.items("mqtt")
    local = [location for location, item in connections if str(item.get("local")).lower() in _TRUE]
    said = {str(item.get("local") or False).lower() for _, item in connections}
    # A value that is neither is the schema's to report, and may have been meant for true.
    if connections and not local and said <= _FALSE:
        hint = "put it on the broker on the farm's own network: alerts go there"
        findings.say(("mqtt",), "one connection needs local: true", hint)
    for second in local[1:]:
        message = f"only one connection may be local; {path_text(local[0])} is"
        findings.say((*second, "local"), message, "remove one of them")


def _models(findings: Findings) -> None:
    known = [model["name"] for _, model in findings.items("models") if isinstance(model.get("name"), str)]
    for location, camera in findings.items("cameras"):
        wanted = camera.get("model")
        if isinstance(wanted, str) and wanted not in known:
            place = (*location, "model")
            hint = did_you_mean(wanted, known) or "there are no models"
            findings.say(place, f"there is no model {findings.written(place)} under models", hint)


def _login(findings: Findings) -> None:
    kafka = findings.section("kafka")
    security = kafka.get("security") or "plaintext"
    if not isinstance(security, str):
        return
    if security.startswith("sasl_"):
        for key in ("username", "password_file"):
            if kafka.get(key) is None:
                findings.say(("kafka", "security"), f"a login with SASL needs {key}", f"add kafka.{key}")
    elif kafka.get("password_file") is not None:
        _unused(findings, "password_file", "sasl_ssl")
    if not security.endswith("ssl"):
        for key in ("ca_file", "cert_file", "key_file"):
            if kafka.get(key) is not None:
                _unused(findings, key, "sasl_ssl" if security.startswith("sasl_") else "ssl")


def _unused(findings: Findings, key: str, meant: str) -> None:
    message = f"is not used with security {findings.written(('kafka', 'security')) or 'plaintext'}"
    findings.say(("kafka", key), message, f"set kafka.security: {meant}")


def _budget(findings: Findings) -> None:
    kafka = findings.section("kafka")
    budget = kafka.get("budget")
    if not isinstance(budget, dict):
        return
    whole, place = _count(budget.get("bytes_per_day")), ("kafka", "budget")
    reserve = _count(budget.get("alert_reserve_bytes"))
    if reserve is not None and whole is None and budget.get("bytes_per_day") is None:
        findings.say(
            (*place, "alert_reserve_bytes"), "has no effect without bytes_per_day", "set bytes_per_day as well"
        )
    if reserve is not None and whole is not None and reserve >= whole:
        message = f"must be less than bytes_per_day, which is {whole}"
        findings.say((*place, "alert_reserve_bytes"), message, "lower it; otherwise nothing but alarms would be sent")
    for lane in ("live", "backfill", "bulk"):
        bounds = budget.get(lane)
        own = _count(bounds.get("bytes_per_day")) if isinstance(bounds, dict) else None
        if own is not None and whole is not None and own > whole:
            message = f"is more than the whole link's, which is {whole}"
            findings.say((*place, lane, "bytes_per_day"), message, "lower it, or remove it")


def _count(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
