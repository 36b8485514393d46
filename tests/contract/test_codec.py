"""What every codec must do, over folders of real messages: what each brings, and what holds for whatever comes."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.mqtt.codecs import registry
from drivers.mqtt.codecs.measurements import MORE_THAN_MOST, MOST, Kind, Message
from drivers.mqtt.codecs.registry import FAMILIES, family
from drivers.mqtt.codecs.unread import Unread
from drivers.mqtt.settings import LayoutField, PayloadSettings
from drivers.spelling import Misspelt
from tests.fuzz.mutations import NOW, PAYLOADS, attack, cases, corpus, made, payload

ALL = [pytest.param(name, case, id=f"{name}: {case['name']}") for name in FAMILIES for case in cases(name)]


def shown(at: datetime | str | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if isinstance(at, datetime) else at


def test_each_family_has_a_folder_of_messages_and_each_folder_a_family():
    assert {path.name for path in PAYLOADS.iterdir() if path.is_dir()} == set(FAMILIES)


@pytest.mark.parametrize(("name", "case"), ALL)
def test_each_message_brings_what_is_written_beside_it(name, case):
    codec = made(name, case.get("settings", {}))
    for sent in case["messages"]:
        at = NOW + timedelta(seconds=sent.get("after_s", 0))
        message = Message(sent["topic"], payload(sent["payload"]), at, sent.get("retained", False))
        if "unread" in sent:
            with pytest.raises(Unread) as reason:
                codec.read(message)
            assert str(reason.value) == sent["unread"]
            continue
        found = codec.read(message)
        brought = [
            [one.device, one.channel, one.value, one.unit, shown(one.at), one.reason]
            + ([one.maker] if one.maker else [])
            for one in found.measurements
        ]
        assert found.kind == sent["kind"]
        assert brought == sent.get("measurements", [])
        assert [[answer.topic, answer.payload.hex()] for answer in found.answers] == sent.get("answers", [])


@pytest.mark.parametrize("name", FAMILIES)
def test_only_readings_and_births_bring_measurements(name):
    for case in cases(name):
        for sent in case["messages"]:
            assert not sent.get("measurements") or sent["kind"] in {Kind.READINGS, Kind.BIRTH}


@pytest.mark.parametrize("name", FAMILIES)
def test_an_empty_message_that_removes_a_retained_one_is_no_fault(name):
    """Unless the topic alone says what it is."""
    for given_settings, topic, _ in corpus(name):
        codec = made(name, given_settings)
        found = outcome(codec, Message(topic, b"", NOW))
        assert "topic" in found if isinstance(found, str) else not found.measurements


@pytest.mark.parametrize("name", FAMILIES)
@given(seed=st.integers(min_value=0, max_value=2**32))
@settings(max_examples=100, deadline=None)
def test_whatever_comes_a_codec_reads_or_refuses(name, seed):
    """100 mutated messages a seed; `make fuzz` gives a million to each."""
    attack(name, seed, 100)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_codec_remembers_is_bounded(name):
    """A session of nothing but messages with new names."""
    codec = made(name, {})
    for number in range(30_000):
        topic, data = f"te/device/{number}///m/x/meta", b'{"units":{"a":"b"}}'
        if name == "sparkplug":
            topic, data = f"spBv1.0/g/NDATA/{number}", b"\x08\x01"
        elif name == "home_assistant":
            topic, data = f"homeassistant/sensor/{number}/config", b'{"stat_t":"a/%d"}' % number
        outcome(codec, Message(topic, data, NOW))
    held = [
        one for slot in getattr(codec, "__dict__", {}).values() if isinstance(slot, dict | set | list) for one in slot
    ]
    assert len(held) <= 16_384


@pytest.mark.parametrize("name", FAMILIES)
def test_the_work_grows_with_the_length_of_a_payload_and_no_faster(name):
    """Counted in lines of Python that run, for 16 KiB and for 64 KiB of the same."""
    for given_settings, topic, data in corpus(name):
        if not data:
            continue
        for grown in (lambda size, d=data: d * (size // len(d) + 1), lambda size, d=data: nested(d, size)):
            small, large = (lines_run(name, given_settings, topic, grown(size)[:size]) for size in (16_384, 65_536))
            assert large <= 8 * small + 2_000, (topic, data[:60])


def nested(data: bytes, size: int) -> bytes:
    """Many times the same in one list, which is still JSON if it was."""
    return b"[" + b",".join([data] * max(1, (size - 2) // (len(data) + 1))) + b"]"


def lines_run(name: str, given_settings: dict, topic: str, data: bytes) -> int:
    codec, count = made(name, given_settings), 0

    def trace(_frame, event, _arg):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        codec.read(Message(topic, data, NOW))
    except Unread:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("json", b'{"a":[' + b",".join(b"%d" % number for number in range(1_500)) + b"]}"),
        ("senml", b"[" + b",".join(b'{"n":"n%d","v":1}' % number for number in range(1_500)) + b"]"),
        ("csv", b"a,b\n" + b"1,2\n" * 800),
    ],
)
def test_of_a_message_a_thousand_measurements_are_taken_and_the_rest_is_named(name, data):
    found = made(name, {}).read(Message("t", data, NOW)).measurements
    assert len(found) == MOST + 1
    assert all(one.value is not None for one in found[:-1])
    assert found[-1].reason == MORE_THAN_MOST


def test_a_codec_of_another_package_is_found_by_its_entry_point(monkeypatch):
    made_elsewhere = EntryPoint("pond", "drivers.mqtt.codecs.families.number:Number", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([made_elsewhere]).select(group=group))
    family.cache_clear()
    codec = family("pond")(PayloadSettings(format="pond"))
    assert codec.read(Message("t", b"7.25", datetime(2026, 1, 1, tzinfo=UTC))).measurements[0].value == 7.25
    with pytest.raises(Misspelt) as refused:
        family("pont")
    assert "pond" in refused.value.hint
    family.cache_clear()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("json", {"value": "a..b"}),
        ("json", {"at_zone": "Mars/Phobos"}),
        ("csv", {"delimiter": ";;"}),
        ("csv", {"columns": ("a", "a")}),
        ("chirpstack", {"layout": (LayoutField("a", "u7", 0),)}),
        ("chirpstack", {"layout": (LayoutField("a", "u16", -1),)}),
        ("things_stack", {"layout": (LayoutField("a", "u16", 0), LayoutField("a", "u16", 2))}),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_cure(name, wrong):
    with pytest.raises(Misspelt) as refused:
        family(name)(PayloadSettings(format=name, **wrong))
    assert refused.value.hint


@pytest.mark.parametrize("name", ["sparkplug", "zigbee2mqtt", "thin_edge", "home_assistant"])
def test_after_forget_a_codec_reads_as_if_it_were_new(name):
    for case in cases(name):
        fresh, used = made(name, case.get("settings", {})), made(name, case.get("settings", {}))
        sent = [Message(one["topic"], payload(one["payload"]), NOW) for one in case["messages"]]
        for message in sent:
            outcome(used, message)
        used.forget()
        assert [outcome(used, message) for message in sent] == [outcome(fresh, message) for message in sent]


def outcome(codec, message):
    try:
        return codec.read(message)
    except Unread as reason:
        return str(reason)
