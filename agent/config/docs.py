"""docs/CONFIG.md, made from the schema: `python -m agent.config.docs > docs/CONFIG.md`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic_core import PydanticUndefined

from agent.config.rules.pins import FREE
from agent.config.schema import Config
from agent.config.schema.values import Section
from agent.config.wording import section_of
from agent.farm.units import UNITS

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_UNITS = {
    "_ms": "ms",
    "_s": "s",
    "_bytes": "bytes",
    "bytes_per_day": "bytes",
    "bytes_per_second": "bytes/s",
    "_days": "days",
    "fps": "frames/s",
    "max_width": "pixels",
    "max_height": "pixels",
    "receive_maximum": "messages",
    "hysteresis": "the sensor's",
    "low": "the sensor's",
    "high": "the sensor's",
}
_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}

_HEAD = """\
# Configuration

`config.yaml` is the whole configuration, and so is each push. It is strict: a key that is not listed here is an
error, and so is a reference to something that does not exist. `tidegate check` validates it as the daemon does and
names each problem with line, path and hint.

This page is generated from the schema: `python -m agent.config.docs > docs/CONFIG.md`.

## How values are read

- The key decides the type of a value: `version: 5`, `id: 007` and `site: no` are text if the key takes text. Quotes
  are needed only where YAML itself needs them. A key without a value counts as not written.
- `${NAME}` is the environment variable, and an error if it is not set; `${NAME:-default}` uses the default if it is
  not set or empty; `$${` is `${`. Values from the environment are never shown in a message.
- Relative paths count from the folder of `config.yaml`. `package:fish/1` is a model that is included.
- Secrets are in files of one line: systemd's credentials (`${CREDENTIALS_DIRECTORY}/mqtt-password`) or a file that
  only the agent can read. There is no key for a password itself.
- Aliases (`*name`) work within bounds; tags, merge keys and a second document do not. A document has at most 1 MiB.

## In a push

The same document, with more rules, because someone who can push must not be able to read files of the gateway, have
its passwords sent elsewhere, or cut it off. A push that breaks one is refused as a whole, `fleet-reported` names the
key, and the old configuration stays in use.

- `config.yaml` pins what a push may not change: `gateway`, `fleet`, `http`, where Kafka and MQTT are and how the
  gateway logs in there, `log.clock_file`, every path, and what cameras are read from. A push writes these keys as
  `config.yaml` has them. It may change only:
  {free}, paths apart.
- `fleet.may_change` in `config.yaml` lists keys that a push may change as well, such as `[kafka.brokers, http]`; a
  section means all its keys. Anyone who can push can then have a password sent anywhere: list no more than you
  need. `gateway` and `fleet.may_change` itself are never changed by a push.
- MQTT connections are compared by their names. A connection that `config.yaml` does not have needs `mqtt` in
  `fleet.may_change`.
- A camera may get another network address if a camera of `config.yaml` has one of that kind (`rtsp://`), and a model
  a path that `config.yaml` names for a model. Files and devices are those of `config.yaml`.
- `${TIDEGATE_…}` only in a key in which `config.yaml` has that variable, and in a camera's address only if the whole
  source is as in `config.yaml`.
- `${NAME}` only with names that begin with `TIDEGATE_`, and systemd's `CREDENTIALS_DIRECTORY`, `STATE_DIRECTORY`,
  `RUNTIME_DIRECTORY` and `CONFIGURATION_DIRECTORY`.
- Files with secrets only those that `config.yaml` names, or in `${CREDENTIALS_DIRECTORY}` or below the folder of
  `config.yaml`.
- No password in a camera's address: write `${TIDEGATE_…}` in its place.

`tidegate check --pushed --against config.yaml -c push.yaml` checks a push against a gateway's `config.yaml`.

## Paths into JSON

`payload.value` and its neighbours name one field, level by level with dots: `data.temp`, `values.0.v`. A whole number
takes that element of a list. `\\.` is a dot within a key, and `\\[`, `\\$`, `\\/` are those characters in a key that
would otherwise look like JSONPath, JavaScript or a JSON pointer: `tidegate check` names those and the right way.

