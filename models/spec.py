"""Reading a model's folder: `model.json` says what it is, and its digest proves that the file is that one."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from models.values import Misconfigured, ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

MOST_SPEC_BYTES = 64 * 1024
MOST_FILE_BYTES = 256 * 1024**2
_MOST_SIDE = 4096
_MOST_CLASSES = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HINT = "model.json belongs to the model: take both from one place, unchanged"


def read(folder: Path, score_threshold: float | None = None) -> tuple[ModelSpec, bytes]:
    """Read a model's folder: its spec, and its file, whose digest is what the spec says.

    `score_threshold` stands in for the model's own.

    Raises:
        Misconfigured: anything is missing, unknown, out of bounds or damaged; the reason names it.
    """
    told = _told(folder)
    name = told.pop("file")
    spec = _spec(told, score_threshold)
    # A plain name: a model never reaches outside its folder.
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _wrong("file", f"{str(name)[:80]} is not a plain file name")
    content = _bytes(folder / name, MOST_FILE_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    if digest != spec.digest:
        what = f"{folder / name} is corrupt or another version: its sha256 is {digest[:12]}…"
        raise Misconfigured(f"{what}, model.json says {spec.digest[:12]}…", field="digest", hint=_HINT)
    return spec, content


def _told(folder: Path) -> dict[str, Any]:
    path = folder / "model.json"
    try:
        told = json.loads(_bytes(path, MOST_SPEC_BYTES))
    except (ValueError, RecursionError):
        raise Misconfigured(f"{path} is not JSON", field="path", hint=_HINT) from None
    if not isinstance(told, dict):
        raise Misconfigured(f"{path} is not a JSON object", field="path", hint=_HINT)
    expected = {field.name for field in fields(ModelSpec)} | {"file"}
    for wrong, missing in ((told.keys() - expected, False), (expected - told.keys(), True)):
        if wrong:
            names = ", ".join(sorted(str(key)[:40] for key in wrong)[:5])
            reason = f"{path}: {'missing' if missing else 'unknown'} {names}"
            raise Misconfigured(reason, field="path", hint=_HINT)
    return told


def _bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        hint = "name the folder that holds the model's model.json"
        raise Misconfigured(f"{path} cannot be read: {error.strerror}", field="path", hint=hint) from None
    if len(content) > most:
        raise Misconfigured(f"{path} is larger than {most:,} bytes", field="path", hint=_HINT)
    return content


def _spec(told: dict[str, Any], score_threshold: float | None) -> ModelSpec:
    classes = told["classes"]
    if (
        not isinstance(classes, list)
        or not 1 <= len(classes) <= _MOST_CLASSES
        or len(set(map(str, classes))) < len(classes)
    ):
        raise _wrong("classes", f"must be a list of 1 to {_MOST_CLASSES} different names")
    if told["task"] != "detection":
        raise _wrong("task", f"{str(told['task'])[:40]} is not supported; this agent runs detectors (detection)")
    return ModelSpec(
        name=_matching(told, "name", _NAME, "a name of letters, digits, _ . and -"),
        version=_matching(told, "version", _NAME, "a name of letters, digits, _ . and -"),
        task=told["task"],
        digest=_matching(told, "digest", _DIGEST, "a sha256 in 64 small hex digits"),
        classes=tuple(_matching({"classes": name}, "classes", _NAME, "a list of plain names") for name in classes),
        input_height=_side(told, "input_height"),
        input_width=_side(told, "input_width"),
        score_threshold=_share(told, "score_threshold") if score_threshold is None else score_threshold,
        iou_threshold=_share(told, "iou_threshold"),
    )


def _matching(told: dict[str, Any], field: str, pattern: re.Pattern[str], what: str) -> str:
    value = told[field]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _wrong(field, f"must be {what}, not {str(value)[:80]}")
    return value


def _side(told: dict[str, Any], field: str) -> int:
    value = told[field]
    if type(value) is not int or not 8 <= value <= _MOST_SIDE:
        raise _wrong(field, f"must be a whole number of pixels from 8 to {_MOST_SIDE}, not {str(value)[:40]}")
    return value


def _share(told: dict[str, Any], field: str) -> float:
    value = told[field]
    if type(value) not in {int, float} or not 0 <= value <= 1:
        raise _wrong(field, f"must be a number from 0 to 1, not {str(value)[:40]}")
    return float(value)


def _wrong(field: str, what: str) -> Misconfigured:
    return Misconfigured(f"model.json: {field}: {what}", field=field, hint=_HINT)
