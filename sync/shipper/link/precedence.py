"""Alerts go first: no other lane begins a batch while one of theirs is under way."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from sync.values import Lane

_PATIENCE_S: Final = 2.0
"""An alert that a sick broker leaves unanswered must not stop what goes to the healthy ones."""


class Precedence:
    """Counts the alert batches under way, and makes others wait for them, at most two seconds."""

    def __init__(self) -> None:
        self._alerts = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def enter(self, lane: Lane) -> None:
        """Call before sending a batch of `lane`; then `leave`."""
        if lane is Lane.ALERT:
            self._alerts += 1
            self._quiet.clear()
        elif not self._quiet.is_set():
            with contextlib.suppress(TimeoutError):
                # Not `wait_for`, which swallows a cancellation that comes with the end of what it waits for.
                async with asyncio.timeout(_PATIENCE_S):
                    await self._quiet.wait()

    def leave(self, lane: Lane) -> None:
        """The batch was answered, or given up."""
        if lane is Lane.ALERT:
            self._alerts -= 1
            if self._alerts == 0:
                self._quiet.set()
