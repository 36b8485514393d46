"""A detector's two ends: any camera image into the model's input, the model's rows into detections.

Both are plain numpy and OpenCV and know no runtime, so that every backend shares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.values import Detection

if TYPE_CHECKING:
    import numpy.typing as npt

    from models.values import ModelSpec

PAD = 114
"""The grey beside an image whose shape differs from the input's; training pads with the same."""

CANDIDATES = 256
"""Rows that go into suppression, best first: bounds its time on an image full of noise."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image of `width` x `height` pixels lies in the input: its corner and its size there, in pixels."""

    width: int
    height: int
    left: int
    top: int
    placed_width: int
    placed_height: int


class Letterbox:
    """Fits images of any size and shape into one input, the aspect kept, the rest grey.

    The array that `fit` gives is the same each time, overwritten by the next call.
    """

    def __init__(self, height: int, width: int) -> None:
        self._input = np.full((1, height, width, 3), PAD, np.uint8)
        self._last: Placement | None = None

    def fit(self, image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], Placement]:
        """Give the input, uint8 (1, H, W, 3), and where in it the BGR image of shape (height, width, 3) lies.

        Raises:
            ValueError: the array is no BGR uint8 image or has no pixels.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f"expected a BGR uint8 image, got {image.dtype} of shape {image.shape}")
        _, input_height, input_width, _ = self._input.shape
        height, width = image.shape[:2]
        placement = self._last
        if placement is None or (placement.width, placement.height) != (width, height):
            scale = min(input_width / width, input_height / height)
            placed_width = min(max(round(width * scale), 1), input_width)
            placed_height = min(max(round(height * scale), 1), input_height)
            left, top = (input_width - placed_width) // 2, (input_height - placed_height) // 2
            placement = Placement(width, height, left, top, placed_width, placed_height)
            self._input.fill(PAD)
            self._last = placement
        bottom, right = placement.top + placement.placed_height, placement.left + placement.placed_width
        target = self._input[0, placement.top : bottom, placement.left : right]
        if target.shape == image.shape:
            np.copyto(target, image)
        else:
            cv2.resize(image, (placement.placed_width, placement.placed_height), dst=target)
        return self._input, placement


def decode(rows: npt.NDArray[np.float32], placement: Placement, spec: ModelSpec) -> tuple[Detection, ...]:
    """Turn a detector's output, (1, n, 4 + classes) as `ModelSpec` describes it, into detections, best first.

    Kept is what reaches `score_threshold` and overlaps no better box of its class by more than
    `iou_threshold`; boxes are cut at the image's border, and one wholly outside is dropped.

    Raises:
        ValueError: the output has another shape than the model's classes ask for.
    """
    if rows.ndim != 3 or rows.shape[0] != 1 or rows.shape[2] != 4 + len(spec.classes):
        raise ValueError(f"expected detections of shape (1, n, {4 + len(spec.classes)}), got {rows.shape}")
    table = rows[0]
    if len(spec.classes) == 1:
        labels, scores = np.zeros(len(table), np.intp), table[:, 4]
    else:
        labels, scores = table[:, 4:].argmax(axis=1), table[:, 4:].max(axis=1)
    chosen = np.flatnonzero(scores >= spec.score_threshold)  # false for NaN: what is no number is no detection
    chosen = chosen[np.isfinite(table[chosen, :4]).all(axis=1)]
    if not chosen.size:
        return ()
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")[:CANDIDATES]]
    # In 64 bits: the largest float32 is a finite side whose half, added, is not.
    centres, halves = table[chosen, :2].astype(np.float64), table[chosen, 2:4].astype(np.float64) / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    kept = suppress(boxes, labels[chosen], spec.iou_threshold)
    offset = np.array([placement.left, placement.top] * 2)
    placed = np.array([placement.placed_width, placement.placed_height] * 2)
    corners = np.clip((boxes[kept] - offset) / placed, 0.0, 1.0).tolist()
    found = zip(corners, chosen[kept].tolist(), strict=True)
    return tuple(
        Detection(spec.classes[labels[row]], float(scores[row]), left, top, right - left, bottom - top)
        for (left, top, right, bottom), row in found
        if right > left and bottom > top
    )


def suppress(
    boxes: npt.NDArray[np.float64], labels: npt.NDArray[np.intp], iou_threshold: float
) -> npt.NDArray[np.intp]:
    """Give the indices of boxes (left, top, right, bottom; best first) that no better one of their class covers."""
    low, high = boxes[:, :2], boxes[:, 2:]
    areas = np.maximum(high - low, 0.0).prod(axis=1)
    inner = np.maximum(np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None]), 0.0)
    shared = inner[..., 0] * inner[..., 1]
    # Compared without dividing: two boxes without area overlap by nothing.
    covers = (shared > iou_threshold * (areas[:, None] + areas[None] - shared)) & (labels[:, None] == labels[None])
    alive = np.ones(len(boxes), bool)
    kept: list[int] = []
    for index in range(len(boxes)):
        if alive[index]:
            kept.append(index)
            alive &= ~covers[index]
    return np.array(kept, np.intp)
