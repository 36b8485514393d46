"""Starting, hearing and ending the model host's process."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from models import wire
from models.values import NotReady

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAST_WORDS_BYTES = 65_536
_LAST_WORDS_S = 1.0
_MOST_SAID = 1_000
"""Characters of its last line: an error of native code begins with a place in its source, and its cause is behind."""
_REAPED_S = 2.0
_QUIET = {
    # Threads are the model's, as config says; fewer malloc arenas, each of which keeps megabytes.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "MALLOC_ARENA_MAX": "2",
}


class Hung(NotReady):
    """The process did not answer in time."""


class HostChild:
    """One life of the process. Raises NotReady where it cannot be started."""

    def __init__(self) -> None:
        self._channel, theirs = _pair()
        self._answer = bytearray(wire.MOST_ANSWER_BYTES)
        self._loading: socket.socket | None = None
        self.loads = ""
        """The path of the model that is loaded right now; it stays if the process dies meanwhile."""
        self.blamed = False
        """Whether a model was made answerable for the end of this process."""
        self._ending = threading.Lock()
        self._ended = ""
        # Its last words go to memory whose size is sealed: nobody need read them, and they cannot grow.
        self._words = os.memfd_create("tidegate-model-host", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self._words, _LAST_WORDS_BYTES)
        fcntl.fcntl(self._words, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        command = [sys.executable, "-P", "-X", "faulthandler", "-m", "models.host_process"]
        try:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **_QUIET},
                # Ctrl-C in a terminal is for the daemon, which ends this process in order.
                start_new_session=True,
            )
        except OSError as error:
            self._channel.close()
            os.close(self._words)
            raise NotReady(f"the model host cannot be started: {error.strerror}") from None
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def say(self, message: bytes, fds: Sequence[int]) -> None:
        """Send a request, with file descriptors where it needs them. Raises NotReady when nobody is there."""
        try:
            if fds:
                socket.send_fds(self._channel, [message], fds)
            else:
                self._channel.send(message)
        except OSError:
            raise NotReady(self._exit_reason()) from None

    def hear(self, timeout_s: float) -> memoryview:
        """Wait for an answer, which stays as it is until the next one.

        Raises:
            Hung: the process did not answer in this time.
            NotReady: it died or was killed.
        """
        return self._hear(self._channel, self._answer, timeout_s)

    def load(self, message: bytes, path: str) -> socket.socket:
        """Send a request to load, and give the socket on which its answer comes: `hear_load` on it.

        Raises:
            NotReady: nobody is there.
        """
        ours, theirs = _pair()
        try:
            with theirs:
                self.say(message, (theirs.fileno(),))
        except NotReady:
            ours.close()
            raise
        self._loading, self.loads = ours, path
        return ours

    def hear_load(self, loading: socket.socket, timeout_s: float) -> memoryview:
        """Wait for the answer to a load, in a thread of its own: others may `say` and `hear` meanwhile.

        Raises:
            Hung, NotReady: as for `hear`.
        """
        with loading:
            answer = self._hear(loading, bytearray(wire.MOST_ANSWER_BYTES), timeout_s)
        self.loads = ""
        return answer

    def kill(self) -> None:
        """End it at once. Threads that wait in `hear` are woken."""
        for channel in (self._channel, self._loading):
            with suppress(OSError):
                if channel is not None:
                    channel.shutdown(socket.SHUT_RDWR)
        self._process.kill()

    def bury(self) -> None:
        """Make sure that it is gone, and give back what it used here. `hear` no more."""
        self.kill()
        # In the worst case it sits in the kernel; then Python reaps it later.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAPED_S)
        self._channel.close()
        self._exit_reason()  # whoever hears of it later gets the same words
        os.close(self._words)

    def _hear(self, channel: socket.socket, answer: bytearray, timeout_s: float) -> memoryview:
        try:
            channel.settimeout(timeout_s)
            length = channel.recv_into(answer)
        except TimeoutError:
            raise Hung(f"the model host did not answer within {timeout_s:g} s; it was killed") from None
        except OSError:
            length = 0
        if not length:
            raise NotReady(self._exit_reason())
        return memoryview(answer)[:length]

    def _exit_reason(self) -> str:
        with self._ending:
            if not self._ended:
                self._ended = self._end()
            return self._ended

    def _end(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WORDS_S)
        code = self._process.returncode
        if code is None:
            return "the model host closed its socket"
        if code < 0:
            return f"the model host was killed by {signal.Signals(-code).name}"
        words = (
            os.pread(self._words, _LAST_WORDS_BYTES, 0).rstrip(b"\0").decode(errors="replace").strip().splitlines()
        )
        return f"the model host ended with status {code}" + (f": {words[-1][:_MOST_SAID]}" if words else "")


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
