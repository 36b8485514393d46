"""What no single key can tell: whether the document's parts fit together.

Works on plain values, not on the finished schema, so that one pass finds these beside wrong types.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.config import topics
from agent.config.document import Scalar, find
from agent.config.problems import Problem, path_text
from agent.config.secrets import SecretUnreadable, push_may_name, read_secret
from agent.config.wording import did_you_mean, shown
from agent.farm import units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Mapping as Environment
    from pathlib import Path

    from agent.config.document import Mapping

Location = tuple[str | int, ...]
_TRUE = frozenset(("true", "yes", "on", "1", "t", "y"))
_NAMED = (("mqtt", "name"), ("sensors", "id"), ("cameras", "name"), ("models", "name"))
_FILES = ("ca_file", "cert_file", "key_file", "password_file")
_LOGIN_IN_ADDRESS = re.compile(r"^[a-z0-9+]+://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)
# Linux takes 107 bytes for the path of a unix socket.
_LONGEST_SOCKET = 107


class References:
    """One look at one document."""

    def __init__(self, root: Mapping, values: dict[str, Any], file: str) -> None:
        self._root = root
        self._values = values
        self._file = file
        self.problems: list[Problem] = []

    def look(self) -> None:
        """Find everything that concerns the document alone."""
        self._names()
        self._local()
        for _, connection in self._items("mqtt"):
            self._subscriptions(connection, _)
        for location, sensor in self._items("sensors"):
            self._sensor(sensor, location)
        known = [model["name"] for _, model in self._items("models") if isinstance(model.get("name"), str)]
        for location, camera in self._items("cameras"):
            wanted = camera.get("model")
            if isinstance(wanted, str) and wanted not in known:
                hint = did_you_mean(wanted, known) or "models has no entry"
                self._problem((*location, "model"), f"there is no model {shown(wanted)} under models", hint)
        self._logins()

    def look_at_files(self, place: Callable[[Path], Path], paths: type[Path]) -> list[tuple[Location, Path]]:
        """Check that files with secrets and certificates can be read; returns them with their places."""
        found = []
        for location, section in self._sections():
            for key in _FILES:
                name = section.get(key)
                if isinstance(name, str):
                    path = place(paths(name))
                    found.append(((*location, key), path))
                    try:
                        read_secret(path)
                    except SecretUnreadable as fault:
                        hint = "make the file, readable for the user that runs the agent"
                        self._problem((*location, key), f"the file {self._written((*location, key))} {fault}", hint)
            if ("cert_file" in section) != ("key_file" in section):
                have, lack = ("cert_file", "key_file") if "cert_file" in section else ("key_file", "cert_file")
                self._problem((*location, have), f"needs {lack} beside it", "")
        return found

    def look_at_push(self, files: list[tuple[Location, Path]], folder: Path, env: Environment[str, str]) -> None:
        """What is allowed in a file but not in a push: files elsewhere, and secrets written out."""
        for location, path in files:
            if location[-1] in ("key_file", "password_file") and not push_may_name(path, folder, env):
                hint = "use ${CREDENTIALS_DIRECTORY}/… or a file beside config.yaml"
                self._problem(location, "a pushed document may not name a secret file there", hint)
        for location, camera in self._items("cameras"):
            if isinstance(camera.get("source"), str) and _LOGIN_IN_ADDRESS.match(
                self._written((*location, "source"))
            ):
                hint = "write ${TIDEGATE_…} in its place and set it on the gateway"
                self._problem((*location, "source"), "a pushed document must not hold a password", hint)

    def _names(self) -> None:
        for section, key in _NAMED:
            first: dict[str, Location] = {}
            for location, item in self._items(section):
                name = item.get(key)
                if isinstance(name, str) and name in first:
                    line, _ = find(self._root, (*first[name], key))
                    self._problem(
                        (*location, key), f"{shown(name)} is named in line {line} already", "names are unique"
                    )
                elif isinstance(name, str):
                    first[name] = location
        sessions: dict[tuple[Any, ...], Location] = {}
        for location, item in self._items("mqtt"):
            session = (item.get("host") or "127.0.0.1", item.get("port") or "1883", item.get("client_id"))
            if all(isinstance(part, str) for part in session):
                if session in sessions:
                    message = f"is the client_id of {path_text(sessions[session])} at the same broker"
                    self._problem((*location, "client_id"), message, "two sessions of one name push each other out")
                sessions.setdefault(session, location)

    def _local(self) -> None:
        if not isinstance(self._values.get("mqtt"), list) or not self._items("mqtt"):
            return
        places = [location for location, item in self._items("mqtt") if str(item.get("local")).lower() in _TRUE]
        if not places:
            hint = "put it on the broker on the farm's own network: alerts and status go there"
            self._problem(("mqtt",), "one connection needs local: true", hint)
        for second in places[1:]:
            message = f"only one connection may be local; {path_text(places[0])} is"
            self._problem((*second, "local"), message, "remove one of them")

    def _subscriptions(self, connection: dict[str, Any], at: Location) -> None:
        filters: dict[str, Location] = {}
        for location, item in self._items("subscriptions", connection, at):
            topic = item.get("topic")
            if not isinstance(topic, str):
                continue
            wrong = topics.faults(topic)
            for message, hint in wrong:
                self._problem((*location, "topic"), message, hint)
            if not wrong:
                self._templates(item, location, topics.named(topic))
                same = filters.setdefault(topics.broker_filter(topic), location)
                if same is not location:
                    message = f"matches the same messages as {path_text(same)}"
                    self._problem((*location, "topic"), message, "each message must come by one subscription only")
            self._unit((*location, "unit"), item.get("sensor_type"), item.get("unit"))
            payload = item.get("payload")
            if isinstance(payload, dict) and (payload.get("format") or "number") == "number":
                for key in ("value", "at", "unit"):
                    if payload.get(key) is not None:
                        self._problem(
                            (*location, "payload", key), "has no meaning for plain numbers", "set format: json"
                        )

    def _templates(self, item: dict[str, Any], location: Location, given: list[str]) -> None:
        defaults = {"sensor_id": "{tank}_{metric}", "sensor_type": "{metric}", "tank": "{tank}", "site": "{site}"}
        for key, default in defaults.items():
            template = item.get(key)
            if template is None and key == "site":
                continue
            text = template if isinstance(template, str) else default
            lacking = [name for name in topics.named(text) if name not in given]
            if lacking and template is None:
                message = f"has no {{{lacking[0]}}}, so {key} must be said"
                self._problem((*location, "topic"), message, f"add {key}: … to this subscription")
            elif lacking:
                hint = f"the topic has {', '.join(f'{{{name}}}' for name in given) or 'no placeholder'}"
                self._problem((*location, key), f"{{{lacking[0]}}} is not in the topic", hint)

    def _sensor(self, sensor: dict[str, Any], location: Location) -> None:
        self._unit((*location, "unit"), sensor.get("type"), sensor.get("unit"))
        limits = sensor.get("limits")
        if isinstance(limits, dict):
            low, high, hysteresis = (_number(limits.get(key)) for key in ("low", "high", "hysteresis"))
            if low is not None and high is not None:
                if low >= high:
                    self._problem((*location, "limits", "low"), f"must be below high, which is {high:g}", "")
                elif hysteresis is not None and hysteresis >= high - low:
                    message = f"must be less than the {high - low:g} between low and high"
                    self._problem((*location, "limits", "hysteresis"), message, "else no value can clear both")
        name, kind, tank = sensor.get("id"), sensor.get("type"), sensor.get("tank")
        if not (isinstance(name, str) and isinstance(kind, str) and isinstance(tank, str)):
            return
        subscriptions = [
            {
                key: entry.get(key) or default
                for key, default in (
                    ("sensor_id", "{tank}_{metric}"),
                    ("sensor_type", "{metric}"),
                    ("tank", "{tank}"),
                )
            }
            for at, connection in self._items("mqtt")
            for _, entry in self._items("subscriptions", connection, at)
        ]
        if not any(_brings(subscription, name, kind, tank) for subscription in subscriptions):
            message = f"no subscription brings a sensor of this id with type {shown(kind)} and tank {shown(tank)}"
            example = subscriptions[0]["sensor_id"] if subscriptions else ""
            for placeholder, value in (("{tank}", tank), ("{metric}", kind)):
                example = str(example).replace(placeholder, value)
            hint = (
                f"the first subscription would call it {example}" if subscriptions else "there are no subscriptions"
            )
            self._problem((*location, "id"), message, hint)

    def _unit(self, location: Location, kind: Any, unit: Any) -> None:
        if not isinstance(kind, str) or not isinstance(unit, str):
            return
        known = units.allowed(kind)
        if known is None or unit in known:
            return
        right = units.meant(kind, unit)
        hint = f"did you mean {right}?" if right else ""
        choice = known[0] if len(known) == 1 else f"{', '.join(known[:-1])} or {known[-1]}"
        self._problem(location, f"the unit of {kind} must be {choice}, not {shown(self._written(location))}", hint)

    def _logins(self) -> None:
        kafka = self._values.get("kafka")
        if not isinstance(kafka, dict):
            return
        security = str(kafka.get("security") or "plaintext")
        if security.startswith("sasl_"):
            for key in ("username", "password_file"):
                if kafka.get(key) is None:
                    self._problem(("kafka", "security"), f"{security} needs {key}", f"add kafka.{key}")
        elif kafka.get("password_file") is not None:
            self._problem(("kafka", "password_file"), f"is not used with security {shown(security)}", "use sasl_ssl")
        gateway = self._values.get("gateway")
        folder = gateway.get("runtime_dir") if isinstance(gateway, dict) else None
        if isinstance(folder, str) and len(f"{folder}/tidegate.sock".encode()) > _LONGEST_SOCKET:
            message = f"is too long: with /tidegate.sock it may have {_LONGEST_SOCKET} bytes"
            self._problem(("gateway", "runtime_dir"), message, "choose a shorter folder")

    def _items(
        self, key: str, within: dict[str, Any] | None = None, at: Location = ()
    ) -> list[tuple[Location, dict[str, Any]]]:
        items = (self._values if within is None else within).get(key)
        if not isinstance(items, list):
            return []
        return [((*at, key, index), item) for index, item in enumerate(items) if isinstance(item, dict)]

    def _sections(self) -> Iterator[tuple[Location, dict[str, Any]]]:
        if isinstance(kafka := self._values.get("kafka"), dict):
            yield ("kafka",), kafka
        for location, connection in self._items("mqtt"):
            yield location, connection
            if isinstance(tls := connection.get("tls"), dict):
                yield (*location, "tls"), tls

    def _written(self, location: Location) -> str:
        _, node = find(self._root, location)
        return node.text if isinstance(node, Scalar) else ""

    def _problem(self, location: Location, message: str, hint: str) -> None:
        line, _ = find(self._root, location)
        self.problems.append(Problem(self._file, line, path_text(location), message, hint))


def _brings(subscription: dict[str, Any], name: str, kind: str, tank: str) -> bool:
    """Whether a message of this subscription can be of this sensor."""
    if not all(isinstance(value, str) for value in subscription.values()):
        return True
    known = {}
    if subscription["tank"] == "{tank}":
        known["tank"] = tank
    if subscription["sensor_type"] == "{metric}":
        known["metric"] = kind
    return (
        topics.can_make(subscription["sensor_id"], name, known)
        and topics.can_make(subscription["sensor_type"], kind, known)
        and topics.can_make(subscription["tank"], tank, known)
    )


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
