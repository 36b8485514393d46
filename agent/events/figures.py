"""Derived quantities, figures, farm events and metrics on their way upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from agent.events.records import ce_type
from sync.values import Envelope, Lane

if TYPE_CHECKING:
    from agent.farm.figure import Figure, Input

_JSON = (("content-type", b"application/json"),)


def envelope_of(name: str, key: tuple[str, str, str], body: bytes, at: str, lane: Lane = Lane.LIVE) -> Envelope:
    """A record of a schema, by its name; `key` is site, tank and source, `at` as in the body."""
    headers = (("ce_specversion", b"1.0"), ("ce_type", ce_type(name).encode()), *_JSON, ("ce_time", at.encode()))
    return Envelope(lane, name.partition(".")[0], "/".join(key).encode(), body, headers)


def derived_envelope(found: Figure, kind: str, place: tuple[str, str], at: str, quality: str) -> Envelope:
    """A derived quantity (schema `derived-data`); `place` is its site and tank."""
    site_id, tank_id = place
    body: dict[str, Any] = {
        "sensor_id": found.name,
        "sensor_type": kind,
        "value": found.value,
        "unit": found.unit,
        "tank_id": tank_id,
        "site_id": site_id,
        "at": at,
        "quality": quality,
        **({"reason": found.reason} if found.reason else {}),
        **({"notes": list(found.notes)} if found.notes else {}),
        "inputs": [input_body(one) for one in found.inputs],
    }
    return envelope_of("derived-data", (site_id, tank_id, found.name), orjson.dumps(body), at)


def input_body(one: Input) -> dict[str, Any]:
    """An input of a figure as it goes out."""
    return {
        "name": one.name,
        "value": one.value,
        "unit": one.unit,
        "origin": one.origin,
        **({} if one.age_s is None else {"age_s": round(one.age_s, 1)}),
    }


def figure_body(found: Figure, *, explained: bool = False) -> dict[str, Any]:
    """A figure as it goes out; `explained` with its inputs, formula and source."""
    body: dict[str, Any] = {"name": found.name, "value": found.value, "unit": found.unit}
    if found.reason:
        body["reason"] = found.reason
    if found.notes:
        body["notes"] = list(found.notes)
    if explained:
        body["inputs"] = [input_body(one) for one in found.inputs]
        body |= {"formula": found.formula.text, "source": found.formula.source}
    return body
