"""Cameras as they behave: played, slow to be looked at, hung, killed, gone, or never there."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from drivers import Frame, Misconfigured, NotReady
from drivers.camera import CameraDriver, CameraSettings, process, shared
from drivers.camera.shared import BUFFERS
from tests.support import clips
from tests.support.children import spawn

PATIENCE_S = 40
REAL = Path(__file__).parents[1] / "data" / "video" / "9870_Gerres.mp4"


def driver(source, **settings) -> CameraDriver:
    return CameraDriver(CameraSettings("pen", str(source), "tank", "site", **{"fps": 100.0, **settings}))


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def ended(running: asyncio.Task) -> Exception | None:
    """Wait for a run's end; what it raised."""
    done, _ = await asyncio.wait((running,), timeout=PATIENCE_S)
    assert done
    return running.exception()


async def cancel(running: asyncio.Task) -> None:
    running.cancel()
    await asyncio.wait((running,), timeout=PATIENCE_S)
    assert running.cancelled()


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


class Viewer:
    """Looks at every frame that it gets, and gives it back."""

    def __init__(self, *, keep: int = 0, delay_s: float = 0.0) -> None:
        self.frames: list[Frame] = []
        self.seen: list[int] = []
        self.keep = keep
        self.delay_s = delay_s

    async def emit(self, batch) -> None:
        (frame,) = batch
        self.frames.append(frame)
        self.seen.append(clips.number(frame))
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if len(self.frames) > self.keep:
            frame.release()


async def test_a_file_is_played_frame_by_frame_and_then_there_is_nothing_left_to_do(tmp_path):
    camera, viewer = driver(clips.write(tmp_path / "clip.avi", 30), fps=40), Viewer()
    assert await ended(asyncio.create_task(camera.run(viewer.emit))) is None
    stats = camera.stats
    assert (stats.captured, stats.emitted + stats.replaced, stats.unbuffered) == (30, 30, 0)
    assert viewer.seen == [frame.number for frame in viewer.frames]
    # The newest always arrives, also when the file ends behind it.
    assert viewer.seen[-1] == 30
    first = viewer.frames[0]
    assert (first.camera_id, first.tank_id, first.site_id) == ("pen", "tank", "site")
    assert (first.image.width, first.image.height) == (64, 48)
    assert (stats.width, stats.height, stats.open, stats.restarts, stats.last_error) == (64, 48, False, 0, "")


def test_a_real_clip_is_played_on_the_daemons_own_loop():
    camera, viewer = driver(REAL), Viewer()

    async def play() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await camera.run(viewer.emit)

    uvloop.run(play())
    assert camera.stats.captured == 190
    assert viewer.frames[-1].number == 190
    assert {(frame.image.width, frame.image.height) for frame in viewer.frames} == {(960, 540)}
    times = [frame.captured_ns for frame in viewer.frames]
    assert times == sorted(set(times))


async def test_a_looped_file_starts_again_and_its_numbers_go_on(tmp_path):
    camera, viewer = driver(clips.write(tmp_path / "clip.avi", 5), loop=True), Viewer()
    running = asyncio.create_task(camera.run(viewer.emit))
    await until(lambda: len(viewer.seen) > 20)
    assert camera.stats.fps > 0
    await cancel(running)
    assert set(viewer.seen) == {1, 2, 3, 4, 5}
    assert all(shown == (frame.number - 1) % 5 + 1 for shown, frame in zip(viewer.seen, viewer.frames, strict=True))


async def test_a_frame_too_large_is_scaled_down_and_keeps_its_proportions(tmp_path):
    clip = clips.write(tmp_path / "clip.avi", 5, width=320, height=180)
    camera, viewer = driver(clip, max_width=128, max_height=128), Viewer()
    assert await ended(asyncio.create_task(camera.run(viewer.emit))) is None
    assert {(frame.image.width, frame.image.height) for frame in viewer.frames} == {(128, 72)}
    assert viewer.seen[-1] == 5


