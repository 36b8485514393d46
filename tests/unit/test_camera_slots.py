"""The newest frame's slot, and the buffers behind it."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from drivers.camera.shared import BUFFERS, Captured
from drivers.camera.slots import Slots


def captured(buffer: int, number: int) -> Captured:
    return Captured(buffer, 1, 1, number, 0, 0)


def put(slots: Slots, number: int) -> int | None:
    buffer = slots.claim()
    if buffer is not None:
        slots.publish(captured(buffer, number))
    return buffer


def test_a_newer_frame_replaces_one_not_taken():
    given = []
    slots = Slots(given.append)
    for number in range(1, 6):
        put(slots, number)
    slots.want()
    assert [one.number for one in given] == [5]
    assert slots.replaced == 4


def test_a_frame_wanted_before_it_is_there_goes_out_when_it_comes():
    given = []
    slots = Slots(given.append)
    slots.want()
    put(slots, 1)
    put(slots, 2)
    assert [one.number for one in given] == [1]
    slots.want()
    assert [one.number for one in given] == [1, 2]


def test_with_every_buffer_held_there_is_none_to_write_to_until_one_comes_back():
    given = []
    slots = Slots(given.append)
    for number in range(BUFFERS):
        slots.want()
        put(slots, number)
    assert slots.claim() is None
    slots.give_back(given[2].buffer)
    assert slots.claim() == given[2].buffer


class Traffic(RuleBasedStateMachine):
    """Any order of frames, thin_requests and returns."""

    def __init__(self):
        super().__init__()
        self.given: list[Captured] = []
        self.held: set[int] = set()
        self.asked = 0
        self.number = 0
        self.unbuffered = 0
        self.slots = Slots(self.receive)

    def receive(self, frame: Captured) -> None:
        assert frame.buffer not in self.held
        self.held.add(frame.buffer)
        self.given.append(frame)

    @rule()
    def capture(self):
        self.number += 1
        buffer = put(self.slots, self.number)
        self.unbuffered += buffer is None

    @rule()
    def capture_while_writing_all_else_goes_on(self):
        buffer = self.slots.claim()
        self.number += 1
        if buffer is None:
            self.unbuffered += 1
            return
        assert buffer not in self.held
        self.want()
        assert buffer not in self.held
        self.slots.publish(captured(buffer, self.number))

    @rule()
    def want(self):
        if self.asked == len(self.given):
            self.asked += 1
            self.slots.want()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give_back(self, data):
        buffer = data.draw(st.sampled_from(sorted(self.held)))
        self.held.remove(buffer)
        self.slots.give_back(buffer)

    @invariant()
    def no_frame_goes_out_twice_or_after_a_newer_one(self):
        numbers = [one.number for one in self.given]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= self.asked

    @invariant()
    def every_frame_is_accounted_for(self):
        waiting = not self.slots.wait_taken(0)
        assert self.number == len(self.given) + self.slots.replaced + self.unbuffered + waiting


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
