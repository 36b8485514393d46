"""What the connections to Kafka move, as the kernel counts it: both ways, TLS, repeats and headers included.

That is what a metered link charges for, and more than the sum of what is sent: a batch of one reading is mostly
envelope. Not seen are name look-ups and connections that never came up; a failed attempt counts as a fixed sum.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER_BYTES: Final = 52
"""IPv4 and TCP headers with timestamps, on every segment and every bare acknowledgement."""

_FAILED_DIAL_BYTES: Final = 512
_FAILED_TLS_BYTES: Final = 6 * 1024
"""About what an attempt moves that ends before there is a connection: the broker's certificates, mostly."""

# struct tcp_info of linux/tcp.h: bytes_received, segs_out, segs_in; and, since Linux 4.19, bytes_sent.
_RECEIVED: Final = struct.Struct("QII")
_RECEIVED_AT: Final = 128
_SENT: Final = struct.Struct("Q")
_SENT_AT: Final = 200
_SIZE: Final = 208


@dataclass(frozen=True, slots=True)
class Moved:
    """Bytes on the wire: `up` from the gateway, `down` to it."""

    up: int = 0
    down: int = 0

    @property
    def both(self) -> int:
        """What a provider counts."""
        return self.up + self.down

    def __add__(self, other: Moved) -> Moved:
        return Moved(self.up + other.up, self.down + other.down)


class Traffic:
    """The bytes of all clients of one link, by line: a lane, or `control` for questions and the fleet's polls.

    Counts since it was made, never falling. A connection that was ended by the other side counts up to the last
    look before that, so look every few seconds.
    """

    def __init__(self) -> None:
        self._closed: dict[str, Moved] = {}
        self._open: dict[Any, tuple[str, Any, Moved]] = {}
        self.dials: Counter[str] = Counter()

    def track(self, connection: Any, line: str) -> None:
        """Count a new connection for `line`."""
        self.dials[line] += 1
        sock = connection._writer.get_extra_info("socket")  # noqa: SLF001 - aiokafka shows it nowhere else
        self._open[connection] = (line, sock, _moved(sock) or Moved())

    def closing(self, connection: Any) -> None:
        """A connection is closed: its last look is now."""
        entry = self._open.pop(connection, None)
        if entry is not None:
            line, sock, last = entry
            self._add(line, _moved(sock) or last)

    def failed(self, line: str, *, tls: bool) -> None:
        """An attempt to connect came to nothing."""
        self._add(line, Moved(up=0, down=_FAILED_TLS_BYTES if tls else _FAILED_DIAL_BYTES))

    def moved(self) -> Mapping[str, Moved]:
        """What each line has moved until now. Costs a system call for each open connection."""
        total = dict(self._closed)
        for connection, (line, sock, last) in self._open.items():
            now = _moved(sock) or last
            self._open[connection] = (line, sock, now)
            total[line] = total.get(line, Moved()) + now
        return total

    def _add(self, line: str, moved: Moved) -> None:
        self._closed[line] = self._closed.get(line, Moved()) + moved


def _moved(sock: Any) -> Moved | None:
    """What the kernel says of a socket; None where it is closed, or the kernel is too old to say."""
    if sock is None:
        return None
    with contextlib.suppress(OSError, ValueError, struct.error):  # ValueError: uvloop, of a socket that is closed
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
        received, segments_out, segments_in = _RECEIVED.unpack_from(info, _RECEIVED_AT)
        (sent,) = _SENT.unpack_from(info, _SENT_AT)
        return Moved(sent + _HEADER_BYTES * segments_out, received + _HEADER_BYTES * segments_in)
    return None