async def test_a_viewer_who_is_slow_gets_the_newest_frame_and_the_others_are_counted(tmp_path):
    camera, viewer = driver(clips.write(tmp_path / "clip.avi", 40), fps=60), Viewer(delay_s=0.1)
    assert await ended(asyncio.create_task(camera.run(viewer.emit))) is None
    stats = camera.stats
    assert stats.replaced > 0
    assert stats.emitted == len(viewer.frames)
    assert stats.emitted + stats.replaced == stats.captured == 40
    assert viewer.seen == [frame.number for frame in viewer.frames] == sorted(set(viewer.seen))
    assert viewer.seen[-1] == 40


async def test_a_frame_that_is_held_stays_as_it_is_however_many_follow(tmp_path):
    camera, viewer = driver(clips.write(tmp_path / "clip.avi", 40), loop=True), Viewer(keep=BUFFERS - 2)
    running = asyncio.create_task(camera.run(viewer.emit))
    await until(lambda: len(viewer.seen) > 60)
    held = viewer.frames[: viewer.keep]
    assert [clips.number(frame) for frame in held] == viewer.seen[: viewer.keep]
    await cancel(running)
    # Also when the capture has ended; the memory goes with the last of them.
    assert [clips.number(frame) for frame in held] == viewer.seen[: viewer.keep]
    for frame in held:
        frame.release()
        frame.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(held[0].image.fd)


async def test_a_viewer_who_holds_every_buffer_loses_frames_but_not_the_camera(tmp_path):
    camera, viewer = driver(clips.write(tmp_path / "clip.avi", 40), loop=True), Viewer(keep=BUFFERS)
    running = asyncio.create_task(camera.run(viewer.emit))
    await until(lambda: camera.stats.unbuffered > 10)
    assert len(viewer.frames) == BUFFERS
    assert [clips.number(frame) for frame in viewer.frames] == viewer.seen
    for frame in viewer.frames[:]:
        frame.release()
    await until(lambda: len(viewer.frames) > BUFFERS + 10)
    await cancel(running)


async def test_a_capture_that_hangs_is_killed_and_the_next_run_goes_on(tmp_path):
    camera, viewer = driver(clips.write(tmp_path / "clip.avi", 40), loop=True, heartbeat_timeout_s=1), Viewer()
    running = asyncio.create_task(camera.run(viewer.emit))
    await until(lambda: len(viewer.seen) > 5)
    pid = camera.capture_pid
    os.kill(pid, signal.SIGSTOP)
    error = await ended(running)
    assert isinstance(error, NotReady)
    assert "no sign of life" in error.reason
    assert not alive(pid)
    before = camera.stats
    assert (before.kills, before.open, before.fps, before.last_error) == (1, False, 0.0, error.reason)

    running = asyncio.create_task(camera.run(viewer.emit))
    await until(lambda: camera.stats.captured > before.captured + 5)
    assert camera.stats.restarts == 1
    await cancel(running)
    numbers = [frame.number for frame in viewer.frames]
    assert numbers == sorted(set(numbers))


async def test_a_capture_that_hangs_before_it_opens_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_START_S", 1.0)
    camera = driver(clips.write(tmp_path / "clip.avi", 40), loop=True, heartbeat_timeout_s=0.3)
    running = asyncio.create_task(camera.run(Viewer().emit))
    await until(lambda: camera.capture_pid)
    pid = camera.capture_pid
    os.kill(pid, signal.SIGSTOP)
    error = await ended(running)
    assert isinstance(error, NotReady)
    assert not alive(pid)


async def test_a_capture_that_lives_but_hands_nothing_over_is_killed(tmp_path, monkeypatch):
    def tell(capture, message) -> None:
        if message != shared.WANT:
            capture._channel.send(message)

    # As if the part of the process that answers were gone, while the part that captures goes on.
    monkeypatch.setattr(process.CaptureProcess, "_tell", tell)
    camera = driver(clips.write(tmp_path / "clip.avi", 40), loop=True, heartbeat_timeout_s=1)
    error = await ended(asyncio.create_task(camera.run(Viewer().emit)))
    assert isinstance(error, NotReady)
    assert "delivered none" in error.reason
    assert camera.stats.kills == 1


