"""How large a batch may be: about two seconds of what the lane's link last carried (D14)."""

from __future__ import annotations

from typing import Final

LEAST_BYTES: Final = 16 * 1024
FIRST_BYTES: Final = 8 * 1024
"""Nothing is known of the line yet, so nothing slows this batch down: all of it may wait ahead of an alarm."""
MOST_BYTES: Final = 1024 * 1024
_SECONDS: Final = 2.0


class BatchSize:
    """One lane's measured rate. A batch smaller than the limit shows latency more than rate: it only raises it.

    It begins small, as after a bad link: a good link raises the limit with its first acknowledgement, and on a bad
    one a large first batch would be a minute of it. `bytes_per_s` is the most that the lane is allowed.
    """

    def __init__(self, bytes_per_s: float | None = None) -> None:
        allowed = MOST_BYTES if bytes_per_s is None else int(_SECONDS * bytes_per_s)
        self._most_bytes = min(max(allowed, LEAST_BYTES), MOST_BYTES)
        self.limit_bytes = FIRST_BYTES

    def delivered(self, size_bytes: int, elapsed_s: float) -> None:
        """A batch was acknowledged after `elapsed_s`."""
        allowed = int(_SECONDS * size_bytes / max(elapsed_s, 1e-4))
        if allowed < self.limit_bytes:
            if size_bytes * 2 < self.limit_bytes:
                return
            allowed = (allowed + self.limit_bytes) // 2
        self.limit_bytes = min(max(allowed, LEAST_BYTES), self._most_bytes)

    def failed(self) -> None:
        """A batch that had left was not answered: begin small, the link may be bad."""
        self.limit_bytes = FIRST_BYTES
