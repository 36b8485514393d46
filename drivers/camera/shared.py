"""What the driver and its capture process share: the memory's layout and the messages of their socket.

The memory is one memfd: a header page of unsigned 64-bit counters that only the capture writes, then
`BUFFERS` images. It has no name anywhere, so nothing is left behind whatever dies. The socket keeps
message boundaries (SOCK_SEQPACKET). The driver first sends the settings as JSON, then `WANT` for each
frame that it can take and `GIVE_BACK` with a buffer's number; the capture answers each `WANT` with the
newest frame, once there is one that was not taken before.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from dataclasses import dataclass
from enum import IntEnum

BUFFERS = 4
"""One in a model's hands, one waiting for it, one on its way there, one being written."""

HEADER_BYTES = mmap.PAGESIZE
"""One page, 16 KiB on a Raspberry Pi 5: so that images start where a reader can map them."""

MOST_MESSAGE_BYTES = 16_384

WANT = b"W"
GIVE_BACK = b"G"
OPENED = b"O"
FRAME = b"F"
FAILED = b"X"
ENDED = b"E"

_FRAME = struct.Struct("=cBHHQQQ")
_GIVE_BACK = struct.Struct("=cB")


class Word(IntEnum):
    """The counters of the header."""

    BEAT_NS = 0
    """The monotonic clock, which all processes share, at the capture's last sign of life."""
    PHASE = 1
    CAPTURED = 2
    REPLACED = 3
    UNBUFFERED = 4


class Phase(IntEnum):
    """How far a capture has come."""

    STARTING = 0
    OPENING = 1
    RUNNING = 2


@dataclass(frozen=True, slots=True)
class Captured:
    """One frame in one buffer: its number within its capture, its size, and when it was taken."""

    buffer: int
    height: int
    width: int
    number: int
    at_ns: int
    captured_ns: int

    def pack(self) -> bytes:
        """Encode as a message."""
        return _FRAME.pack(FRAME, self.buffer, self.height, self.width, self.number, self.at_ns, self.captured_ns)

    @classmethod
    def unpack(cls, message: bytes) -> Captured:
        """Decode a message. Raises ValueError for any that is none."""
        try:
            fields = _FRAME.unpack(message)
        except struct.error as error:
            raise ValueError(str(error)) from None
        captured = cls(*fields[1:])
        if captured.buffer >= BUFFERS or not captured.height or not captured.width:
            raise ValueError("a frame in no buffer, or of no size")
        return captured


def give_back(buffer: int) -> bytes:
    """The message that frees a buffer."""
    return _GIVE_BACK.pack(GIVE_BACK, buffer)


def image_bytes(max_width: int, max_height: int) -> int:
    """The size of one buffer: whole pages, so that a reader can map it."""
    page = mmap.PAGESIZE
    return -(-max_width * max_height * 3 // page) * page


def create(max_width: int, max_height: int) -> int:
    """Make the memory; its file descriptor. Pages are only taken when they are written to.

    Its size is sealed: a capture gone wrong cannot make its readers fault by shrinking it.
    """
    fd = os.memfd_create("tidegate-camera", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, HEADER_BYTES + BUFFERS * image_bytes(max_width, max_height))
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd
