"""Messages made out of real ones: bits and bytes changed, parts cut out, repeated and exchanged, numbers made odd."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import cbor2
import orjson

from drivers.mqtt.codecs.measurements import MOST, Codec, Message, Read
from drivers.mqtt.codecs.registry import family
from drivers.mqtt.codecs.unread import Unread
from drivers.mqtt.settings import LayoutField, PayloadSettings

PAYLOADS = Path(__file__).parents[1] / "data" / "payloads"
NOW = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
LARGEST = 64 * 1024
ODD = (
    b"", b"\0", b"null", b"nan", b"NaN", b"-Infinity", b"1e400", b"-0", b"99999999999999999999", b'"', b"\\",
    b"\\u0000", b"{", b"}", b"[", b"]", b"[[[[[[[[", b'{"a":', b",", b":", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xc3\x28", b"true", b"{}", b"[]", b'"id":"x"', b'"value":1', b'"v":1', b'"time":"2026-01-01T00:00:00Z"',
    b'"time":1e308', b"-127", b"85.0", b"\x0a\x80\x80\x80\x80\x10", b"\xff" * 10, b"\x9f\x9f\x9f",
    b"\xfb\x7f\xf8\0\0\0\0\0\0", b"\xc2\x58\x20", b"/", b"#", b";", b"\n", b"\r\n", b"1,5", b"\xe2\x84\x83",
)  # fmt: skip

KEYS = (
    "id", "name", "n", "v", "vs", "vb", "s", "t", "u", "bn", "bt", "bv", "bs", "bu", "bver", "x_", "value", "unit",
    "time", "Time", "ts", "last_seen", "StatusSNS", "params", "src", "method", "deviceInfo", "devEui", "object",
    "data", "fPort", "e", "cmps", "dev", "~", "stat_t", "val_tpl", "definition", "exposes", "a" * 200,
)  # fmt: skip


def cases(name: str) -> list[dict]:
    """The cases of a family: settings and messages, with what must come of them."""
    return [json.loads(line) for line in (PAYLOADS / name / "messages.jsonl").read_text().splitlines()]


def payload(text: str) -> bytes:
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()


def made(name: str, settings: dict) -> Codec:
    """A codec with the settings of a case."""
    given = {key: tuple(held) if isinstance(held, list) else held for key, held in settings.items()}
    if "layout" in given:
        given["layout"] = tuple(LayoutField(**field) for field in given["layout"])
    return family(name)(PayloadSettings(format=name, **given))


def corpus(name: str) -> list[tuple[dict, str, bytes]]:
    """Settings, topic and payload of each real message of a family."""
    return [
        (case.get("settings", {}), message["topic"], payload(message["payload"]))
        for case in cases(name)
        for message in case["messages"]
    ]


def mutated(seed: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to eight changes to a payload, which stays within 64 KiB."""
    made = bytearray(data)
    for _ in range(seed.choice((1, 1, 2, 3, 8))):
        at = seed.randrange(len(made) + 1)
        end = min(len(made), at + seed.choice((1, 1, 2, 8, 64)))
        match seed.randrange(8):
            case 0:
                made[at:end] = seed.randbytes(end - at)
            case 1:
                del made[at:end]
            case 2:
                made[at:at] = seed.choice(ODD)
            case 3:
                made[at:end] = seed.choice(ODD)
            case 4:
                made[at:at] = made[at:end] * seed.choice((1, 2, 16, 200))
            case 5:
                other = seed.choice(others)
                start = seed.randrange(len(other) + 1)
                made[at:end] = other[start : start + seed.choice((1, 8, 64, 512))]
            case 6:
                del made[at:]
            case _:
                if made:
                    made[at % len(made)] ^= 1 << seed.randrange(8)
    return bytes(made[:LARGEST])


