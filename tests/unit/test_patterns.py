"""One grammar for topics, keys and the names made of them: what is refused with a hint, and what matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.patterns import Keys, Pattern, Template, published
from drivers.spelling import Misspelt

WILD = st.sampled_from(["a", "b", "$SYS", "+", "{site}", "{tank}"])
TOPICS = st.lists(st.sampled_from(["a", "b", "$SYS"]), min_size=1, max_size=4).map("/".join)


def patterns():
    levels = st.lists(WILD, max_size=3, unique_by=lambda level: level if level[0] == "{" else object())
    return st.tuples(levels, st.booleans()).map(
        lambda made: "/".join([*made[0], "#"] if made[1] else made[0] or ["a"])
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("a/#/b", "level 2, #: # may only be the whole last level"),
        ("a/b#", "level 2, b#: # may only be the whole last level"),
        ("a/b+", "level 2, b+: + stands for one whole level"),
        ("pen-{tank}/x", "level 1, pen-{tank}: a placeholder stands for one whole level"),
        ("{tank", "level 1, {tank: a placeholder stands for one whole level"),
        ("a/{farm}", "{farm} is not a placeholder"),
        ("a/{}", "{} is not a placeholder"),
        ("{tank}/{tank}", "{tank} occurs twice"),
        ("$share/g", "is not $share/GROUP/TOPIC"),
        ("$share/{site}/a", "is not $share/GROUP/TOPIC"),
        ("a/b\u00a0", "an invisible character"),
        ("a" * 65_536, "longer than MQTT allows"),
    ],
)
def test_what_no_broker_would_take_is_refused_with_a_hint(text, reason):
    with pytest.raises(Misspelt) as refused:
        Pattern(text)
    assert reason in refused.value.reason
    assert refused.value.hint


def test_a_placeholder_is_one_level_of_the_filter_and_says_which():
    pattern = Pattern("$share/boats/farm/{site}/+/{metric}/#")
    assert pattern.filter == "$share/boats/farm/+/+/+/#"
    assert pattern.names == ("site", "metric")
    assert pattern.match("farm/fjord/pen-3/ph/raw/1") == {"site": "fjord", "metric": "ph"}
    assert pattern.match("farm/fjord/pen-3/ph") == {"site": "fjord", "metric": "ph"}
    assert pattern.match("farm/fjord/pen-3") is None


@pytest.mark.parametrize("text", ["{site}/uptime", "+/uptime", "#"])
def test_a_topic_of_the_broker_itself_is_matched_by_no_wildcard(text):
    # A broker does not deliver it by such a filter either; a placeholder is a wildcard there.
    assert Pattern(text).match("$SYS/uptime") is None
    assert Pattern("$SYS/{metric}").match("$SYS/uptime") == {"metric": "uptime"}


@given(patterns(), patterns(), TOPICS)
def test_what_matches_the_inner_pattern_matches_the_outer(inner, outer, topic):
    one, other = Pattern(inner), Pattern(outer)
    if one.within(other) and one.match(topic) is not None:
        assert other.match(topic) is not None


def test_filters_of_two_groups_are_not_one_within_the_other():
    assert Pattern("$share/g/a/b").within(Pattern("$share/g/a/#"))
    assert not Pattern("$share/g/a/b").within(Pattern("$share/h/a/#"))
    assert not Pattern("a/b").within(Pattern("$share/g/a/#"))


def test_a_template_is_filled_in_and_can_make_only_what_it_can_make():
    template = Template("{tank}_{device.eui}")
    assert template.fields == ("tank", "device.eui")
    assert template.fill({"tank": "pen-3"}) == "pen-3_{device.eui}"
    assert template.fill({"tank": "{device.eui}", "device.eui": "7"}) == "{device.eui}_7"
    assert template.can_make("pen-3_0a")
    assert not template.can_make("pen-3")
    assert not template.can_make("pen/3_0a")


def test_a_key_stands_for_itself_and_for_what_is_below_it_and_for_nothing_that_only_begins_alike():
    keys = Keys(["kafka", "mqtt.tls", "http.port"])
    assert all(key in keys for key in ("kafka", "kafka.budget.live", "mqtt.tls.ca_file", "http.port"))
    assert not any(key in keys for key in ("kafka_x", "mqtt", "mqtt.tlsx", "http", "fleet"))


@pytest.mark.parametrize("key", ["mqtt[0].host", "kafka.*", "kafka..brokers", "", "kafka/brokers"])
def test_what_is_no_key_is_refused_with_a_hint(key):
    with pytest.raises(Misspelt, match="keys are here") as refused:
        Keys([key])
    assert refused.value.hint


def test_a_pattern_is_published_without_wildcards():
    assert published("farm/{site}/+/#") == "farm/{site}/*/**"
