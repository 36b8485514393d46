"""On a slow line a batch leaves no faster than the line takes it, so that it is no queue ahead of an alarm.

Batches are small there (D14), but two lanes' worth is still seconds of a 50 kbit/s line, and whatever the kernel is
handed at once waits in a modem that serves first come, first served. The kernel's own pacing does it, for the price
of a socket option a batch. A fast line is left alone.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any, Final

_SO_MAX_PACING_RATE: Final = 47
_UNPACED: Final = 0xFFFFFFFF
_FAST: Final = 64 * 1024
"""Bytes a second from which on two full batches are no second of the line."""
_SLOWEST: Final = 2 * 1024
"""A broker that took its time for an answer looks like a slow line; so slow as this, it takes seconds to forget."""
_HEADROOM: Final = 1.25
"""How much faster than the line last took it the next batch may leave; twice, where it took all that it was given."""
_ALL: Final = 0.9
_TELLING_BYTES: Final = 4 * 1024
"""A smaller batch shows the line's delay more than its rate: it only raises the rate."""


class Pacing:
    """The rate at which one lane's batches may leave for a node."""

    def __init__(self) -> None:
        self.bytes_per_s: float | None = None
        """None where the line is fast, or not known yet."""

    def apply(self, connection: Any) -> None:
        """Call before a batch is written."""
        sock = connection._writer.get_extra_info("socket")  # noqa: SLF001 - aiokafka shows its socket nowhere else
        rate = _UNPACED if self.bytes_per_s is None else int(self.bytes_per_s)
        with contextlib.suppress(OSError):  # a kernel without it: the line is then as full as batches make it
            sock.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, rate.to_bytes(4, sys.byteorder))

    def answered(self, size_bytes: int, elapsed_s: float) -> None:
        """A batch had its answer after so long."""
        rate, before = size_bytes / max(elapsed_s, 1e-4), self.bytes_per_s
        if size_bytes < _TELLING_BYTES and (before is None or rate < before):
            return
        took_all = before is not None and rate > _ALL * before
        rate *= 2.0 if took_all else _HEADROOM
        self.bytes_per_s = None if rate > _FAST else max(rate, _SLOWEST)
