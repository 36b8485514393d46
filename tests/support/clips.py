"""Small video files whose frames tell their number, and what a frame in shared memory shows."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from drivers import Frame

STEP = 6


def write(path: Path, frames: int = 30, width: int = 64, height: int = 48) -> Path:
    """A clip (Motion JPEG) whose frame n, from 1 and at most 40, is one grey of brightness n * STEP."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, (width, height))
    assert writer.isOpened()
    for number in range(1, frames + 1):
        writer.write(np.full((height, width, 3), number * STEP, np.uint8))
    writer.release()
    return path


def pixels(frame: Frame) -> np.ndarray:
    """A copy of a frame's image."""
    image = frame.image
    with mmap.mmap(image.fd, 0, prot=mmap.PROT_READ) as memory:
        shape = image.height, image.width, 3
        return np.ndarray(shape, np.uint8, memory, image.offset).copy()


def number(frame: Frame) -> int:
    """The number that a frame of such a clip shows."""
    return round(float(pixels(frame).mean()) / STEP)
