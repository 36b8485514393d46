"""The driver's handle on one capture process: starting it, hearing it, watching its heart, ending it."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from drivers.camera import shared
from drivers.camera.shared import Captured, Phase, Word
from drivers.values import SharedImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.camera.settings import CameraSettings
    from drivers.camera.source import Source

_START_S = 20.0
_OPENING_FACTOR = 3
_LAST_WORDS_S = 1.5
_KILLED_S = 2.0
_STDERR_BYTES = 2000

_QUIET = {
    # One thread for one camera; fewer malloc arenas, each of which keeps megabytes.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    # Their words may hold the address with its password; the reasons that count are found out otherwise.
    "OPENCV_LOG_LEVEL": "SILENT",
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}
_PREFERRED = {
    # TCP first, UDP for a camera that has no TCP. Any value of this variable replaces OpenCV's own choice, so that a
    # user who sets it for the daemon has chosen the transport: that value holds then.
    "OPENCV_FFMPEG_CAPTURE_OPTIONS": "rtsp_flags;prefer_tcp",
}


class Buffers:
    """The shared memory, which stays until the capture has ended and every frame of it was released."""

    def __init__(self, settings: CameraSettings) -> None:
        self.fd = shared.create(settings.max_width, settings.max_height)
        self._image_bytes = shared.image_bytes(settings.max_width, settings.max_height)
        self._most = settings.max_height, settings.max_width
        self._header = mmap.mmap(self.fd, shared.HEADER_BYTES, prot=mmap.PROT_READ)
        self._words = memoryview(self._header).cast("Q")
        self._lock = threading.Lock()
        self._users = 1

    def word(self, word: Word) -> int:
        """A counter of the capture, as it stands."""
        return self._words[word]

    def image(self, captured: Captured) -> SharedImage:
        """Where a frame lies. Raises ValueError when it cannot."""
        if captured.height > self._most[0] or captured.width > self._most[1]:
            raise ValueError("a frame larger than its buffer")
        offset = shared.HEADER_BYTES + captured.buffer * self._image_bytes
        return SharedImage(self.fd, offset, captured.height, captured.width)

    def hold(self) -> None:
        """One user more."""
        with self._lock:
            self._users += 1

    def let_go(self) -> None:
        """One user less; the last one closes the memory."""
        with self._lock:
            self._users -= 1
            if self._users:
                return
        self._words.release()
        self._header.close()
        os.close(self.fd)


class CaptureProcess:
    """One running capture. Make it with `start`; always `stop` it."""

    def __init__(self, settings: CameraSettings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self.buffers = Buffers(settings)
        self._channel, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        self._messages: deque[bytes] = deque()
        self._heard = asyncio.Event()
        self._closed = False
        self._process: asyncio.subprocess.Process | None = None
        self._stderr = b""
        self._reading_stderr: asyncio.Task[None] | None = None
        self._started = self._wanted_at = time.monotonic()
        self._written_when_wanted = 0

    @classmethod
    async def start(cls, settings: CameraSettings, source: Source) -> CaptureProcess:
        """Start a capture. The address goes over the socket, for command lines are public."""
        capture = cls(settings, source)
        try:
            await capture._start()
        except BaseException:  # raised on at once; a half-started child must not outlive a cancellation
            await capture.stop()
            raise
        return capture

    async def _start(self) -> None:
        theirs, memory = self._theirs.fileno(), self.buffers.fd
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "drivers.camera.capture", str(theirs), str(memory), str(os.getpid())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(theirs, memory),
            env={**_PREFERRED, **os.environ, **_QUIET},
            # Ctrl-C in a terminal is for the daemon, which ends its captures in order.
            start_new_session=True,
        )
        self._theirs.close()
        asyncio.get_running_loop().add_reader(self._channel, self._hear)
        self._reading_stderr = asyncio.create_task(self._read_stderr(), name=f"camera:{self._settings.name}:stderr")
        settings = self._settings
        first = {
            "kind": self._source.kind,
            "address": self._source.address,
            "fps": settings.fps,
            "loop": settings.loop,
            "heartbeat_timeout_s": settings.heartbeat_timeout_s,
            "max_width": settings.max_width,
            "max_height": settings.max_height,
        }
        self._tell(json.dumps(first).encode())

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid if self._process else 0

    def _hear(self) -> None:
        try:
            message = self._channel.recv(shared.MOST_MESSAGE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._channel)
        else:
            self._messages.append(message)
        self._heard.set()

    async def receive(self, timeout_s: float) -> bytes | None:
        """The next message; None when there was none in this time, empty when there will be no more."""
        if not self._messages and not self._closed:
            self._heard.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._heard.wait()
        if self._messages:
            return self._messages.popleft()
        return b"" if self._closed else None

    def silent(self) -> str | None:
        """Why this capture must be taken for hung, if it must."""
        beat_ns, phase = self.buffers.word(Word.BEAT_NS), self.buffers.word(Word.PHASE)
        limit_s = self._settings.heartbeat_timeout_s
        if not beat_ns or phase == Phase.STARTING:
            return "the capture process did not start" if time.monotonic() - self._started > _START_S else None
        silence_s = (time.monotonic_ns() - beat_ns) / 1e9
        if phase == Phase.OPENING:
            limit_s *= _OPENING_FACTOR
            return f"not open after {limit_s:g} s" if silence_s > limit_s else None
        if silence_s > limit_s:
            return f"no sign of life for {silence_s:.1f} s"
        unanswered_s = time.monotonic() - self._wanted_at
        if unanswered_s > limit_s and self._written() > self._written_when_wanted + 1:
            return f"it captures frames, but has delivered none for {unanswered_s:.1f} s"
        return None

    def _written(self) -> int:
        return self.buffers.word(Word.CAPTURED) - self.buffers.word(Word.UNBUFFERED)

    def want(self) -> None:
        """Ask for one more frame."""
        self._wanted_at, self._written_when_wanted = time.monotonic(), self._written()
        self._tell(shared.WANT)

    def releaser(self, buffer: int) -> Callable[[], None]:
        """What gives a buffer back, at the first call, from any thread."""
        once = iter((True,))
        self.buffers.hold()

        def release() -> None:
            if next(once, False):
                self._tell(shared.give_back(buffer))
                self.buffers.let_go()

        return release

    def _tell(self, message: bytes) -> None:
        # A process that is gone or hangs is found out by its socket and its heart.
        with suppress(OSError):
            self._channel.send(message)

    async def _read_stderr(self) -> None:
        stream = self._process.stderr if self._process else None
        while stream is not None and (piece := await stream.read(4096)):
            self._stderr = (self._stderr + piece)[-_STDERR_BYTES:]

    async def stop(self, *, patient: bool = True) -> None:
        """End it: closing the socket asks for it, SIGKILL sees to it (at once where `patient` is False)."""
        with suppress(OSError, ValueError):
            asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        self._theirs.close()
        self.buffers.let_go()
        if self._process is not None:
            # A second cancellation must not leave a process behind.
            await asyncio.shield(asyncio.create_task(self._end(self._process, patient=patient)))

    async def _end(self, process: asyncio.subprocess.Process, *, patient: bool) -> None:
        if not (patient and await self._exited(process, _LAST_WORDS_S)):
            with suppress(ProcessLookupError):
                process.kill()
            # In the worst case it sits in a driver of the kernel that lets nobody go; it is reaped when it can be.
            await self._exited(process, _KILLED_S)
        if self._reading_stderr is not None:
            self._reading_stderr.cancel()

    @staticmethod
    async def _exited(process: asyncio.subprocess.Process, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await process.wait()
        return process.returncode is not None

    async def exit_reason(self) -> str:
        """How a process that closed its socket without a word has ended, after `stop` or before."""
        process = self._process
        if process is None or not await self._exited(process, _LAST_WORDS_S):
            return "the capture process went silent"
        code = process.returncode or 0
        if code < 0:
            return f"the capture process was killed by {signal.Signals(-code).name}"
        words = self._source.redact(self._stderr.decode(errors="replace")).strip().splitlines()
        return f"the capture process ended with status {code}" + (f": {words[-1][:200]}" if words else "")
