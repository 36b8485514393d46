"""What holds for every driver: whatever it observes, and whatever becomes of the one who listens."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers import Driver, NotReady, Observation, Reading
from drivers.camera import CameraDriver, CameraSettings
from drivers.memory import ReplayDriver
from drivers.mqtt import MqttDriver, MqttSettings, SubscriptionSettings
from tests.support import clips
from tests.support.broker import free_ports
from tests.support.mosquitto import Mosquitto
from tests.support.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE_S = 30


@dataclass
class Case:
    """A driver with something to observe, and one of the same kind with nothing there."""

    driver: Driver
    absent: Driver


def reading(number: int) -> Reading:
    now = datetime.now(UTC)
    return Reading(f"t_{number}", "temperature", number, "degC", "t", "s", now, at_device=False, received_ns=number)


def replay(folder) -> Case:
    absent = ReplayDriver([[reading(1)]])
    absent.available = False
    return Case(ReplayDriver([[reading(number)] for number in range(1, 200)], interval_s=0.002), absent)


def camera(folder) -> Case:
    def driver(source) -> CameraDriver:
        return CameraDriver(CameraSettings("pen", str(source), "t", "s", fps=100, loop=True))

    return Case(driver(clips.write(folder / "clip.avi")), driver(folder / "none.avi"))


@contextlib.contextmanager
def mqtt(folder) -> Iterator[Case]:
    def driver(port: int) -> MqttDriver:
        subscription = SubscriptionSettings("farm/{site}/{tank}/{metric}")
        return MqttDriver(MqttSettings("barge", "gateway", "s", port=port, subscriptions=(subscription,)))

    enough = threading.Event()
    with Mosquitto(folder) as broker, Publisher(broker.host, broker.port) as device:
        sending = threading.Thread(
            target=device.publish_evenly, args=(1, 50_000, 200.0, ["farm/s/t/temperature"], enough), daemon=True
        )
        sending.start()
        (nobody,) = free_ports(1)
        try:
            yield Case(driver(broker.port), driver(nobody))
        finally:
            enough.set()
            sending.join()


@pytest.fixture(params=[replay, camera, mqtt], ids=["replay", "camera", "mqtt"])
def case(request, tmp_path) -> Iterator[Case]:
    made = request.param(tmp_path)
    with contextlib.nullcontext(made) if isinstance(made, Case) else made as case:
        yield case


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Listener:
    """Takes what is emitted and gives frames back."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Observation]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def emit(self, batch: Sequence[Observation]) -> None:
        self.batches.append(batch)
        try:
            await self.gate.wait()
        finally:
            for one in batch:
                if not isinstance(one, Reading):
                    one.release()

    async def heard(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.batches) < count:
                await asyncio.sleep(0.01)


async def stop(task: asyncio.Task) -> None:
    task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(asyncio.CancelledError):
            await task


def name(one: Observation) -> float:
    """What tells one observation from another."""
    return one.value if isinstance(one, Reading) else one.captured_ns


async def test_it_emits_batches_that_hold_something_each_observation_once(case):
    listener = Listener()
    running = asyncio.create_task(case.driver.run(listener.emit))
    await listener.heard(10)
    await stop(running)
    assert all(len(batch) for batch in listener.batches)
    names = [name(one) for batch in listener.batches for one in batch]
    assert names == sorted(set(names))


async def test_after_cancelling_nothing_more_is_emitted_and_nothing_stays_behind(case):
    files = open_files()
    listener = Listener()
    running = asyncio.create_task(case.driver.run(listener.emit))
    await listener.heard(3)
    await stop(running)
    count = len(listener.batches)
    await asyncio.sleep(0.1)
    assert len(listener.batches) == count
    assert len(asyncio.all_tasks()) == 1
    assert open_files() <= files


async def test_it_can_be_cancelled_while_nobody_listens(case):
    listener = Listener()
    listener.gate.clear()
    running = asyncio.create_task(case.driver.run(listener.emit))
    await listener.heard(1)
    await stop(running)


async def test_it_can_be_run_again(case):
    listener = Listener()
    for _ in range(2):
        before = len(listener.batches)
        running = asyncio.create_task(case.driver.run(listener.emit))
        await listener.heard(before + 2)
        await stop(running)


async def test_what_goes_wrong_with_the_listener_ends_the_run(case):
    async def emit(batch) -> None:
        raise LookupError("the listener is broken")

    with pytest.raises(LookupError, match="the listener is broken"):
        async with asyncio.timeout(PATIENCE_S):
            await case.driver.run(emit)


async def test_an_outside_that_is_not_there_is_no_crash(case):
    listener = Listener()
    with pytest.raises(NotReady) as waiting:
        async with asyncio.timeout(PATIENCE_S):
            await case.absent.run(listener.emit)
    assert waiting.value.reason
    assert listener.batches == []
