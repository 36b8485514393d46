"""`cameras`: what is looked at."""

from __future__ import annotations

from pydantic import Field

from agent.config.schema.values import Name, Section, Source


class Camera(Section):
    """One camera."""

    name: Name = Field(description="Name of the camera; its unit is `camera:NAME`.")
    source: Source = Field(description="An `rtsp://` address, a device such as `/dev/video0`, or a video file.")
    tank: Name = Field(description="The tank or pen that it shows.")
    model: Name | None = Field(default=None, description="The model that processes its frames.")
    fps: float = Field(default=5.0, gt=0, le=120, description="Most frames a second to process.")
    loop: bool = Field(default=False, description="Play a video file in a loop.")
    heartbeat_timeout_s: float = Field(
        default=5.0, gt=0, le=600, description="A camera process without a sign of life for this long is restarted."
    )
    max_width: int = Field(
        default=1920, ge=64, le=7680, description="Wider frames are made smaller; sizes the shared memory."
    )
    max_height: int = Field(
        default=1080, ge=64, le=4320, description="Higher frames are made smaller; sizes the shared memory."
    )
