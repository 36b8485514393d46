"""A camera on a real RTSP server, where Debian's gir1.2-gst-rtsp-server-1.0 and gstreamer1.0-plugins-good are."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers import Frame, NotReady
from drivers.camera import CameraDriver, CameraSettings
from tests.support.children import spawn

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 60
PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).parents[1] / "support" / "rtsp_server.py"
PROBE = (
    "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0');"
    "from gi.repository import Gst, GstRtspServer; Gst.init(None);"
    "assert all(map(Gst.ElementFactory.find, ('jpegenc', 'rtpjpegpay', 'videotestsrc')))"
)


def installed() -> bool:
    if not Path(PYTHON).exists():
        return False
    return subprocess.run([PYTHON, "-c", PROBE], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not installed(), reason="GStreamer's RTSP server is not installed")


class Server:
    """One server, which can be stopped."""

    def __init__(self, *only: str) -> None:
        self.process = spawn([PYTHON, str(SERVER), "admin", "hunter2", *only], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def udp_server() -> Iterator[Server]:
    server = Server("udp")
    yield server
    server.stop()


def camera(server: Server, password: str = "hunter2", **settings) -> CameraDriver:
    source = f"rtsp://admin:{password}@127.0.0.1:{server.port}/pen"
    # Opening takes some seconds even on a quiet machine: the stream is probed.
    return CameraDriver(
        CameraSettings("pen", source, "t", "s", **{"fps": 50.0, "heartbeat_timeout_s": 10, **settings})
    )


class Viewer:
    def __init__(self) -> None:
        self.frames: list[Frame] = []

    async def emit(self, batch) -> None:
        (frame,) = batch
        self.frames.append(frame)
        frame.release()

    async def seen(self, count: int, running: asyncio.Task) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.frames) < count:
                assert not running.done(), running.exception()
                await asyncio.sleep(0.02)


async def ended(running: asyncio.Task) -> Exception | None:
    done, _ = await asyncio.wait((running,), timeout=PATIENCE_S)
    assert done
    return running.exception()


async def test_a_stream_is_seen_and_its_end_is_noticed(server):
    driver, viewer = camera(server), Viewer()
    running = asyncio.create_task(driver.run(viewer.emit))
    await viewer.seen(10, running)
    assert (driver.stats.width, driver.stats.height, driver.stats.open) == (320, 240, True)
    server.stop()
    error = await ended(running)
    assert isinstance(error, NotReady)
    assert "the stream ended" in error.reason
    assert "hunter2" not in f"{error} {driver.stats}"


async def test_of_a_stream_only_as_many_frames_are_taken_as_were_asked_for(server):
    driver, viewer = camera(server, fps=5), Viewer()
    running = asyncio.create_task(driver.run(viewer.emit))
    await viewer.seen(12, running)
    running.cancel()
    assert await asyncio.wait((running,), timeout=PATIENCE_S)
    times = [frame.captured_ns for frame in viewer.frames]
    # The first may be late and the last early, by a quarter of the interval each; between them nothing adds up.
    assert (times[-1] - times[0]) / 1e9 > (len(times) - 1) / 5 - 0.1 - 0.001


async def test_a_wrong_password_is_told_from_a_camera_that_is_off(server):
    error = await ended(asyncio.create_task(camera(server, "wrong").run(Viewer().emit)))
    assert isinstance(error, NotReady)
    assert "answers, but gives no video" in error.reason
    assert "password" in error.hint


async def test_a_camera_that_has_udp_alone_is_seen(udp_server, monkeypatch):
    monkeypatch.delenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", raising=False)
    driver, viewer = camera(udp_server), Viewer()
    running = asyncio.create_task(driver.run(viewer.emit))
    await viewer.seen(10, running)
    running.cancel()
    assert await asyncio.wait((running,), timeout=PATIENCE_S)


async def test_the_users_own_choice_of_transport_holds(udp_server, monkeypatch):
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    error = await ended(asyncio.create_task(camera(udp_server).run(Viewer().emit)))
    assert isinstance(error, NotReady)
    assert "answers, but gives no video" in error.reason