ODD_VALUES = (
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 1e308, -1e-308, 1e20, -127, 85.0, 655.35, "", "x", "NaN", "NULL",
    "7,5", "7.5 mg/L", "ON", "\0", "a" * 200, "2026-09-21T14:13:00Z", "9999-12-31T23:59:59-23:59", "0001-01-01", [],
    {}, [[]], {"value": 1}, [1, 2], {"id": "x", "v": 1}, [{"t": 1790000000, "v": 1}], "{{ value_json.a.b }}", "~/x",
    "AQI=",
)  # fmt: skip


def changed(seed: random.Random, document: object) -> object:
    """A document with one place in it changed."""
    if isinstance(document, dict) and document and seed.random() < 0.85:
        key = seed.choice(list(document))
        made = dict(document)
        match seed.randrange(8):
            case 0:
                del made[key]
            case 1:
                made[seed.choice((*KEYS, *map(str, document)))] = made[key]
            case 2:
                made[seed.choice(KEYS)] = seed.choice(ODD_VALUES)
            case _:
                made[key] = changed(seed, made[key])
        return made
    if isinstance(document, list) and document and seed.random() < 0.85:
        made_list = list(document)
        place = seed.randrange(len(made_list))
        match seed.randrange(6):
            case 0:
                made_list += made_list[place:] * (seed.choice((1, 2, 300)) if len(made_list) < 8 else 1)
            case 1:
                seed.shuffle(made_list)
            case _:
                made_list[place] = changed(seed, made_list[place])
        return made_list
    nested: object = document
    if seed.random() < 0.05:
        for _ in range(seed.choice((3, 20, 200))):
            nested = [nested] if seed.random() < 0.5 else {"a": nested}
        return nested
    return seed.choice(ODD_VALUES)


def restructured(seed: random.Random, data: bytes) -> bytes | None:
    """A payload that is still JSON or CBOR, but says something else; None if it is neither."""
    try:
        document = orjson.loads(data)
    except ValueError:
        try:
            document = cbor2.loads(data)
        except (cbor2.CBORError, ValueError, TypeError):
            return None
        if not isinstance(document, list | dict):
            return None
        return cbor2.dumps(changed(seed, document))[:LARGEST]
    for _ in range(seed.choice((1, 2, 4))):
        document = changed(seed, document)
    try:
        return orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS)[:LARGEST]
    except TypeError:
        return None  # nested deeper than orjson writes


def attack(name: str, seed: int, inputs: int) -> int:
    """Give a family's codecs so many mutated messages. Returns how many of them it read.

    Raises:
        AssertionError: what comes of one is not what a codec may give.
    """
    chance = random.Random(seed)
    known = corpus(name)
    payloads = [data for _, _, data in known]
    topics = [topic for _, topic, _ in known]
    codecs: dict[str, Codec] = {}
    read = 0
    for _ in range(inputs):
        settings, topic, data = chance.choice(known)
        codec = codecs.setdefault(json.dumps(settings, sort_keys=True), made(name, settings))
        if chance.random() < 0.1:
            topic = chance.choice(topics)
        if chance.random() < 0.02:
            topic = mutated(chance, topic.encode(), payloads).decode(errors="replace")
        other = restructured(chance, data) if chance.random() < 0.6 else None
        written = mutated(chance, data, payloads) if other is None else other
        message = Message(topic, written, NOW, chance.random() < 0.2)
        refused = ""
        try:
            found = codec.read(message)
        except Unread as reason:
            refused = str(reason)
            found = Read()
        assert len(refused) < 400, message
        if refused:
            continue
        look_at(found, message)
        read += 1
        if chance.random() < 0.001:
            codec.forget()
    return read


def look_at(found: Read, message: Message) -> None:
    """What holds for whatever a codec reads."""
    assert len(found.measurements) <= MOST + 1, message
    assert len(found.answers) <= 1, message
    for one in found.measurements:
        assert type(one.device) is str, message
        assert type(one.channel) is str, message
        if one.value is None:
            assert one.reason, message
        else:
            assert type(one.value) is float, (one, message)
            assert one.value - one.value == 0, (one, message)
            assert one.reason == "", (one, message)
        assert one.unit is None or type(one.unit) is str, (one, message)
        assert one.at is None or type(one.at) is str or one.at.tzinfo is UTC, (one, message)
