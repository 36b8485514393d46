"""Looking at frames: beside the log, within a bound, every frame counted, and each model by itself."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from agent.events import Encoder
from agent.pipeline import FrameSlots, ModelRunner, Outbox, frames
from drivers import Frame, SharedImage
from models.values import NotReady, Prediction
from sync.values import NotReady as LogNotReady

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATIENCE_S = 30


class Disk:
    """A log that has things on disk when the test says so."""

    def __init__(self):
        self.waiting = []
        self.bytes = 0

    def append(self, envelopes, _receipts=()):
        done = asyncio.get_running_loop().create_future()
        self.waiting.append((done, sum(len(envelope.value) for envelope in envelopes)))
        return done

    def commit(self, error=None):
        for done, _ in self.waiting:
            done.set_exception(error) if error else done.set_result(None)
        self.waiting.clear()


class Model:
    def __init__(self, look=lambda: None):
        self.look = look
        self.closed = False

    def predict_shared(self, _fd, _offset, _height, _width):
        self.look()
        return Prediction("m", "1", "d", (), 0.001, 0.001)

    def close(self):
        self.closed = True


class Camera:
    """Puts numbered frames into the slots; knows which were released."""

    def __init__(self, slots):
        self.slots = slots
        self.offered = 0
        self.released = 0

    def put(self):
        self.offered += 1
        self.slots.put([Frame("cam", "t", "s", self.offered, AT, 0, SharedImage(0, 0, 1, 1), self._release)])

    def _release(self):
        self.released += 1


@asynccontextmanager
async def looking(load):
    slots, disk = FrameSlots(), Disk()
    runner = ModelRunner(load, slots, Outbox(disk), Encoder("gw-1", "s"), lambda _: None)
    running = asyncio.create_task(runner.run())
    try:
        yield runner, Camera(slots), disk, running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def test_v1_frames_are_looked_at_while_no_answer_is_on_disk():
    async with looking(Model) as (runner, camera, disk, _):
        await until(lambda: camera.slots.why == frames.BUSY)
        for number in range(1, 101):
            camera.put()
            await until(lambda number=number: runner.stats.frames == number)
        assert len(disk.waiting) == 100
        assert camera.slots.dropped == {}


async def test_v2_a_log_that_stalls_is_waited_for_within_a_bound_and_each_frame_lost_to_it_is_counted(monkeypatch):
    monkeypatch.setattr(frames, "MOST_UNWRITTEN_BYTES", 20_000)
    async with looking(Model) as (runner, camera, disk, _):
        while camera.slots.why != frames.LOG_BEHIND:
            seen = runner.stats.frames
            camera.put()
            await until(lambda seen=seen: runner.stats.frames > seen or camera.slots.why == frames.LOG_BEHIND)
        looked_at = runner.stats.frames
        assert sum(size for _, size in disk.waiting) < 20_000
        for _ in range(10):
            camera.put()
            await asyncio.sleep(0.001)
        assert runner.stats.frames == looked_at
        # The newest waits in its slot.
        assert camera.slots.dropped == {frames.LOG_BEHIND: 9}
        disk.commit()
        await until(lambda: runner.stats.frames == looked_at + 1)
        assert camera.slots.why == frames.BUSY


async def test_an_answer_that_the_log_does_not_take_is_counted_and_looking_goes_on():
    async with looking(Model) as (runner, camera, disk, running):
        await until(lambda: camera.slots.why == frames.BUSY)
        for number in (1, 2):
            camera.put()
            await until(lambda number=number: runner.stats.frames == number)
            disk.commit(LogNotReady("the log was closed"))
            await until(lambda number=number: runner.stats.refused == number)
        assert not running.done()


async def test_v3_whatever_becomes_of_a_frame_it_is_looked_at_or_counted_and_always_released():
    go_on, asked, fail = threading.Event(), threading.Semaphore(0), threading.Event()

    def look():
        asked.release()
        assert go_on.wait(PATIENCE_S)
        if fail.is_set():
            raise NotReady("its process died")

    loaded = threading.Event()

    def load():
        assert loaded.wait(PATIENCE_S)
        return Model(look)

    slots = FrameSlots()
    camera = Camera(slots)
    runner = ModelRunner(load, slots, Outbox(Disk()), Encoder("gw-1", "s"), lambda _: None)
    camera.put()
    camera.put()
    running = asyncio.create_task(runner.run())
    await until(lambda: slots.why == frames.LOADING)
    camera.put()
    loaded.set()
    assert await asyncio.to_thread(asked.acquire, timeout=PATIENCE_S)
    camera.put()
    camera.put()
    fail.set()
    go_on.set()
    with pytest.raises(NotReady):
        await running
    assert slots.dropped == {
        frames.NO_MODEL: 1,
        frames.LOADING: 1,
        frames.BUSY: 1,
        frames.FAILED: 1,
        frames.STOPPED: 1,
    }
    assert camera.released == camera.offered == sum(slots.dropped.values()) + runner.stats.frames


async def test_v4_models_that_take_long_to_load_keep_no_other_from_looking():
    """Also where there are more of them than the loop's own threads."""
    go_on = threading.Event()

    def slow():
        assert go_on.wait(PATIENCE_S)
        return Model()

    many = min(32, (os.cpu_count() or 1) + 4) + 2
    loading = [
        asyncio.create_task(
            ModelRunner(slow, FrameSlots(), Outbox(Disk()), Encoder("gw-1", "s"), lambda _: None).run()
        )
        for _ in range(many)
    ]
    async with looking(Model) as (runner, camera, _, _):
        await until(lambda: camera.slots.why == frames.BUSY)
        for number in range(1, 11):
            camera.put()
            await until(lambda number=number: runner.stats.frames == number)
    go_on.set()
    for task in loading:
        task.cancel()
    await asyncio.gather(*loading, return_exceptions=True)
