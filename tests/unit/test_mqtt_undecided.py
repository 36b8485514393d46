"""A broker that sends again without DUP, and whose messages come one by one instead of in one read."""

from __future__ import annotations

import asyncio

from drivers.mqtt.delivery.handled import Handled
from drivers.mqtt.delivery.undecided import Undecided
from drivers.mqtt.packets import Received


def one(identifier: int, payload: bytes) -> Received:
    made = Received()
    made.messages.append((b"t", payload, 0x32, None))
    made.by_qos[1] = 1
    made.acknowledgements += b"\x40\x02" + identifier.to_bytes(2)
    return made


class Driver:
    """Forty messages were taken and not acknowledged, and the session is resumed."""

    def __init__(self, count: int = 40) -> None:
        self.handled = Handled()
        self.handled.begin(kept=False)
        for number in range(count):
            self.handled.take(one(1 + number, b"%d" % number))
        self.handled.begin(kept=True)
        self.new: list[bytes] = []
        self.answered = 0
        self.undecided = Undecided(self.handled.undecided, self._take)

    def _take(self, received: Received) -> None:
        self.handled.take(received)
        self.new += [payload for _, payload, _, _ in received.messages]
        self.answered += len(received.acknowledgements) // 4


async def test_what_comes_again_one_by_one_is_known():
    driver = Driver()
    for number in range(40):
        driver.undecided.come(one(1 + number, b"%d" % number))
    driver.undecided.come(one(41, b"new"))
    assert driver.new == [b"new"]
    assert driver.answered == 41


async def test_a_new_message_waits_for_nothing():
    driver = Driver()
    driver.undecided.come(one(1, b"0"))
    assert driver.answered == 0
    driver.undecided.come(one(41, b"new"))
    assert driver.new == [b"0", b"new"]


async def test_what_stays_undecided_is_taken_as_new_after_a_moment():
    driver = Driver()
    driver.undecided.come(one(1, b"0"))
    async with asyncio.timeout(30):
        while not driver.new:
            await asyncio.sleep(0.01)
    assert driver.handled.suspected == 1


async def test_nothing_is_held_where_too_few_are_owed_to_tell():
    driver = Driver(7)
    driver.undecided.come(one(1, b"0"))
    assert driver.new == [b"0"]


async def test_what_is_held_goes_with_its_connection():
    driver = Driver()
    driver.undecided.come(one(1, b"0"))
    driver.undecided.drop()
    driver.undecided.come(one(41, b"new"))
    assert driver.new == [b"new"]