## How subscriptions make sensors

`farm/{site}/{tank}/{metric}` on `farm/site_001/tank_001/temperature` gives a reading of the sensor
`tank_001_temperature` of type `temperature` in tank `tank_001`: `sensor_id`, `sensor_type`, `tank` and `site` are
made of the topic's placeholders, and must be set if the topic does not contain what their defaults need. An entry
under `sensors` takes precedence. The unit is that of the entry under `sensors`, otherwise the subscription's `unit`,
otherwise the payload's. A payload with three values needs three subscriptions of one topic. A sensor that no
subscription can bring is an error: its alarms could never be raised.

## Keys
"""


def page() -> str:
    """The whole page."""
    free = ",\n  ".join(", ".join(f"`{key}`" for key in FREE[begin : begin + 4]) for begin in range(0, len(FREE), 4))
    parts = [_HEAD.replace("{free}", free)]
    for path, section, repeated in _sections(Config, ""):
        parts.append(_table(path, section, repeated=repeated))
    parts.append(_units())
    return "\n".join(parts)


def _sections(section: type[Section], path: str) -> list[tuple[str, type[Section], bool]]:
    """Every section with its path, in order of the document."""
    found: list[tuple[str, type[Section], bool]] = [] if path else [("", section, False)]
    for name, field in section.model_fields.items():
        inner = section_of(field.annotation)
        if inner is not None:
            repeated = get_origin(field.annotation) is list
            inner_path = f"{path}.{name}" if path else name
            inner_path += "[]" if repeated else ""
            found += [(inner_path, inner, repeated), *_sections(inner, inner_path)]
    return found


def _table(path: str, section: type[Section], *, repeated: bool) -> str:
    text = (section.__doc__ or "").strip()
    lines = [f"### {f'`{path}`' if path else 'The document'}", "", text if text.endswith(".") else f"{text}."]
    if repeated:
        lines[-1] += " A list; each entry has these keys."
    lines += ["", "| key | value | default | unit | |", "|---|---|---|---|---|"]
    for name, field in section.model_fields.items():
        cells = (f"`{name}`", _value(field), _default(field), _unit(name), field.description or "")
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join([*lines, ""])


def _value(field: FieldInfo) -> str:
    annotation = field.annotation
    inner = section_of(annotation)
    if inner is not None:
        return "list of sections" if get_origin(annotation) is list else "section"
    bounds = {}
    for part in (*field.metadata, *_metadata(annotation)):
        for bound in ("ge", "gt", "le", "lt"):
            if getattr(part, bound, None) is not None:
                bounds[bound] = getattr(part, bound)
    words = _words(annotation)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    return ", ".join([words, *(f"{signs[bound]} {value}" for bound, value in bounds.items())])


def _metadata(annotation: Any) -> list[Any]:
    return [
        found for part in get_args(annotation) for found in (*getattr(part, "__metadata__", ()), *_metadata(part))
    ]


def _words(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) is list:
        return f"list of {_words(get_args(annotation)[0])}"
    if annotation in _WORDS:
        return _WORDS[annotation]
    for part in get_args(annotation):
        if part is not type(None) and not isinstance(part, str):
            return _words(part)
    return "text"


def _default(field: FieldInfo) -> str:
    default = field.default
    if default is PydanticUndefined:
        return "**must be set**"
    if default is None:
        return "not set"
    if isinstance(default, Section):
        return "its defaults"
    if default == []:
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default.value if isinstance(default, Enum) else default}`"


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS.items() if name == end or (end[0] == "_" and name.endswith(end))), "")


def _units() -> str:
    lines = [
        "## Units of sensors",
        "",
        "Other kinds of sensors may have any unit.",
        "",
        "| type | unit |",
        "|---|---|",
    ]
    lines += [f"| `{kind}` | {', '.join(f'`{unit}`' for unit in allowed)} |" for kind, allowed in UNITS.items()]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.stdout.write(page())
