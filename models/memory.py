"""The backend that ships for tests and demonstrations: it answers what it was told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from models.values import Misconfigured, NotReady, Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt

    from models.values import Detection, ModelSpec


class MemoryBackend:
    """A model without a file (models.values.InferenceBackend): `answer` looks at each image."""

    def __init__(
        self, spec: ModelSpec, answer: Callable[[npt.NDArray[np.uint8]], Sequence[Detection]] = lambda _: ()
    ) -> None:
        if not spec.classes:
            raise Misconfigured("a detector without classes", field="classes")
        self._spec = spec
        self._answer = answer
        self._closed = False

    @property
    def spec(self) -> ModelSpec:
        """The spec it was made with."""
        return self._spec

    def predict(self, batch: Sequence[npt.NDArray[np.uint8]]) -> list[Prediction]:
        """Ask `answer`. What it says below the threshold is left out, the rest is given best first.

        Raises:
            ValueError: an array is no BGR uint8 image.
            NotReady: it was closed.
        """
        if self._closed:
            raise NotReady("the model was closed")
        return [self._look(image) for image in batch]

    def _look(self, image: npt.NDArray[np.uint8]) -> Prediction:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype.str != "|u1" or not image.size:
            raise ValueError(f"expected a BGR uint8 image, got {image.dtype} of shape {image.shape}")
        started = time.perf_counter()
        seen = [found for found in self._answer(image) if found.score >= self._spec.score_threshold]
        answered = time.perf_counter()
        seen.sort(key=lambda found: -found.score)
        spec = self._spec
        total_s = time.perf_counter() - started
        return Prediction(spec.name, spec.version, spec.digest, tuple(seen), answered - started, total_s)

    def close(self) -> None:
        """Answer no more."""
        self._closed = True