async def test_a_capture_that_dies_says_of_what(tmp_path):
    camera, viewer = driver(clips.write(tmp_path / "clip.avi", 40), loop=True), Viewer()
    running = asyncio.create_task(camera.run(viewer.emit))
    await until(lambda: len(viewer.seen) > 5)
    os.kill(camera.capture_pid, signal.SIGSEGV)
    error = await ended(running)
    assert isinstance(error, NotReady)
    assert "SIGSEGV" in error.reason


async def test_a_file_that_is_no_video_is_no_matter_of_waiting(tmp_path):
    (tmp_path / "notes.mp4").write_bytes(b"no frames here\n" * 1000)
    error = await ended(asyncio.create_task(driver(tmp_path / "notes.mp4").run(Viewer().emit)))
    assert isinstance(error, Misconfigured)
    assert "cannot be read as a video" in error.reason
    assert error.field == "source"


async def test_a_device_that_gives_no_video_is_waited_for():
    error = await ended(asyncio.create_task(driver("/dev/null").run(Viewer().emit)))
    assert isinstance(error, NotReady)
    assert error.reason == "/dev/null: the device gives no video"


async def test_an_address_where_nobody_listens_says_so_and_keeps_its_password(caplog):
    caplog.set_level(logging.DEBUG)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        camera = driver(f"rtsp://admin:hunter2@127.0.0.1:{port}/live?token=hunter2")
        running = asyncio.create_task(camera.run(Viewer().emit))
        await until(lambda: camera.capture_pid)
        command_line = command_of(camera.capture_pid)
        error = await ended(running)
    assert isinstance(error, NotReady)
    assert f"cannot connect to 127.0.0.1:{port}: Connection refused" in error.reason
    told = f"{error} {error.hint} {camera.stats} {command_line!r} " + "".join(
        one.getMessage() for one in caplog.records
    )
    assert "hunter2" not in told
    assert "drivers.camera.capture" in told


async def test_an_address_that_takes_connections_and_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        camera = driver(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/live", heartbeat_timeout_s=0.5)
        error = await ended(asyncio.create_task(camera.run(Viewer().emit)))
    assert isinstance(error, NotReady)
    assert "gives no video" in error.reason or "not open after" in error.reason


PARENT = """
import asyncio, sys
from drivers.camera import CameraDriver, CameraSettings

async def main():
    camera = CameraDriver(CameraSettings("pen", sys.argv[1], "t", "s", fps=50, loop=True))
    async def emit(batch):
        print(camera.capture_pid, flush=True)
        await asyncio.sleep(3600)
    await camera.run(emit)

asyncio.run(main())
"""


@pytest.mark.parametrize("hung", [False, True])
async def test_a_capture_never_outlives_a_daemon_that_was_killed(tmp_path, hung):
    clip = clips.write(tmp_path / "clip.avi")
    parent = spawn([sys.executable, "-c", PARENT, str(clip)], stdout=subprocess.PIPE)
    pid = int(await asyncio.to_thread(parent.stdout.readline))
    assert alive(pid)
    if hung:
        os.kill(pid, signal.SIGSTOP)
    parent.kill()
    parent.wait(PATIENCE_S)
    parent.stdout.close()
    await until(lambda: not alive(pid))


async def test_the_daemon_carries_neither_opencv_nor_onnxruntime_nor_numpy():
    asked = "import sys, drivers.camera, drivers.memory, models.host, models.memory; print(*sys.modules)"
    loaded = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", asked], text=True)
    assert not {"cv2", "numpy", "onnxruntime", "multiprocessing", "pickle"} & set(loaded.split())


async def test_a_camera_asleep_between_two_frames_is_not_taken_for_hung(tmp_path):
    clip = clips.write(tmp_path / "clip.avi", 2)
    camera, viewer = driver(clip, fps=0.5, heartbeat_timeout_s=0.7), Viewer()
    assert await ended(asyncio.create_task(camera.run(viewer.emit))) is None
    assert viewer.seen == [1, 2]
    apart_s = (viewer.frames[1].captured_ns - viewer.frames[0].captured_ns) / 1e9
    assert apart_s > 0.7, "nothing was tried"
    assert camera.stats.kills == 0
