"""Labelled frames on disk, and which clip serves for what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

VALIDATION_CLIPS = ("9908_Acanthopagrus_palmaris",)
TEST_CLIPS = ("9870_Gerres", "9892_Caranx", "9894_gerres")
"""Never trained on, calibrated on or tuned on. Frames of a clip resemble each other, so whole clips are held out."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One frame, BGR uint8 (height, width, 3), and its boxes, float32 (n, 4) left, top, right, bottom in pixels."""

    clip: str
    name: str
    image: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]


def clip_of(name: str) -> str:
    """Give the clip of a file named CLIP_fNNNNNN."""
    return name.rpartition("_f")[0]


def read(folder: Path, clips: tuple[str, ...] | None = None) -> list[Labelled]:
    """Read `images/*.jpg` and `labels/*.txt` (YOLO: class, centre x, centre y, width, height, relative) of a folder.

    All classes become one. Frames come sorted by name, and only those of `clips` where it is given.

    Raises:
        ValueError: an image or a label that cannot be read, or no frame at all.
    """
    frames = []
    for path in sorted((folder / "images").glob("*.jpg")):
        if clips is not None and clip_of(path.stem) not in clips:
            continue
        image = cv2.imread(str(path))
        if image is None:
            raise ValueError(f"{path} is no image that OpenCV reads")
        label = folder / "labels" / f"{path.stem}.txt"
        try:
            rows = np.array(
                [line.split()[1:5] for line in label.read_text().splitlines() if line.strip()], np.float32
            )
        except (OSError, ValueError) as error:
            raise ValueError(f"{label}: {error}") from error
        rows = rows.reshape(-1, 4)
        height, width = image.shape[:2]
        corners = np.concatenate([rows[:, :2] - rows[:, 2:] / 2, rows[:, :2] + rows[:, 2:] / 2], axis=1)
        boxes = (corners * np.array([width, height, width, height])).astype(np.float32)
        frames.append(Labelled(clip_of(path.stem), path.stem, image.astype(np.uint8, copy=False), boxes))
    if not frames:
        raise ValueError(f"no frames under {folder}/images" + (f" of {', '.join(clips)}" if clips else ""))
    return frames
