"""Which buffer is whose, in the capture process: one held newest frame, which the next one replaces."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from drivers.camera.shared import BUFFERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from drivers.camera.shared import Captured


class Slots:
    """Bookkeeping between the thread that captures and the thread that answers the driver.

    A buffer handed out is not written to until it is given back. `deliver` is called with the lock held,
    for at most one frame per `want`, and never for a frame older than one that it got before.
    """

    def __init__(self, deliver: Callable[[Captured], None]) -> None:
        self._deliver = deliver
        self._changed = threading.Condition()
        self._held: set[int] = set()
        self._newest: Captured | None = None
        self._wanted = False
        self.replaced = 0

    def claim(self) -> int | None:
        """A buffer to write the next frame into: a free one, else that of the frame not yet taken.

        None when the driver holds them all: then the next frame has nowhere to go.
        """
        with self._changed:
            taken = self._held | ({self._newest.buffer} if self._newest else set())
            free = next((buffer for buffer in range(BUFFERS) if buffer not in taken), None)
            if free is None and self._newest is not None:
                free, self._newest = self._newest.buffer, None
                self.replaced += 1
            return free

    def publish(self, captured: Captured) -> None:
        """The claimed buffer holds this frame now."""
        with self._changed:
            if self._newest is not None:
                self.replaced += 1
            self._newest = captured
            self._hand_out()

    def want(self) -> None:
        """The driver can take one more frame."""
        with self._changed:
            self._wanted = True
            self._hand_out()

    def give_back(self, buffer: int) -> None:
        """The driver's consumer is done with a buffer."""
        with self._changed:
            self._held.discard(buffer)

    def wait_taken(self, timeout_s: float) -> bool:
        """Wait until no frame waits to be taken; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._newest is None, timeout_s)

    def _hand_out(self) -> None:
        if not self._wanted or self._newest is None:
            return
        captured, self._newest, self._wanted = self._newest, None, False
        self._held.add(captured.buffer)
        self._deliver(captured)
        self._changed.notify_all()
