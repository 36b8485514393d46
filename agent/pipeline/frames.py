"""Frames: one slot a camera where a newer frame replaces an older one, and the runner that asks a model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from agent.events import Encoder
    from agent.pipeline.outbox import Outbox
    from drivers import Frame, Observation
    from models.values import Prediction


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
        self.replaced = 0

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
            self.replaced += 1
            older.release()
        self._slots[frame.camera_id] = frame
        self._wake.set()

    async def take(self) -> Frame:
        """Wait for a frame. The caller releases it."""
        while not self._slots:
            self._wake.clear()
            await self._wake.wait()
        return self._slots.pop(next(iter(self._slots)))

    def clear(self) -> None:
        """Release what waits."""
        while self._slots:
            self._slots.popitem()[1].release()


@dataclass(slots=True)
class RunnerStats:
    """What one model has looked at."""

    frames: int = 0
    detections: int = 0
    last: Prediction | None = None
    last_camera: str = ""


class ModelRunner:
    """The unit of one model: loads it, then one frame after the other, each answer in the log."""

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
        self.stats = RunnerStats()

    def describe(self) -> dict[str, Any]:
        """What the model did and saw last, as JSON."""
        last = self.stats.last
        return {
            "frames": self.stats.frames,
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
        model = await self._loaded()
        try:
            while True:
                frame = await self._slots.take()
                try:
                    prediction = await self._ask(model, frame)
                finally:
                    frame.release()
                self.stats.frames += 1
                self.stats.detections += len(prediction.detections)
                self.stats.last, self.stats.last_camera = prediction, frame.camera_id
                self._observe(prediction)
                await self._outbox.post([self._encoder.prediction(frame, prediction)])
        finally:
            self._slots.clear()
            # Its process goes on for other models, and must not keep one that nobody asks any more.
            await asyncio.to_thread(model.close)

    async def _loaded(self) -> LoadedModel:
        loading = asyncio.ensure_future(asyncio.to_thread(self._load))
        try:
            return await asyncio.shield(loading)
        except asyncio.CancelledError:
            # The thread loads on; what it brings must not stay in the model's process without an owner.
            await asyncio.wait((loading,))
            if loading.exception() is None:
                await asyncio.to_thread(loading.result().close)
            raise

    @staticmethod
    async def _ask(model: LoadedModel, frame: Frame) -> Prediction:
        image = frame.image
        asked = asyncio.ensure_future(
            asyncio.to_thread(model.predict_shared, image.fd, image.offset, image.height, image.width)
        )
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            # The frame's memory must not be reused while the model still reads it.
            await asyncio.wait((asked,))
            raise
