"""Topic patterns, what they make of a topic, and what is subscribed to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from drivers.mqtt import KnownSensor, MqttSettings, PayloadSettings, SubscriptionSettings
from drivers.mqtt.readings import observe
from drivers.mqtt.topics.routes import CACHED_TOPICS, Routes
from drivers.patterns import Pattern, cover
from drivers.values import Misconfigured

LEVELS = st.sampled_from(["a", "b", "", "$SYS", "ä", "0"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.tuples(st.lists(st.sampled_from(["a", "b", "", "+", "$SYS"]), min_size=0, max_size=4), st.booleans())
    .map(lambda parts: "/".join([*parts[0], "#"] if parts[1] else parts[0]))
    .filter(bool)
)


def routes(*subscriptions: SubscriptionSettings, sensors=(), site="home") -> Routes:
    return Routes(MqttSettings("barge", "c", site, subscriptions=subscriptions, sensors=sensors))


def test_named_levels_make_the_sensor():
    (source,) = (
        routes(SubscriptionSettings("farm/{site}/{tank}/{metric}", unit="degC"))
        .resolve(b"farm/fjord/pen-3/temperature")
        .sources
    )
    assert (source.sensor_id, source.sensor_type) == ("pen-3_temperature", "temperature")
    assert (source.tank_id, source.site_id, source.unit) == ("pen-3", "fjord", "degC")


def test_a_share_is_for_the_broker_alone():
    shared = routes(
        SubscriptionSettings("$share/boats/{tank}/{metric}"),
        SubscriptionSettings("$share/boats/t/+", tank="t", sensor_id="x", sensor_type="ph"),
    )
    assert shared.filters == {"$share/boats/+/+": 1}
    assert [source.tank_id for source in shared.resolve(b"t/ph").sources] == ["t", "t"]
    assert not shared.resolve(b"$share/boats/t/ph").sources
    assert Pattern("$share/boats/#").match("$SYS/uptime") is None


@pytest.mark.parametrize(
    "pattern",
    ["$share", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/{group}/a", "farm/a\u00a0/b", "a\t"],
)
def test_a_share_without_group_or_topic_and_a_character_that_nobody_sees_are_refused(pattern):
    with pytest.raises(ValueError, match=r"\$share/GROUP/TOPIC|invisible character"):
        Pattern(pattern)


def test_the_gateways_site_stands_in_where_the_topic_has_none():
    (source,) = routes(SubscriptionSettings("{tank}/{metric}")).resolve(b"t/ph").sources
    assert source.site_id == "home"


def test_a_known_sensor_has_the_type_unit_and_tank_of_config():
    known = KnownSensor("t_1_ph", "acidity", "pH", "tank_1")
    (source,) = routes(SubscriptionSettings("{tank}/{metric}", unit="?"), sensors=[known]).resolve(b"t_1/ph").sources
    assert (source.sensor_type, source.tank_id, source.unit) == ("acidity", "tank_1", "pH")


def test_a_fixed_sensor_that_config_knows_needs_no_named_levels():
    known = KnownSensor("pond", "temperature", "degC", "pond-1")
    (source,) = (
        routes(SubscriptionSettings("pond-node/sensor/+/state", sensor_id="pond"), sensors=[known])
        .resolve(b"pond-node/sensor/water/state")
        .sources
    )
    assert (source.sensor_id, source.tank_id) == ("pond", "pond-1")


def test_one_topic_may_carry_several_sensors():
    shared = "zigbee2mqtt/{tank}"
    found = routes(
        SubscriptionSettings(shared, payload=PayloadSettings("json", "temperature"), sensor_type="temperature",
                             sensor_id="{tank}_temperature"),
        SubscriptionSettings(shared, payload=PayloadSettings("json", "humidity"), sensor_type="humidity",
                             sensor_id="{tank}_humidity"),
    )  # fmt: skip
    assert [source.sensor_id for source in found.resolve(b"zigbee2mqtt/shed").sources] == [
        "shed_temperature",
        "shed_humidity",
    ]
    assert found.filters == {"zigbee2mqtt/+": 1}


def test_of_two_subscriptions_that_name_one_sensor_the_first_counts():
    found = routes(
        SubscriptionSettings("farm/x/{metric}", sensor_id="one", sensor_type="special", tank="x"),
        SubscriptionSettings("farm/{tank}/{metric}", sensor_id="one"),
    ).resolve(b"farm/x/ph")
    assert [source.sensor_type for source in found.sources] == ["special"]


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        (b"farm/a/b", "its topic matches no subscription"),
        (b"farm/a/\x01/ph", "the level tank of its topic is not a name (1 to 64 printable characters)"),
        (b"farm/a//ph", "the level tank of its topic is not a name (1 to 64 printable characters)"),
        (b"farm/a/../ph", "the level tank of its topic is not a name (1 to 64 printable characters)"),
        (b"farm/a/" + b"x" * 65 + b"/ph", "the level tank of its topic is not a name (1 to 64 printable characters)"),
        (b"farm/\xff/t/ph", "its topic is not UTF-8"),
    ],
)
def test_a_topic_that_leads_nowhere_says_why(topic, reason):
    found = routes(SubscriptionSettings("farm/{site}/{tank}/{metric}")).resolve(topic)
    assert (found.sources, found.reason) == ((), reason)


@pytest.mark.parametrize(
    "topic", ["", "a/#/b", "a/b+", "tank-{tank}/x", "{tank}/{tank}", "{Tank}/x", "a/{}", "a\0b", "a#", "{tank"]
)
def test_a_wrong_pattern_is_refused_with_the_field(topic):
    with pytest.raises(Misconfigured) as refused:
        routes(SubscriptionSettings("ok/{tank}/{metric}"), SubscriptionSettings(topic))
    assert refused.value.field == "subscriptions[1].topic"
    assert refused.value.hint


@pytest.mark.parametrize(
    ("subscription", "field"),
    [
        (SubscriptionSettings("x/{metric}"), "sensor_id"),
        (SubscriptionSettings("x/{metric}", sensor_id="a"), "tank"),
        (SubscriptionSettings("x/{tank}", sensor_id="a"), "sensor_type"),
        (SubscriptionSettings("{tank}/{metric}", site="{farm}"), "site"),
        (SubscriptionSettings("{tank}/{metric}", payload=PayloadSettings("json", "a..b")), "payload"),
        (SubscriptionSettings("{tank}/{metric}", payload=PayloadSettings("json", "")), "payload"),
    ],
)
def test_a_name_without_its_level_is_refused_with_the_field(subscription, field):
    with pytest.raises(Misconfigured) as refused:
        routes(subscription)
    assert refused.value.field == f"subscriptions[0].{field}"


@given(FILTERS, TOPICS)
def test_a_pattern_matches_what_mqtt_says(pattern, topic):
    assert (Pattern(pattern).match(topic) is not None) == topic_matches_sub(pattern, topic)


@given(st.dictionaries(FILTERS, st.integers(0, 1), min_size=1, max_size=4), TOPICS)
def test_fewer_filters_match_the_same_topics_at_no_lower_qos(wanted, topic):
    kept = cover(wanted)
    before = [qos for name, qos in wanted.items() if topic_matches_sub(name, topic)]
    after = [qos for name, qos in kept.items() if topic_matches_sub(name, topic)]
    assert bool(before) == bool(after)
    assert max(after, default=0) >= max(before, default=0)


def test_a_filter_inside_another_is_not_subscribed_to():
    assert cover({"farm/a/+": 1, "farm/#": 0, "x": 0}) == {"farm/#": 1, "x": 0}


RADIO = SubscriptionSettings(
    "radio/{site}/events",
    payload=PayloadSettings("json", "temperature_C"),
    sensor_id="radio_{id}",
    sensor_type="{model.kind}",
    tank="t1",
)


def seen(found: Routes, *payloads: bytes, topic=b"radio/fjord/events"):
    return observe([(topic, payload, 0x32, None) for payload in payloads], found, "mqtt:b")


def test_a_sensors_names_may_come_from_fields_of_the_payload():
    found = routes(RADIO)
    (first, second), unreadable = seen(
        found,
        b'{"id": 14937, "model": {"kind": "temperature"}, "temperature_C": 7.5}',
        b'{"id": "a-1", "model": {"kind": "air"}, "temperature_C": -2}',
    )
    assert (first.sensor_id, first.sensor_type, first.tank_id, first.site_id) == (
        "radio_14937",
        "temperature",
        "t1",
        "fjord",
    )
    assert (second.sensor_id, second.sensor_type, second.value) == ("radio_a-1", "air", -2.0)
    assert unreadable == 0
    assert found.tallies[RADIO].readings == 2


def test_a_sensor_that_a_payload_names_and_config_knows_has_what_config_says():
    known = KnownSensor("radio_7", "oxygen", "mg/L", "pen-3")
    ((reading,), _) = seen(
        routes(RADIO, sensors=(known,)), b'{"id": 7, "model": {"kind": "?"}, "temperature_C": 7.5}'
    )
    assert (reading.sensor_type, reading.unit, reading.tank_id) == ("oxygen", "mg/L", "pen-3")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "there is no id"),
        ('"id": null,', "id is null, not a name"),
        ('"id": 1.5,', "id is a number, not a name"),
        ('"id": "",', "id is not a name (1 to 64 printable characters without / + #)"),
        ('"id": "a/b",', "id is not a name (1 to 64 printable characters without / + #)"),
        ('"id": "..",', "id is not a name (1 to 64 printable characters without / + #)"),
        ('"id": "' + "x" * 65 + '",', "id is not a name (1 to 64 printable characters without / + #)"),
    ],
)
def test_a_payload_that_names_no_sensor_says_why_and_costs_other_sensors_of_its_topic_nothing(name, reason):
    beside = SubscriptionSettings(
        "radio/+/events", payload=PayloadSettings("json", "rssi"), sensor_id="radio", sensor_type="rssi", tank="t1"
    )
    found = routes(RADIO, beside)
    (first, second), unreadable = seen(
        found, b'{%b "model": {"kind": "air"}, "temperature_C": 1, "rssi": -70}' % name.encode()
    )
    assert (first.reason, second.value, unreadable) == (reason, -70.0, 1)
    assert (found.tallies[RADIO].unreadable, found.tallies[beside].readings) == (1, 1)


def test_sensors_that_payloads_name_do_not_fill_the_memory():
    found = routes(RADIO)
    (named,) = found.resolve(b"radio/a/events").by_payload
    for number in range(10_000):
        named.source(b'{"id": %d, "model": {"kind": "air"}}' % number)
    assert len(named._known) <= 4_096


def test_topics_of_strangers_do_not_fill_the_memory():
    found = routes(SubscriptionSettings("{tank}/{metric}"))
    for number in range(CACHED_TOPICS * 2 + 10):
        found.resolve(b"t/%d" % number)
    assert len(found._cache) <= CACHED_TOPICS
    assert found.resolve(b"t/1").sources[0].sensor_id == "t_1"


def test_a_message_that_no_sensor_is_found_for_counts_where_its_topic_belongs():
    """A subscription whose topics name nothing is not the same as one that gets nothing."""
    farm_topic, pump_topic = (
        SubscriptionSettings("farm/{tank}/{metric}"),
        SubscriptionSettings("pump/{tank}/{metric}"),
    )
    compiled = routes(farm_topic, pump_topic)
    messages = [(topic, b"1", 0, None) for topic in (b"farm/$x/ph", b"farm/t/ph", b"other/t", b"\xff")]
    _, unreadable = observe(messages, compiled, "mqtt:m")
    farm, pump, unmatched = (compiled.tallies[one] for one in (farm_topic, pump_topic, None))
    assert farm.newest is not None
    assert unmatched.newest is not None
    assert (farm.readings, farm.unreadable, farm.newest.topic) == (1, 1, "farm/$x/ph")
    assert (pump.readings, pump.unreadable, pump.newest) == (0, 0, None)
    assert (unmatched.unreadable, unmatched.newest.reason) == (2, "its topic is not UTF-8")
    assert unreadable == farm.unreadable + unmatched.unreadable
    # A change of the configuration goes on counting.
    assert Routes(MqttSettings("barge", "c", "home"), compiled.tallies).tallies[None] is unmatched
