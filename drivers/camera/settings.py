"""What the hub tells a camera."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """One camera.

    `source` is the path of a video file, an rtsp:// or rtsps:// address (its user and password are never
    shown), or a device: /dev/videoN or its number. A file is played frame by frame at `fps`, again and
    again with `loop`; of a live source at most `fps` frames a second are taken. Frames that are larger
    than `max_width` by `max_height` are scaled down, their proportions kept. A capture that shows no sign
    of life for `heartbeat_timeout_s` is killed; opening may take three times as long.
    """

    name: str
    source: str
    tank_id: str
    site_id: str
    fps: float = 5.0
    loop: bool = False
    heartbeat_timeout_s: float = 5.0
    max_width: int = 1920
    max_height: int = 1080
