"""What a model is, what it answers, the seam of a backend, and the two errors of this spoke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One version of one model, as its `model.json` tells it and its file proves it (`digest`, sha256 hex).

    A detector takes `image`: uint8, BGR, shape (1, input_height, input_width, 3), and answers
    `detections`: float32, shape (1, n, 4 + len(classes)), each row a box as centre x, centre y, width,
    height in input pixels, then one probability a class. Normalisation is part of the graph.
    """

    name: str
    version: str
    task: str
    digest: str
    classes: tuple[str, ...]
    input_height: int
    input_width: int
    score_threshold: float
    iou_threshold: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One object. The box is relative to the whole image, 0 to 1: left, top, width, height."""

    label: str
    score: float
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model said of one image, and in how long: `inference_s` is the bare session, `total_s` all of it."""

    model: str
    version: str
    digest: str
    detections: tuple[Detection, ...]
    inference_s: float
    total_s: float


class InferenceBackend(Protocol):
    """A loaded model. Blocking; one caller at a time."""

    @property
    def spec(self) -> ModelSpec:
        """The model that is loaded."""

    def predict(self, batch: Sequence[npt.NDArray[np.uint8]]) -> list[Prediction]:
        """Look at images, each BGR uint8 of shape (height, width, 3) and of any size; one answer an image."""

    def close(self) -> None:
        """Give the memory back. Closing twice is allowed."""


class NotReady(Exception):  # noqa: N818 - a condition of the outside, not an error of ours
    """The model cannot answer now, but will when tried again (its process was restarted, say)."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Misconfigured(Exception):  # noqa: N818 - named for the cure, like NotReady
    """This model file will never answer: missing, damaged, or not of a kind that the agent understands."""

    def __init__(self, reason: str, field: str = "", hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.hint = hint
