"""What becomes of messages that cannot be read: in the journal, in events, in figures; all of it bounded."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from agent.pipeline.unreadable import UnreadableSampler
from drivers import Unreadable

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Farm:
    """A sampler with a clock that stands until it is moved."""

    def __init__(self):
        self.now = 0.0
        self.sampler = UnreadableSampler(lambda: self.now)
        self.events = []

    def send(self, topic="farm/t1/oxygen", reason="no number", times=1, sample="Online"):
        for _ in range(times):
            event = self.sampler.see(Unreadable("mqtt:barge", topic, reason, sample, AT))
            if event is not None:
                self.events.append(event)

    @property
    def told(self):
        return [(event.data["topic"], event.data["reason"], event.data["count"]) for event in self.events]


@pytest.fixture
def farm(caplog):
    caplog.set_level(logging.INFO, "tidegate")
    return Farm()


def test_a_second_topic_is_named_though_another_one_spoils_messages_for_the_same_reason(farm, caplog):
    farm.send("farm/t9/oxygen", times=150)
    farm.send("farm/t1/oxygen", times=4)
    assert farm.told == [("farm/t9/oxygen", "no number", 1), ("farm/t1/oxygen", "no number", 1)]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "farm/t1/oxygen cannot be read: no number (it begins: Online;" in caplog.messages[1]
    farm.now = 61
    farm.send("farm/t1/oxygen")
    assert farm.told[2:] == [("farm/t1/oxygen", "no number", 4)]
    assert len(caplog.records) == 2


def test_a_second_reason_of_a_topic_is_told_and_is_no_second_line_of_the_journal(farm, caplog):
    farm.send(reason="no number")
    farm.send(reason="the time in t is out of range")
    assert [reason for _, reason, _ in farm.told] == ["no number", "the time in t is out of range"]
    assert len(caplog.records) == 1


def test_a_topic_that_finds_a_new_reason_for_each_message_leaves_room_for_others(farm, caplog):
    for number in range(1_000):
        farm.send("farm/noisy", f"'{number}' is no number")
    farm.send("farm/t1/oxygen")
    assert farm.told[-1] == ("farm/t1/oxygen", "no number", 1)
    together = [event for event in farm.events if "counted_together" in event.data]
    assert [event.data["counted_together"] for event in together] == ["other reasons of this topic"]
    assert len(caplog.records) == 2
    farm.now = 61
    farm.send("farm/noisy", "the last one")
    assert farm.events[-1].data["count"] == 1_000 - 4
    assert "996 messages of other reasons of this topic" in farm.events[-1].text


def test_a_flood_of_topics_is_bounded_and_says_that_further_ones_are_counted_together(farm, caplog):
    for number in range(1_000):
        farm.send(f"farm/{number}/x")
    assert len(farm.events) == len(caplog.records) == 257
    assert farm.events[-1].data["counted_together"] == "further topics"
    assert caplog.messages[-1] == "more than 256 topics and reasons: further ones are counted together"
    farm.now = 61
    farm.send("farm/1000/x")
    assert farm.told[-1] == ("farm/1000/x", "no number", 1_000 - 256)
    assert sum(farm.sampler.counts.values()) == 1_001


def test_a_topic_that_was_well_for_an_hour_makes_room_and_nothing_of_its_count_is_forgotten(farm):
    for number in range(256):
        farm.send(f"farm/{number}/x", times=2)
    farm.now = 3_700
    farm.send("farm/new")
    assert farm.told[-1] == ("farm/new", "no number", 1)
    for number in range(256):
        farm.send(f"farm/{number}/x")
    (together,) = [event for event in farm.events if "counted_together" in event.data]
    assert sum(count for _, _, count in farm.told) == sum(farm.sampler.counts.values()) == 2 * 256 + 1 + 256
    assert together.data["count"] > 256


def test_what_strangers_publish_is_one_line_of_the_journal(farm, caplog):
    farm.send("farm/\n\x1b[2J", sample="a\nb" + "c" * 200)
    (line,) = caplog.messages
    assert line.isprintable()
    assert len(line) < 300
