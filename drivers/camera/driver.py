"""The camera driver: one capture process at a time, its newest frames emitted, its silence noticed."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from drivers.camera import shared
from drivers.camera.process import CaptureProcess
from drivers.camera.shared import Captured, Word
from drivers.camera.source import look, parse
from drivers.camera.stats import CameraStats
from drivers.values import Frame, Misconfigured, NotReady

if TYPE_CHECKING:
    from drivers.camera.settings import CameraSettings
    from drivers.values import Emit

log = logging.getLogger("tidegate.camera")

_LONGEST_WATCH_S = 0.5
_RATE_WEIGHT = 0.2


class CameraDriver:
    """One camera (drivers.Driver). Emits one frame at a time, always the newest; its buffers bound what is held.

    Raises (from the constructor):
        Misconfigured: the source is of no kind that is supported.
    """

    def __init__(self, settings: CameraSettings) -> None:
        self._settings = settings
        self._source = parse(settings.source)
        self._capture: CaptureProcess | None = None
        self._past = {Word.CAPTURED: 0, Word.REPLACED: 0, Word.UNBUFFERED: 0}
        self._emitted = 0
        self._captures = 0
        self._kills = 0
        self._last_error = ""
        self._size = (0, 0)
        self._open = False
        self._interval_s = 0.0
        self._newest: Captured | None = None

    @property
    def stats(self) -> CameraStats:
        """What this camera has done, over all its captures."""
        return CameraStats(
            captured=self._count(Word.CAPTURED),
            emitted=self._emitted,
            replaced=self._count(Word.REPLACED),
            unbuffered=self._count(Word.UNBUFFERED),
            restarts=max(self._captures - 1, 0),
            kills=self._kills,
            fps=self._fps(),
            width=self._size[0],
            height=self._size[1],
            open=self._open,
            last_error=self._last_error,
        )

    @property
    def capture_pid(self) -> int:
        """The capture process that runs now, 0 where none does: for memory figures and for tests that hurt it."""
        return self._capture.pid if self._capture else 0

    async def run(self, emit: Emit) -> None:
        """Emit frames until cancelled, or until a file that is not looped has been played.

        Raises:
            NotReady: nothing there, nothing comes, or the capture process died or hung and was killed.
            Misconfigured: the source is there and can never be a camera.
        """
        try:
            # The look may block for long on a network drive that is away.
            await asyncio.to_thread(look, self._source)
            await self._run(emit)
        except (NotReady, Misconfigured) as error:
            self._last_error = error.reason
            raise

    async def _run(self, emit: Emit) -> None:
        capture = await CaptureProcess.start(self._settings, self._source)
        self._capture = capture
        self._captures += 1
        hung = False
        try:
            capture.want()
            while (message := await self._next(capture)) != shared.ENDED:
                await self._act_on(message, capture, emit)
            log.info("camera %s: %s has been played", self._settings.name, self._source.shown)
        except _Hung as silence:
            hung = True
            self._kills += 1
            raise NotReady(f"{self._source.shown}: {silence}; its process was killed", "check the camera") from None
        finally:
            self._open = False
            for word in self._past:
                self._past[word] += capture.buffers.word(word)
            self._capture = None
            await capture.stop(patient=not hung)

    async def _next(self, capture: CaptureProcess) -> bytes:
        """The next message. Raises _Hung when the capture's heart stands still."""
        watch_s = min(self._settings.heartbeat_timeout_s / 4, _LONGEST_WATCH_S)
        while (message := await capture.receive(watch_s)) is None:
            if (silence := capture.silent()) is not None:
                raise _Hung(silence)
        return message

    async def _act_on(self, message: bytes, capture: CaptureProcess, emit: Emit) -> None:
        if not message:
            raise NotReady(f"{self._source.shown}: {await capture.exit_reason()}")
        if message[:1] == shared.FRAME:
            await self._hand_over(Captured.unpack(message), capture, emit)
            capture.want()
        elif message[:1] == shared.OPENED:
            self._opened(json.loads(message[1:]))
        elif message[:1] == shared.FAILED:
            raise self._failure(json.loads(message[1:]))

    async def _hand_over(self, captured: Captured, capture: CaptureProcess, emit: Emit) -> None:
        image = capture.buffers.image(captured)
        self._measure(captured)
        frame = Frame(
            camera_id=self._settings.name,
            tank_id=self._settings.tank_id,
            site_id=self._settings.site_id,
            number=self._past[Word.CAPTURED] + captured.number,
            at=datetime.fromtimestamp(captured.at_ns / 1e9, UTC),
            captured_ns=captured.captured_ns,
            image=image,
            release=capture.releaser(captured.buffer),
        )
        self._emitted += 1
        await emit((frame,))

    def _opened(self, what: dict[str, Any]) -> None:
        self._open = True
        self._size = int(what["width"]), int(what["height"])
        words = "camera %s: %s gives %dx%d, and is read at up to %g frames/s"
        log.info(words, self._settings.name, self._source.shown, *self._size, self._settings.fps)

    def _failure(self, what: dict[str, Any]) -> NotReady | Misconfigured:
        reason = f"{self._source.shown}: {self._source.redact(str(what['reason']))}"
        if what["again"]:
            return NotReady(reason, str(what["hint"]))
        return Misconfigured(reason, field="source", hint=str(what["hint"]))

    def _measure(self, captured: Captured) -> None:
        before, self._newest = self._newest, captured
        if before is None or captured.number <= before.number:
            self._interval_s = 0.0
            return
        interval_s = (captured.captured_ns - before.captured_ns) / 1e9 / (captured.number - before.number)
        weight = _RATE_WEIGHT if self._interval_s else 1.0
        self._interval_s += weight * (interval_s - self._interval_s)

    def _fps(self) -> float:
        if self._newest is None or not self._interval_s or not self._open:
            return 0.0
        silence_s = (time.monotonic_ns() - self._newest.captured_ns) / 1e9
        return 1.0 / (self._interval_s if silence_s < 3 * self._interval_s else silence_s)

    def _count(self, word: Word) -> int:
        return self._past[word] + (self._capture.buffers.word(word) if self._capture else 0)


class _Hung(Exception):  # noqa: N818 - it names what happened
    """The capture process shows no sign of life."""
