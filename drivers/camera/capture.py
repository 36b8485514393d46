"""The capture process of one camera: `python -m drivers.camera.capture SOCKET MEMORY PARENT`.

The only place where OpenCV opens a camera. Two threads: this one captures, scales and writes frames into
the shared memory; the other answers the driver, so that a frame can be handed out while the next read
blocks. It ends with its parent: the kernel kills it (PR_SET_PDEATHSIG), and the closed socket says so too.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.camera import shared
from drivers.camera.ends import Ended, Failed
from drivers.camera.shared import Captured, Phase, Word
from drivers.camera.slots import Slots

if TYPE_CHECKING:
    from drivers.camera.picture import Pictures

_PR_SET_PDEATHSIG = 1
_STEP_S = 0.1
_LAST_WORDS_S = 1.0


class Link:
    """This process's end of the socket and of the memory."""

    def __init__(self, channel: socket.socket, memory: mmap.mmap) -> None:
        self._channel = channel
        self.memory = memory
        self._words = memoryview(memory)[: shared.HEADER_BYTES].cast("Q")
        self.stopping = threading.Event()
        self.slots = Slots(lambda captured: self.send(captured.pack()))

    def beat(self, phase: Phase | None = None) -> None:
        """Say that this process lives and its last native call has come back."""
        if phase is not None:
            self._words[Word.PHASE] = phase
        self._words[Word.BEAT_NS] = time.monotonic_ns()

    def count(self, captured: int, unbuffered: int) -> None:
        """Show the counters to the driver, who may read them even when this process hangs."""
        self._words[Word.CAPTURED] = captured
        self._words[Word.UNBUFFERED] = unbuffered
        self._words[Word.REPLACED] = self.slots.replaced

    def send(self, message: bytes) -> None:
        """Tell the driver. A driver that is gone is noticed by `listen`."""
        with suppress(OSError):
            self._channel.send(message)

    def listen(self) -> None:
        """Answer the driver until it closes the socket; then end, whatever the capture hangs in."""
        try:
            while message := self._receive():
                if message == shared.WANT:
                    self.slots.want()
                elif message[:1] == shared.GIVE_BACK and len(message) == 2:
                    self.slots.give_back(message[1])
            self.stopping.set()
            time.sleep(_LAST_WORDS_S)
        finally:
            # A capture whose driver is not answered is of no use.
            os._exit(1)

    def _receive(self) -> bytes:
        try:
            return self._channel.recv(shared.MOST_MESSAGE_BYTES)
        except OSError:
            return b""

    def sleep_until(self, due: float) -> None:
        """Wait for a moment of the monotonic clock (seconds), beating meanwhile."""
        while not self.stopping.is_set() and (left := due - time.monotonic()) > 0:
            self.stopping.wait(min(left, _STEP_S))
            self.beat()


class Pace:
    """When the next frame is due, at most `fps` a second over any time, with no bursts to catch up."""

    def __init__(self, fps: float) -> None:
        self._interval_s = 1.0 / fps
        self.due = time.monotonic()

    def accepts(self, now: float) -> bool:
        """Whether a live frame of this moment is wanted; early by a quarter is on time, for cameras jitter."""
        return now >= self.due - self._interval_s / 4

    def taken(self, now: float) -> None:
        """A frame was taken. What is more than a quarter late is not caught up with."""
        self.due = max(self.due, now - self._interval_s / 4) + self._interval_s


def capture(link: Link, pictures: Pictures, *, fps: float, live: bool, loop: bool) -> None:
    """Take frames until told to stop.

    Raises:
        Ended: the file has been played.
        Failed: the source went away, or a file holds no frame.
    """
    pace, number, unbuffered, in_this_round = Pace(fps), 0, 0, 0
    while not link.stopping.is_set():
        if not live:
            link.sleep_until(pace.due)
        if not pictures.grab():
            if live:
                raise Failed("the stream ended")
            if not in_this_round:
                raise Failed("the file holds no frame that can be read", "is it a video?", again=False)
            if not loop:
                raise Ended
            pictures.reopen()
            in_this_round = 0
            continue
        link.beat()
        in_this_round += 1
        now_ns, at_ns = time.monotonic_ns(), time.time_ns()
        if live and not pace.accepts(now_ns / 1e9):
            continue
        pace.taken(now_ns / 1e9)
        if (buffer := link.slots.claim()) is None:
            number += 1
            unbuffered += 1
        elif (size := pictures.retrieve(buffer)) is not None:
            number += 1
            link.slots.publish(Captured(buffer, *size, number, at_ns, now_ns))
        link.count(number, unbuffered)
        link.beat()


def run(link: Link, settings: dict[str, str | float | bool]) -> None:
    """Open the source and capture; tell the driver how that ended."""
    # Half a second on a small board, and may crash on a strange one: inside the watch already.
    from drivers.camera.picture import Pictures  # noqa: PLC0415

    live = settings["kind"] != "file"
    try:
        link.beat(Phase.OPENING)
        pictures = Pictures(settings, link.memory)
        opened = {"width": pictures.width, "height": pictures.height, "fps": pictures.fps}
        link.send(shared.OPENED + json.dumps(opened).encode())
        link.beat(Phase.RUNNING)
        capture(link, pictures, fps=float(settings["fps"]), live=live, loop=bool(settings["loop"]))
    except Failed as failure:
        words = {"reason": failure.reason, "hint": failure.hint, "again": failure.again}
        link.send(shared.FAILED + json.dumps(words).encode())
    except Ended:
        while not link.stopping.is_set() and not link.slots.wait_taken(_STEP_S):
            link.beat()
        link.send(shared.ENDED)
    else:
        pictures.close()


def _settle_in(parent: int) -> None:
    """Die with the parent, before it when memory is short, and leave it the processor when that is short."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.nice(5)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def main() -> None:
    """Take the socket, the memory and the parent's process id from the command line, the settings from the socket."""
    channel_fd, memory_fd, parent = (int(argument) for argument in sys.argv[1:4])
    _settle_in(parent)
    link = Link(socket.socket(fileno=channel_fd), mmap.mmap(memory_fd, 0))
    link.beat(Phase.STARTING)
    settings = json.loads(link._receive() or b"{}")  # noqa: SLF001 - the first message, before the other thread reads
    if not settings:
        return
    threading.Thread(target=link.listen, name="answers", daemon=True).start()
    run(link, settings)


if __name__ == "__main__":
    main()
