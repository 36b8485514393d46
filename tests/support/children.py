"""Child processes that die with the test run, also when it is killed with -9.

The kernel's "signal me when my parent dies" means the parent's *thread*. So all children are started by one
thread that lives as long as this process: else a broker restarted from a worker thread would die with that thread.
"""

from __future__ import annotations

import ctypes
import queue
import signal
import subprocess
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_Order = tuple["Sequence[str]", dict[str, Any], Future["subprocess.Popen[bytes]"]]
_orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
_started = threading.Lock()
_thread: list[threading.Thread] = []


def die_with_parent() -> None:
    """Have the kernel kill this process once the thread that started it has ended."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _start_children() -> None:
    while True:
        command, options, answer = _orders.get()
        try:
            answer.set_result(subprocess.Popen(command, preexec_fn=die_with_parent, **options))  # noqa: PLW1509 - one prctl, no locks
        except Exception as error:  # noqa: BLE001 - handed to the caller
            answer.set_exception(error)


def spawn(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a child as `subprocess.Popen(command, **options)` would, that dies with this process.

    It gets a process group of its own: Ctrl-C in a terminal is for the one who started it, who ends it in order.
    """
    options.setdefault("process_group", 0)
    with _started:
        if not _thread:
            _thread.append(threading.Thread(target=_start_children, name="children", daemon=True))
            _thread[0].start()
    answer: Future[subprocess.Popen[bytes]] = Future()
    _orders.put((command, options, answer))
    return answer.result()
