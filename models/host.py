"""The client of the model host: one process for all models, and images that are looked at where they lie.

Blocking, and safe to call from any thread. One look is under way at a time, and one load beside it: a model that
takes a minute to load keeps no other from answering. Two loads at once could need more memory than there is, and
nobody could say which of them the process died of.
"""

from __future__ import annotations

import logging
import mmap
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from models import wire
from models.host_child import HostChild, Hung
from models.images import KnownImages
from models.values import Detection, Misconfigured, ModelSpec, NotReady, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

log = logging.getLogger("tidegate.models")

_MOST_DEATHS = 3
_CLOSED = "the model host was closed"


class ModelHost:
    """The process that runs all models. When it dies, the next request says so and the one after starts it anew.

    A request that is not answered within `answer_timeout_s` (`load_timeout_s` for loading) is taken for
    hung: the process is killed.
    """

    def __init__(self, *, answer_timeout_s: float = 10.0, load_timeout_s: float = 60.0) -> None:
        self._answer_timeout_s = answer_timeout_s
        self._load_timeout_s = load_timeout_s
        self._lock = threading.RLock()
        self._load_lock = threading.Lock()
        """Taken before `_lock`, never under it."""
        self._child: HostChild | None = None
        self._closed = threading.Event()
        self._lives = 0
        self._ids = 0
        self._images = KnownImages()
        self._scratch = Scratch()
        self._deaths: dict[str, int] = {}

    @property
    def pid(self) -> int:
        """The process, 0 where none runs: for memory figures and for tests that hurt it."""
        child = self._child
        return child.pid if child else 0

    @property
    def restarts(self) -> int:
        """How often the process was started again."""
        return max(self._lives - 1, 0)

    def start(self) -> None:
        """Start the process where none runs; done when it can be asked to load.

        Raises:
            NotReady: it does not start, or the host was closed.
        """
        with self._lock:
            if self._closed.is_set():
                raise NotReady(_CLOSED)
            if self._child is not None:
                return
            child = self._child = HostChild()
            self._lives += 1
            self._images.clear()
            if self._closed.is_set():
                # close() came in between and did not see the child.
                child.kill()
            try:
                child.hear(self._load_timeout_s)
            except NotReady as died:
                raise self._idle_death(child, died) from None
            log.info("the model host runs as process %d", child.pid)

    def load(self, name: str, path: Path, threads: int = 1, score_threshold: float | None = None) -> RemoteModel:
        """Load a model from its folder, verified and warmed up. `close` it to have its memory back.

        Two loads of one name are two models, so that a new version can be made ready beside the old one.

        Raises:
            NotReady: the process died of it or does not answer.
            Misconfigured: the folder holds no model that this agent can run, or the process died of it
                three times with no answer between.
        """
        with self._lock:
            self._ids += 1
            request = {"do": "load", "id": self._ids, "path": str(path.absolute())}
        return RemoteModel(self, name, {**request, "threads": threads, "score_threshold": score_threshold})

    def close(self) -> None:
        """End the process, also under a request that is under way, which then raises NotReady."""
        self._closed.set()
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            self._bury(self._child)
            self._scratch.close()

    # ---- for RemoteModel

    def life(self) -> int:
        """The number of the process's life; 0 where none runs."""
        return self._lives if self._child is not None else 0

    def load_into(self, request: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """Ask for a load, while others look; what the process tells of the model, and in which of its lives."""
        path = request["path"]
        with self._load_lock:
            with self._lock:
                self.start()
                child, life = self._child, self._lives
                if child is None:
                    raise NotReady(_CLOSED)
                try:
                    loading = child.load(wire.pack(request), path)
                except NotReady as idle:
                    raise self._idle_death(child, idle) from None
            try:
                heard = child.hear_load(loading, self._load_timeout_s)
            except NotReady as died:
                raise self._died(child, path, died) from None
            told: dict[str, Any] = wire.answer(heard)
            return told, life

    def unload(self, model: int, life: int) -> None:
        """Give a model's memory back, if the process that had it still lives."""
        with self._lock:
            child = self._child
            if child is not None and not self._closed.is_set() and self.life() == life:
                self._ask(child, {"do": "unload", "id": model}, (), "")

    def look(self, model: int, life: int, path: str, fd: int, place: tuple[int, int, int]) -> list[Any] | None:
        """Have a model look at an image in shared memory; None where the process is not the one that has it."""
        with self._lock:
            if self._closed.is_set():
                raise NotReady(_CLOSED)
            child = self._child
            if child is None or self.life() != life:
                return None
            token, new, gone = self._images.token(fd)
            offset, height, width = place
            request = {"do": "look", "id": model, "image": token, "forget": gone}
            request |= {"offset": offset, "height": height, "width": width}
            seen: list[Any] = self._ask(child, request, (fd,) if new else (), path)
            self._deaths.pop(path, None)
            return seen

    def look_at_copy(self, model: int, life: int, path: str, image: npt.NDArray[np.uint8]) -> list[Any] | None:
        """Lay an image into a shared memory of our own, and have it looked at before another one comes."""
        height, width, _ = image.shape
        with self._lock:
            if self._closed.is_set():
                raise NotReady(_CLOSED)
            return self.look(model, life, path, self._scratch.take(image), (0, height, width))

    # ---- its ends

    def _ask(self, child: HostChild, request: dict[str, Any], fds: Sequence[int], path: str) -> Any:
        """A question that is answered at once; under the lock."""
        try:
            child.say(wire.pack(request), fds)
        except NotReady as idle:
            raise self._idle_death(child, idle) from None
        try:
            heard = child.hear(self._answer_timeout_s)
        except NotReady as died:
            raise self._died(child, path, died) from None
        return wire.answer(heard)

    def _idle_death(self, child: HostChild, idle: NotReady) -> NotReady:
        """It died before this request, so the model that was to answer it is not to blame."""
        self._bury(child)
        return NotReady(_CLOSED if self._closed.is_set() else idle.reason)

    def _died(self, child: HostChild, path: str, died: NotReady) -> NotReady | Misconfigured:
        """It died, or hung and was ended, with a request for the model at `path` in its hands; what to raise."""
        with self._lock:
            self._bury(child)
            if self._closed.is_set():
                return NotReady(_CLOSED)
            if not child.blamed:
                child.blamed = True
                # Who hangs is known. Who kills is not, if a look and a load were under way: a file that is being
                # loaded has not answered yet, so it is the likelier one.
                to_blame = path if isinstance(died, Hung) else child.loads or path
                self._deaths[to_blame] = self._deaths.get(to_blame, 0) + 1
            deaths = self._deaths.get(path, 0)
            if deaths < _MOST_DEATHS:
                return NotReady(died.reason)
            what = f"{died.reason}; {path} has crashed it {deaths} times without one answer"
            hint = "the model's file crashes or needs more memory than there is"
            return Misconfigured(what, field="path", hint=hint)

    def _bury(self, child: HostChild | None) -> None:
        with self._lock:
            if child is not None and self._child is child:
                self._child = None
                child.bury()


class RemoteModel:
    """A model in the model host (models.values.InferenceBackend). After a restart it is loaded again when asked."""

    def __init__(self, host: ModelHost, name: str, request: dict[str, Any]) -> None:
        self.name = name
        self._host = host
        self._request = request
        self._number: int = request["id"]
        self._path: str = request["path"]
        self._closed = False
        told, self._life = host.load_into(request)
        self._spec = ModelSpec(**{**told, "classes": tuple(told["classes"])})
        spec = self._spec
        log.info("model %s: %s version %s (%s…) loaded", name, spec.name, spec.version, spec.digest[:12])

    @property
    def spec(self) -> ModelSpec:
        """What `model.json` said and the digest proved, when it was first loaded."""
        return self._spec

    def predict(self, batch: Sequence[npt.NDArray[np.uint8]]) -> list[Prediction]:
        """Look at images, each copied into shared memory first; `predict_shared` saves that.

        Raises:
            ValueError: an array is no BGR uint8 image.
            NotReady, Misconfigured: as for `predict_shared`.
        """
        return [self._look_at_copy(image) for image in batch]

    def predict_shared(self, fd: int, offset: int, height: int, width: int) -> Prediction:
        """Look at an image where it lies: BGR, uint8, C order, (height, width, 3), at `offset` of the memory `fd`.

        The memory is mapped once and kept until its file descriptor means something else. The image must
        stay as it is until this returns.

        Raises:
            ValueError: no such image lies there.
            NotReady: closed, or the process died, hung or was ended; asking again starts it and loads the model.
            Misconfigured: the model's folder has changed since it was loaded, or the model keeps killing its process.
        """
        started = time.perf_counter()
        place = (offset, height, width)
        return self._answered(started, lambda: self._host.look(self._number, self._life, self._path, fd, place))

    def close(self) -> None:
        """Give the memory back. A process that does not answer is ended; other models are loaded again when asked."""
        if self._closed:
            return
        self._closed = True
        try:
            self._host.unload(self._number, self._life)
        except NotReady as gone:
            log.warning("model %s: unloading: %s", self.name, gone.reason)

    def _answered(self, started: float, look: Callable[[], list[Any] | None]) -> Prediction:
        if self._closed:
            raise NotReady(f"the model {self.name} was closed")
        seen = look()
        if seen is None:
            self._load_again()
            seen = look()
            if seen is None:
                raise NotReady("the model host was restarted meanwhile")
        boxes, inference_s = seen
        spec = self._spec
        detections = tuple(Detection(*box) for box in boxes)
        total_s = time.perf_counter() - started
        return Prediction(spec.name, spec.version, spec.digest, detections, inference_s, total_s)

    def _load_again(self) -> None:
        told, life = self._host.load_into(self._request)
        if told["digest"] != self._spec.digest:
            self._host.unload(self._number, life)
            hint = "reload the configuration to take the new version"
            raise Misconfigured(f"{self._path} now holds another version", field="path", hint=hint)
        self._life = life
        log.info("model %s: loaded again", self.name)

    def _look_at_copy(self, image: npt.NDArray[np.uint8]) -> Prediction:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype.str != "|u1" or not image.size:
            raise ValueError(f"expected a BGR uint8 image, got {image.dtype} of shape {image.shape}")
        started = time.perf_counter()
        return self._answered(started, lambda: self._host.look_at_copy(self._number, self._life, self._path, image))


class Scratch:
    """A shared memory for images that come as arrays; grows with the largest."""

    def __init__(self) -> None:
        self._fd = -1
        self._memory: mmap.mmap | None = None

    def take(self, image: npt.NDArray[np.uint8]) -> int:
        """Lay an image at its start; its file descriptor."""
        if self._memory is None or len(self._memory) < image.nbytes:
            self.close()
            self._fd = os.memfd_create("tidegate-image", os.MFD_CLOEXEC)
            os.ftruncate(self._fd, image.nbytes)
            self._memory = mmap.mmap(self._fd, image.nbytes)
        self._memory[: image.nbytes] = image.tobytes()
        return self._fd

    def close(self) -> None:
        """Give it back."""
        if self._memory is not None:
            self._memory.close()
            os.close(self._fd)
            self._memory = None
