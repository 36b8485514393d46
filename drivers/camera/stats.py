"""What a camera has done so far, for metrics and status."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CameraStats:
    """A snapshot over all captures of one driver, cheap to take. Counts only grow.

    `captured` frames came from the source and were wanted at this frame rate. Each of them was `emitted`,
    `replaced` by a newer one before it was taken, `unbuffered` because the consumer held every buffer, or
    it is the one that waits (or waited, when its capture was killed). `restarts` counts captures after the
    first, `kills` those that were silent for too long. `fps` is measured, 0 when nothing comes.
    `last_error` is the newest reason why a capture ended, kept after it runs again.
    """

    captured: int
    emitted: int
    replaced: int
    unbuffered: int
    restarts: int
    kills: int
    fps: float
    width: int
    height: int
    open: bool
    last_error: str
