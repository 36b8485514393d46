"""OpenCV's side of a capture: opening with limits, and frames written straight into the shared memory."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import cv2
import numpy as np

from drivers.camera import shared
from drivers.camera.ends import Failed

if TYPE_CHECKING:
    import mmap

    import numpy.typing as npt


class Pictures:
    """An open source.

    Raises (from the constructor):
        Failed: it cannot be opened; in plain words why, as far as that can be found out.
    """

    def __init__(self, settings: dict[str, str | float | bool], memory: mmap.mmap) -> None:
        cv2.setNumThreads(1)
        self._kind = str(settings["kind"])
        self._address = str(settings["address"])
        self._patience_ms = int(float(settings["heartbeat_timeout_s"]) * 1000)
        self._most = int(settings["max_height"]), int(settings["max_width"])
        self._image_bytes = shared.image_bytes(self._most[1], self._most[0])
        self._memory = memory
        self._capture = self._open()
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))

    def _open(self) -> cv2.VideoCapture:
        if self._kind == "device":
            capture = cv2.VideoCapture(self._address, cv2.CAP_V4L2)
        else:
            limits = [cv2.CAP_PROP_N_THREADS, 1]
            if self._kind == "stream":
                # Just under the watch of the driver, so that a slow camera is told from a hung process.
                limits += [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(self._patience_ms * 2.5)]
                limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(self._patience_ms * 0.8)]
            capture = cv2.VideoCapture(self._address, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            raise self._why()
        return capture

    def reopen(self) -> None:
        """Start a file anew."""
        self._capture.release()
        self._capture = self._open()

    def close(self) -> None:
        """Leave in good order: cameras have few sessions to give."""
        self._capture.release()

    def grab(self) -> bool:
        """Take the next frame off the source. False when there is none any more."""
        return bool(self._capture.grab())

    def retrieve(self, buffer: int) -> tuple[int, int] | None:
        """Decode the grabbed frame into a buffer; its height and width. None when it cannot be decoded."""
        target = self._view(buffer, self.height, self.width) if self._fits(self.height, self.width) else None
        ok, image = self._capture.retrieve(target) if target is not None else self._capture.retrieve()
        if not ok or image.size == 0:
            return None
        height, width = image.shape[:2]
        if target is not None and image.ctypes.data == target.ctypes.data:
            return height, width
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        scale = min(1.0, self._most[0] / height, self._most[1] / width)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        view = self._view(buffer, *size)
        if size == (height, width):
            np.copyto(view, image)
        else:
            cv2.resize(image, (size[1], size[0]), dst=view, interpolation=cv2.INTER_AREA)
        return size

    def _fits(self, height: int, width: int) -> bool:
        return 0 < height <= self._most[0] and 0 < width <= self._most[1]

    def _view(self, buffer: int, height: int, width: int) -> npt.NDArray[np.uint8]:
        offset = shared.HEADER_BYTES + buffer * self._image_bytes
        return np.ndarray((height, width, 3), np.uint8, self._memory, offset)

    def _why(self) -> Failed:
        """OpenCV only says no; look for the reason from outside."""
        if self._kind == "file":
            return Failed(
                "the file cannot be read as a video", "check that it is complete and in a common format", again=False
            )
        if self._kind == "device":
            busy = os.access(self._address, os.R_OK)
            return Failed("the device gives no video", "is another program using it?" if busy else "")
        parts = urlsplit(self._address)
        place = (parts.hostname or "", parts.port or (322 if parts.scheme == "rtsps" else 554))
        try:
            socket.create_connection(place, timeout=2.0).close()
        except OSError as error:
            what = error.strerror or str(error) or "no answer"
            return Failed(
                f"cannot connect to {place[0]}:{place[1]}: {what}", "is the camera on, and its address right?"
            )
        return Failed(
            f"{place[0]}:{place[1]} answers, but gives no video", "check path, user and password in the source"
        )
