"""From messages with several measurements to readings: channels, templates, repetitions, faults, answers."""

from __future__ import annotations

import json

import pytest

from agent.config import parse
from drivers.mqtt import ChannelSettings, KnownSensor, MqttSettings, PayloadSettings, SubscriptionSettings
from drivers.mqtt.packets import MOST_BYTES, RETAINED, TOO_LARGE
from drivers.mqtt.readings import observe
from drivers.mqtt.topics.routes import Routes
from drivers.values import Doubt, Misconfigured, Reading, Unreadable
from tests.fuzz.mutations import cases, payload
from tests.support.document import changed, problems_of

LIVE = 0x32
OXYGEN = KnownSensor("Becken Süd", "oxygen", "mg/L", "t1")
TEMPERATURE = KnownSensor("deep", "temperature", "degC", "t1")


def routes(*subscriptions, sensors=(OXYGEN, TEMPERATURE)):
    return Routes(MqttSettings("b", "c", "home", subscriptions=subscriptions, sensors=sensors))


def z2m(topic="zigbee2mqtt/#", **more):
    channels = (ChannelSettings("temperature", "deep"), ChannelSettings("oxygen", "Becken Süd", "probe"))
    return SubscriptionSettings(topic, payload=PayloadSettings("zigbee2mqtt"), **{"channels": channels, **more})


def observed(of, *messages, head=LIVE):
    return observe([(topic.encode(), data, head, None) for topic, data in messages], of, "mqtt:b")


def said(**values):
    return json.dumps(values).encode()


def test_a_channel_is_a_sensor_of_the_named_device_or_of_any():
    of = routes(z2m())
    seen, unreadable = observed(
        of,
        ("zigbee2mqtt/probe", said(temperature=11.5, oxygen=7.1, linkquality=80)),
        ("zigbee2mqtt/other", said(temperature=12.5, oxygen=6.1)),
    )
    assert [(one.sensor_id, one.value, one.unit) for one in seen] == [
        ("deep", 11.5, "degC"),
        ("Becken Süd", 7.1, "mg/L"),
        ("deep", 12.5, "degC"),
    ]
    assert unreadable == 0
    assert of.by_subscription()["zigbee2mqtt/#"].others == 2


def test_a_template_with_the_channel_in_it_takes_all_that_comes():
    of = routes(z2m(channels=(), sensor_id="{device}_{channel}", sensor_type="{channel}", tank="t9"))
    seen, _ = observed(of, ("zigbee2mqtt/Becken Süd/oben", said(oxygen=7.1, ph=8.1)))
    assert [(one.sensor_id, one.sensor_type, one.tank_id) for one in seen] == [
        ("Becken Süd.oben_oxygen", "oxygen", "t9"),
        ("Becken Süd.oben_ph", "ph", "t9"),
    ]
    (long,), count = observed(of, ("zigbee2mqtt/" + "x" * 70, said(ph=1)))
    assert (type(long), count) == (Unreadable, 1)


def test_a_time_that_did_not_move_is_no_new_reading_but_another_value_is():
    of = routes(z2m())
    same = ("zigbee2mqtt/probe", said(temperature=11.5, last_seen="2026-09-21T14:13:00Z"))
    seen, _ = observed(of, same, same, ("zigbee2mqtt/probe", said(temperature=2.5, last_seen="2026-09-21T14:13:00Z")))
    assert [one.value for one in seen] == [11.5, 2.5]
    assert of.by_subscription()["zigbee2mqtt/#"].repeated == 1


def test_a_value_that_is_missing_says_which_sensor_it_is_of():
    (missed,), count = observed(routes(z2m()), ("zigbee2mqtt/probe", said(temperature=None)))
    assert (missed.sensor_id, count) == ("deep", 1)
    assert missed.reason == "deep has no value: it is null, not a number"


def test_what_stands_for_no_value_is_a_fault_and_costs_its_neighbours_nothing():
    seen, count = observed(routes(z2m()), ("zigbee2mqtt/probe", said(temperature=-127, oxygen=327.67)))
    assert [type(one) for one in seen] == [Unreadable, Unreadable]
    assert all("sensor fault" in one.reason for one in seen)
    assert count == 2


@pytest.mark.parametrize("format_", ["json", "number"])
def test_a_fault_is_one_on_the_way_of_a_single_field_too(format_):
    of = routes(
        SubscriptionSettings("t", payload=PayloadSettings(format_, "v"), sensor_id="deep"),
        sensors=(KnownSensor("deep", "temperature", "degC", "t1", maker="ds18b20"),),
    )
    wrap = (lambda value: b'{"v":%g}' % value) if format_ == "json" else (lambda value: b"%g" % value)
    seen, _ = observed(of, *(("t", wrap(value)) for value in (85, 12, 85, -127, 12)))
    # The second 85 does not come first after a gap.
    assert [one.value if type(one) is Reading else one.reason for one in seen] == [
        "sensor fault: 85 stands for no value", 12.0, 85.0, "sensor fault: -127 stands for no value", 12.0,
    ]  # fmt: skip


def test_a_retained_message_without_a_time_is_of_unknown_age():
    (reading,), _ = observed(routes(z2m()), ("zigbee2mqtt/probe", said(temperature=1)), head=LIVE | RETAINED)
    assert reading.doubt == Doubt("age_unknown", retained=True)


