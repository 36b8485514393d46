"""Frames: one slot a camera where a newer frame replaces an older one, and the runner that asks a model.

V1  Looking never waits for a commit: an answer is given to the log, and the next frame is looked at.
V2  Answers not on disk yet take at most 8 MiB a model. If the log falls that far behind, looking waits for it.
V3  Every frame that no model looked at is counted, by its reason; so is every answer that the log did not take.
V4  Each model has a thread of its own: one that loads for minutes keeps no other model from looking.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent.events import Encoder
    from agent.pipeline.outbox import Outbox
    from drivers import Frame, Observation
    from models.values import Prediction

_T = TypeVar("_T")

NO_MODEL = "no model looks at them"
LOADING = "model was loading"
BUSY = "model was busy"
LOG_BEHIND = "log was behind"
FAILED = "model failed"
STOPPED = "model was stopped"

MOST_UNWRITTEN_BYTES = 8 * 1024**2
_ENVELOPE_BYTES = 1_024
"""What an answer takes beside its body, about: key, headers, objects."""


class LoadedModel(Protocol):
    """A model in its own process that looks at shared memory. Blocking."""

    def predict_shared(self, fd: int, offset: int, height: int, width: int) -> Prediction:
        """Look at one image."""

    def close(self) -> None:
        """Give its memory back."""


class FrameSlots:
    """The waiting frames of one model's cameras, at most one each; the longest waiting camera is served first."""

    def __init__(self) -> None:
        self._slots: dict[str, Frame] = {}
        self._wake = asyncio.Event()
        self.why = NO_MODEL
        """What a waiting frame waits for now: the reason if a newer one replaces it."""
        self.dropped: dict[str, int] = {}
        """Frames that no model looked at, by reason."""

    def put(self, batch: Sequence[Observation]) -> Awaitable[None]:
        """Take frames (drivers.Emit). Done at once: a frame in its slot may be forgotten by its driver."""
        for frame in batch:
            # A camera emits nothing but frames; the type of the seam is wider.
            self._put(frame)  # type: ignore[arg-type]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _put(self, frame: Frame) -> None:
        older = self._slots.get(frame.camera_id)
        if older is not None:
            self._drop(older, self.why)
        self._slots[frame.camera_id] = frame
        self._wake.set()

    async def take(self) -> Frame:
        """Wait for a frame. The caller releases it."""
        while not self._slots:
            self._wake.clear()
            await self._wake.wait()
        return self._slots.pop(next(iter(self._slots)))

    def clear(self) -> None:
        """Release what waits: the model stops."""
        self.why = NO_MODEL
        while self._slots:
            self._drop(self._slots.popitem()[1], STOPPED)

    def count(self, reason: str) -> None:
        """Count a frame that was taken and not looked at."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def _drop(self, frame: Frame, reason: str) -> None:
        self.count(reason)
        frame.release()


@dataclass(slots=True)
class RunnerStats:
    """What one model has looked at."""

    frames: int = 0
    detections: int = 0
    refused: int = 0
    """Answers that the log did not take. What it lost while it was stalled, the log counts itself."""
    last: Prediction | None = None
    last_camera: str = ""


class ModelRunner:
    """The unit of one model: loads it, then one frame after the other, each answer given to the log."""

    def __init__(
        self,
        load: Callable[[], LoadedModel],
        slots: FrameSlots,
        outbox: Outbox,
        encoder: Encoder,
        observe: Callable[[Prediction], None],
    ) -> None:
        self._load = load
        self._slots = slots
        self._outbox = outbox
        self._encoder = encoder
        self._observe = observe
        self._unwritten_bytes = 0
        self._written = asyncio.Event()
        self.stats = RunnerStats()

    def describe(self) -> dict[str, Any]:
        """What the model did and saw last, as JSON."""
        last = self.stats.last
        return {
            "frames": self.stats.frames,
            "dropped": dict(self._slots.dropped),
            "detections": self.stats.detections,
            "version": last.version if last else None,
            "digest": last.digest if last else None,
            "last_camera": self.stats.last_camera,
            "last_detections": [
                {"label": found.label, "score": round(found.score, 3)} for found in (last.detections if last else ())
            ],
            "inference_ms": round(last.inference_s * 1e3, 2) if last else None,
        }

    async def run(self) -> None:
        """Look at frames until cancelled.

        Raises:
            models.values.NotReady: the model's process died; a restart loads it again.
            models.values.Misconfigured: the model's files are not what they should be.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="model")  # V4
        try:
            self._slots.why = LOADING
            model = await self._loaded(thread)
            try:
                await self._look(model, thread)
            finally:
                # Its process goes on for other models, and must not keep one that nobody asks any more.
                await _in(thread, model.close)
        finally:
            self._slots.clear()
            thread.shutdown(wait=False)

    async def _look(self, model: LoadedModel, thread: ThreadPoolExecutor) -> None:
        while True:
            self._slots.why = BUSY
            frame = await self._slots.take()
            try:
                prediction = await self._ask(model, frame, thread)
            except asyncio.CancelledError:
                self._slots.count(STOPPED)
                raise
            except Exception:  # of whichever kind: the supervisor judges it, the frame is lost (V3)
                self._slots.count(FAILED)
                raise
            finally:
                frame.release()
            self.stats.frames += 1
            self.stats.detections += len(prediction.detections)
            self.stats.last, self.stats.last_camera = prediction, frame.camera_id
            self._observe(prediction)
            self._keep(frame, prediction)
            await self._room()

    def _keep(self, frame: Frame, prediction: Prediction) -> None:
        envelope = self._encoder.prediction(frame, prediction)
        size = len(envelope.value) + _ENVELOPE_BYTES
        self._unwritten_bytes += size
        self._outbox.post([envelope]).add_done_callback(partial(self._kept, size))

    def _kept(self, size: int, posted: asyncio.Future[None]) -> None:
        self._unwritten_bytes -= size
        self._written.set()
        if posted.cancelled() or posted.exception() is not None:
            # The outbox has logged why.
            self.stats.refused += 1

    async def _room(self) -> None:
        """Wait until another answer has room (V2)."""
        while self._unwritten_bytes >= MOST_UNWRITTEN_BYTES:
            self._slots.why = LOG_BEHIND
            self._written.clear()
            await self._written.wait()

    async def _loaded(self, thread: ThreadPoolExecutor) -> LoadedModel:
        loading = _in(thread, self._load)
        try:
            return await asyncio.shield(loading)
        except asyncio.CancelledError:
            # The thread loads on; what it brings must not stay in the model's process without an owner.
            await asyncio.wait((loading,))
            if loading.exception() is None:
                await _in(thread, loading.result().close)
            raise

    @staticmethod
    async def _ask(model: LoadedModel, frame: Frame, thread: ThreadPoolExecutor) -> Prediction:
        image = frame.image
        asked = _in(thread, partial(model.predict_shared, image.fd, image.offset, image.height, image.width))
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            # The frame's memory must not be reused while the model still reads it.
            await asyncio.wait((asked,))
            raise


def _in(thread: ThreadPoolExecutor, work: Callable[[], _T]) -> asyncio.Future[_T]:
    return asyncio.get_running_loop().run_in_executor(thread, work)
