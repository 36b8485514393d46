"""What a push may not change, because config.yaml pins it.

P1  Whoever can push must not be able to have a password sent elsewhere, to have a file read, or to cut a gateway off.
    A push may change only the keys in FREE, and no path. Every other key must have the value that it has in
    config.yaml. A key that is new in the schema is pinned until FREE names it.
P2  `fleet.may_change` in config.yaml lists keys that a push may change as well; a section stands for all its keys.
    `fleet.may_change` itself, and `gateway`, are never changed by a push.
P3  MQTT connections are compared by their names. A connection that config.yaml does not have is a change.
P4  The path of a model and the source of a camera must be one that config.yaml has. A camera may also have another
    network address, if a camera in config.yaml has one of that kind and the address has no variable in it.
P5  `${TIDEGATE_…}` may stand only in a key in which config.yaml has that variable. From others it could go upstream.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from agent.config.document.environment import variables
from agent.config.document.nodes import Mapping, Node, Scalar, Sequence
from agent.config.document.parser import read_document
from agent.config.schema import Config
from agent.config.schema.values import Section
from agent.config.wording import nearest, section_of
from drivers.patterns import HOW_KEYS_ARE_WRITTEN, Keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.config.rules.findings import Findings
    from drivers.spelling import Location

FREE: Final = (
    "kafka.delivery",
    "kafka.compression",
    "kafka.create_topics",
    "kafka.restored_log",
    "kafka.backfill_after_s",
    "kafka.backfill_spread_s",
    "kafka.backfill_share",
    "kafka.alert_ready_s",
    "kafka.budget",
    "kafka.request_timeout_s",
    "mqtt.version",
    "mqtt.keepalive_s",
    "mqtt.session_expiry_s",
    "mqtt.receive_maximum",
    "mqtt.subscriptions",
    "log.commit_interval_ms",
    "log.log_stall_s",
    "log.max_bytes",
    "log.max_age_days",
    "log.min_free_bytes",
    "log.compression_level",
    "sensors",
    "quality",
    "rules",
    "alerting",
    "derived",
    "calibrations",
    "farm",
    "metrics",
    "cameras.name",
    "cameras.tank",
    "cameras.model",
    "cameras.fps",
    "cameras.loop",
    "cameras.heartbeat_timeout_s",
    "cameras.max_width",
    "cameras.max_height",
    "models.name",
    "models.threads",
    "models.score_threshold",
    "logging",
)
"""Keys that every push may change; a section stands for all its keys, paths apart."""

NEVER: Final = ("gateway", "fleet.may_change")
"""Keys that no push changes, whatever config.yaml lists."""
_FREE: Final = Keys(FREE)
_NEVER: Final = Keys(NEVER)
_ONE_OF: Final = ("cameras.source", "models.path")
_NEW: Final = object()


class Pins:
    """What config.yaml says of the keys that a push may not change."""

    def __init__(self, document: bytes | str, config: Config) -> None:
        """`config` is what `document` says."""
        self._config = config
        self._may_change = Keys(config.fleet.may_change if config.fleet is not None else ())
        self._values: dict[str, list[Any]] = defaultdict(list)
        for key, value in _values(config, ""):
            self._values[key].append(value)
        self._variables: dict[str, set[str]] = defaultdict(set)
        for key, name in _variables(read_document(document, "config.yaml")[0], ""):
            self._variables[key].add(name)

    def has_variable(self, location: Location, name: str) -> bool:
        """Whether config.yaml has `${name}` in this key."""
        return name in self._variables.get(key_of(location), ())

    def has_path(self, location: Location, path: Path) -> bool:
        """Whether config.yaml has this path in this key."""
        return path in self._values.get(key_of(location), ())

    def look_at(self, findings: Findings, pushed: Config) -> None:
        """Note each key of a pushed document that differs from config.yaml and may not."""
        for at in dict.fromkeys(
            (*self._changed(pushed, self._config, ()), *self._variable_sources(findings, pushed))
        ):
            key, message = key_of(at), "a push may not change this key, and config.yaml says otherwise"
            hint = f"change it in config.yaml on the gateway, or list {key} in fleet.may_change there"
            if at[0] == "gateway":
                hint = "change it in config.yaml on the gateway, and restart the daemon"
            elif key in _NEVER:
                hint = "change it in config.yaml on the gateway"
            elif key == "mqtt.name":
                message = "a push may not add an MQTT connection that config.yaml does not have"
                hint = "add it to config.yaml on the gateway, or list mqtt in fleet.may_change there"
            findings.say(at, message, hint)

    def _variable_sources(self, findings: Findings, pushed: Config) -> Iterator[Location]:
        """Cameras whose new address holds a variable: what it stands for would be sent there."""
        if "cameras.source" not in self._may_change:
            for index, camera in enumerate(pushed.cameras):
                at = ("cameras", index, "source")
                if "${" in findings.raw(at) and camera.source not in self._values["cameras.source"]:
                    yield at

    def _changed(self, pushed: Section, own: Section | None, at: Location) -> Iterator[Location]:
        """The places of pinned keys that differ. `own` is None for what config.yaml does not have."""
        for name, field in type(pushed).model_fields.items():
            here = (*at, name)
            key = key_of(here)
            default = _NEW if field.is_required() else field.default
            mine: Any = getattr(own, name, default)
            theirs = getattr(pushed, name)
            if section_of(field.annotation) is None:
                if self._is_pinned(key, field.annotation) and not self._is_same(key, mine, theirs):
                    yield here
            elif isinstance(theirs, list):
                yield from self._changed_entries(theirs, mine, here)
            elif (theirs is None) != (mine is None):
                # The section as a whole came or went: with TLS, or without.
                if key not in _FREE and key not in self._may_change:
                    yield here
            elif theirs is not None:
                yield from self._changed(theirs, mine, here)

    def _changed_entries(self, pushed: list[Section], own: Any, at: Location) -> Iterator[Location]:
        by_name = {getattr(entry, "name", number): entry for number, entry in enumerate(own or ())}
        for number, entry in enumerate(pushed):
            found = list(self._changed(entry, by_name.get(getattr(entry, "name", number)), (*at, number)))
            # Of an entry that config.yaml does not have, its name says it all.
            yield from [place for place in found if place[-1] == "name"] or found

    def _is_pinned(self, key: str, annotation: Any) -> bool:
        if key in _NEVER:
            return True
        if key in self._may_change:
            return False
        return _is_path(annotation) or key not in _FREE

    def _is_same(self, key: str, own: Any, pushed: Any) -> bool:
        if key not in _ONE_OF:
            return bool(own == pushed)
        known = self._values[key]
        if pushed in known:
            return True
        return key == "cameras.source" and "://" in pushed and _kind(pushed) in {_kind(one) for one in known}


def look_at_may_change(findings: Findings) -> None:
    """What `fleet.may_change` lists must be keys, and such as a push can change."""
    listed = findings.section("fleet").get("may_change")
    if not isinstance(listed, list):
        return
    known = list(keys())
    for index, key in enumerate(listed):
        at: Location = ("fleet", "may_change", index)
        if not isinstance(key, str):
            continue
        if key in _NEVER:
            message = f"{findings.written(at)} is never changed by a push"
            findings.say(at, message, "remove it from this list; it is changed in config.yaml alone")
        elif key not in known:
            meant = nearest(_plain(key), known)
            hint = f"did you mean {meant}?" if meant else HOW_KEYS_ARE_WRITTEN
            findings.say(at, f"there is no key {findings.written(at)}", hint)


def _plain(key: str) -> str:
    """A key without the numbers of entries: `mqtt[0].host`, as messages name it, is `mqtt.host` here."""
    return re.sub(r"\[\d*\]", "", key)


def key_of(location: tuple[str | int, ...]) -> str:
    """`("mqtt", 0, "host")` as `mqtt.host`: the same key in each entry of a list."""
    return ".".join(part for part in location if isinstance(part, str) and not part.isdigit())


def keys(section: type[Section] = Config, at: str = "") -> Iterator[str]:
    """Every key of the schema, sections included."""
    for name, field in section.model_fields.items():
        yield (key := f"{at}.{name}" if at else name)
        inner = section_of(field.annotation)
        if inner is not None:
            yield from keys(inner, key)


def _values(section: Section, at: str) -> Iterator[tuple[str, Any]]:
    for name in type(section).model_fields:
        value, key = getattr(section, name), f"{at}.{name}" if at else name
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Section):
                yield from _values(one, key)
            else:
                yield key, one


def _variables(node: Node, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, (_, value) in node.entries.items():
            yield from _variables(value, f"{at}.{name}" if at else name)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _variables(item, at)
    elif isinstance(node, Scalar):
        yield from ((at, name) for name in variables(node.text))


def _is_path(annotation: Any) -> bool:
    return annotation is Path or any(_is_path(part) for part in get_args(annotation))


def _kind(source: str) -> str | None:
    """The kind of a network address; nothing for a file or a device."""
    return source.partition("://")[0].lower() if "://" in source else None
