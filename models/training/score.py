"""Average precision and working-point figures of an ONNX file, measured the way the daemon runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from models.detector import Letterbox, decode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from models.training.frames import Labelled
    from models.values import Detection, ModelSpec

LOWEST = 0.02
"""Detections below this score are left out of average precision."""

MATCH = 0.5
"""IoU at which a detection counts as the labelled fish."""


@dataclass(frozen=True, slots=True)
class Score:
    """How a model did on some frames: `precision` and `recall` at the model's own score threshold."""

    frames: int
    boxes: int
    average_precision: float
    precision: float
    recall: float
    false_per_frame: float


def detect(path: Path, spec: ModelSpec, frames: Sequence[Labelled]) -> list[tuple[Detection, ...]]:
    """Run a model file over frames, detections down to `LOWEST` kept."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    letterbox = Letterbox(spec.input_height, spec.input_width)
    wide = replace(spec, score_threshold=LOWEST)
    found = []
    for frame in frames:
        image, placement = letterbox.fit(frame.image)
        rows = np.asarray(session.run(["detections"], {"image": image})[0], np.float32)
        found.append(decode(rows, placement, wide))
    return found


def matches(
    found: Sequence[tuple[Detection, ...]], frames: Sequence[Labelled]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Give every detection's score, best first, and whether it met a labelled box that no better one had met."""
    verdicts: list[tuple[float, bool]] = []
    for detections, frame in zip(found, frames, strict=True):
        height, width = frame.image.shape[:2]
        truth = frame.boxes / np.array([width, height, width, height])
        free = np.ones(len(truth), bool)
        for detection in detections:
            box = np.array(
                [detection.left, detection.top, detection.left + detection.width, detection.top + detection.height]
            )
            corner = np.maximum(truth[:, :2], box[:2])
            shared = np.prod(np.maximum(np.minimum(truth[:, 2:], box[2:]) - corner, 0), axis=1)
            union = np.prod(truth[:, 2:] - truth[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - shared
            overlap = np.where(free, shared / np.maximum(union, 1e-12), 0.0)
            best = int(overlap.argmax()) if len(overlap) else -1
            met = best >= 0 and bool(overlap[best] >= MATCH)
            if met:
                free[best] = False
            verdicts.append((detection.score, met))
    verdicts.sort(key=lambda verdict: -verdict[0])
    return np.array([score for score, _ in verdicts]), np.array([met for _, met in verdicts], bool)


def average_precision(met: npt.NDArray[np.bool_], boxes: int) -> float:
    """Area under the precision-recall curve, all points, precision made monotone."""
    hits = met.cumsum()
    precision = np.maximum.accumulate((hits / np.arange(1, len(met) + 1))[::-1])[::-1]
    return float(precision[met].sum() / max(boxes, 1))


def score(path: Path, spec: ModelSpec, frames: Sequence[Labelled]) -> Score:
    """Measure a model file on labelled frames."""
    scores, met = matches(detect(path, spec, frames), frames)
    boxes = sum(len(frame.boxes) for frame in frames)
    firm = int((scores >= spec.score_threshold).sum())
    hits = int(met[:firm].sum())
    return Score(
        frames=len(frames),
        boxes=boxes,
        average_precision=average_precision(met, boxes),
        precision=hits / max(firm, 1),
        recall=hits / max(boxes, 1),
        false_per_frame=(firm - hits) / len(frames),
    )


def best_threshold(path: Path, spec: ModelSpec, frames: Sequence[Labelled]) -> float:
    """Give the score threshold, in steps of 0.05, with the best F1 on frames."""
    scores, met = matches(detect(path, spec, frames), frames)
    boxes = sum(len(frame.boxes) for frame in frames)
    steps = np.arange(2, 17) * 0.05
    counts = [(scores >= step) for step in steps]
    quality = [2 * met[firm].sum() / max(firm.sum() + boxes, 1) for firm in counts]
    return round(float(steps[int(np.argmax(quality))]), 2)