def test_subscriptions_that_are_read_alike_share_what_one_learns():
    of = routes(z2m("zigbee2mqtt/bridge/devices"), z2m("zigbee2mqtt/probe"))
    exposes = [{"property": "temperature", "unit": "°F"}]
    described = json.dumps([{"friendly_name": "probe", "definition": {"exposes": exposes}}]).encode()
    seen, _ = observed(of, ("zigbee2mqtt/bridge/devices", described), ("zigbee2mqtt/probe", said(temperature=50)))
    assert seen[0].reason == "deep has no value: its unit is not the one in the configuration"
    of.forget()
    (reading,), _ = observed(of, ("zigbee2mqtt/probe", said(temperature=50)))
    assert reading.value == 50.0


def test_other_subscriptions_of_the_same_topic_are_read_beside_it():
    single = SubscriptionSettings("zigbee2mqtt/+", payload=PayloadSettings("json", "ph"), sensor_id="s",
                                  sensor_type="ph", tank="t")  # fmt: skip
    seen, count = observed(routes(z2m(), single), ("zigbee2mqtt/probe", said(temperature=1, ph=8)))
    assert ({one.sensor_id for one in seen}, count) == ({"deep", "s"}, 0)


def test_a_message_that_is_too_large_is_counted_where_it_belongs():
    of = routes(z2m())
    seen, count = observed(of, ("zigbee2mqtt/probe", b"{"), head=LIVE | TOO_LARGE)
    assert (count, of.by_subscription()["zigbee2mqtt/#"].unreadable) == (1, 1)
    assert str(MOST_BYTES // 1024) in seen[0].reason


def test_a_birth_is_asked_for_and_a_lost_session_asks_again():
    of = routes(
        SubscriptionSettings(
            "spBv1.0/#", payload=PayloadSettings("sparkplug"), channels=(ChannelSettings("oxygen", "Becken Süd"),)
        )
    )
    birth, data = (payload(sent["payload"]) for sent in cases("sparkplug")[0]["messages"])
    seen, _ = observed(of, ("spBv1.0/farm/NDATA/gw1", data))
    assert {one.reason for one in seen} == {"the alias of a metric is not known before the node's next birth"}
    assert [answer.topic for answer in of.answers] == ["spBv1.0/farm/NCMD/gw1"]
    of.answers.clear()
    seen, _ = observed(of, ("spBv1.0/farm/NBIRTH/gw1", birth), ("spBv1.0/farm/NDATA/gw1", data))
    assert [one.value for one in seen] == [7.25, 6.5]
    assert of.answers == []
    of.forget()
    observed(of, ("spBv1.0/farm/NDATA/gw1", data))
    assert len(of.answers) == 1


@pytest.mark.parametrize(
    ("subscription", "field"),
    [
        (z2m(channels=()), "subscriptions[0].channels"),
        (z2m(channels=(ChannelSettings("a", "nobody"),)), "subscriptions[0].channels[0].sensor_id"),
        (z2m(channels=(), sensor_id="{channel}_{tank}", tank="t"), "subscriptions[0].sensor_id"),
        (SubscriptionSettings("t", payload=PayloadSettings("nonsense")), "subscriptions[0].payload"),
    ],
)
def test_a_subscription_that_cannot_work_is_named(subscription, field):
    with pytest.raises(Misconfigured) as refused:
        routes(subscription)
    assert refused.value.field == field
    assert refused.value.hint


TOPIC = "      - topic: farm/{site}/{tank}/{metric}\n        qos: 1\n"
FAMILY = "      - topic: tele/+/SENSOR\n        payload: {format: tasmota}\n"
KNOWN = "{channel: a, sensor_id: pen-1_temperature}"


@pytest.mark.parametrize(
    ("payload_format", "channels", "said_of_it"),
    [
        ("tasmota", "", "none has a sensor (hint: list channels with their sensor_id (tidegate probe shows them)"),
        ("tasmota", "{channel: a, sensor_id: nobody}", "there is no sensor nobody"),
        ("tasmota", f"{KNOWN}, {KNOWN}", "is also that of mqtt[0].subscriptions[1].channels[0]"),
        ("tasmotta", KNOWN, "there is no format tasmotta"),
        ("tasmota, layout: [{channel: a, type: u8, at: 0}]", KNOWN, "has no effect with format: tasmota"),
    ],
)
def test_what_is_wrong_with_channels_is_named_with_its_line(payload_format, channels, said_of_it):
    written = FAMILY.replace("tasmota", payload_format) + (f"        channels: [{channels}]\n" if channels else "")
    found = problems_of(changed(TOPIC, TOPIC + written))
    assert any(said_of_it in problem for problem in found), found


def test_sensors_with_spaces_and_umlauts_can_have_limits():
    sensor = "  - {id: Becken Süd oben, type: oxygen, unit: mg/L, tank: Becken Süd, limits: {low: 5}}\n"
    channels = FAMILY + "        channels: [{channel: a, sensor_id: Becken Süd oben}]\n"
    text = changed(TOPIC, TOPIC + channels).replace("sensors:\n", "sensors:\n" + sensor)
    assert parse(text, "c.yaml", {}).sensors[0].id == "Becken Süd oben"
    for bad in ("' a'", "a/b", "a+b", "'#a'", ".a", "$a", "'a '"):
        assert problems_of(text.replace("{id: Becken Süd oben,", f"{{id: {bad},")), bad
