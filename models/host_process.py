"""The model host's process: `python -m models.host_process SOCKET PARENT`. All models of a gateway run in it.

One request after the other, but for a load, which has a thread of its own: looks are answered beside it. It ends
when its parent closes the socket or dies. It is disposable: what is not foreseen here ends it, and costs its parent a
restart.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import select
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import wire
from models.values import Misconfigured, NotReady

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from models.onnx import OnnxBackend

_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    """The loaded models and the mapped images."""

    def __init__(self, load: Callable[..., OnnxBackend], view: Callable[..., npt.NDArray[np.uint8]]) -> None:
        self._load = load
        self._view = view
        self._models: dict[int, OnnxBackend] = {}
        self._images: dict[int, mmap.mmap] = {}

    def serve(self, channel: socket.socket) -> None:
        """Answer requests until the socket is closed; loads each on its own."""
        while True:
            message, fds, _, _ = socket.recv_fds(channel, wire.MOST_REQUEST_BYTES, 1)
            if not message:
                return
            request = json.loads(message)
            if request["do"] == "load":
                own = socket.socket(fileno=fds[0])
                threading.Thread(target=self._load_beside, args=(request, own), name="load", daemon=True).start()
                continue
            try:
                channel.send(wire.pack(_answer(lambda: self._done(request, fds))))  # noqa: B023 - called at once
            finally:
                for fd in fds:
                    os.close(fd)

    def _load_beside(self, request: dict[str, Any], channel: socket.socket) -> None:
        try:
            with channel, suppress(BrokenPipeError, ConnectionResetError):
                channel.send(wire.pack(_answer(lambda: self._take_in(request))))
        except BaseException:  # noqa: BLE001 - what is not foreseen ends the process, from this thread too
            traceback.print_exc()
            os._exit(1)

    def _done(self, request: dict[str, Any], fds: list[int]) -> Any:
        if request["do"] == "look":
            return self._look(request, fds)
        self._unload(request["id"])
        return None

    def _take_in(self, request: dict[str, Any]) -> dict[str, Any]:
        backend = self._load(Path(request["path"]), request["threads"], request["score_threshold"])
        spec = backend.spec
        self._models[request["id"]] = backend
        return {
            "name": spec.name,
            "version": spec.version,
            "task": spec.task,
            "digest": spec.digest,
            "classes": spec.classes,
            "input_height": spec.input_height,
            "input_width": spec.input_width,
            "score_threshold": spec.score_threshold,
            "iou_threshold": spec.iou_threshold,
        }

    def _unload(self, model: int) -> None:
        backend = self._models.pop(model, None)
        if backend is not None:
            backend.close()
            del backend
            gc.collect()
            # glibc keeps what was freed unless it is asked to give it back to the system.
            _libc.malloc_trim(0)

    def _look(self, request: dict[str, Any], fds: list[int]) -> list[Any]:
        for token in request["forget"]:
            # A view on it may outlive this line only in a cache of numpy's; the map goes with the last one.
            self._images.pop(token, None)
        token = request["image"]
        if fds:
            self._images[token] = mmap.mmap(fds[0], 0, prot=mmap.PROT_READ)
        backend, memory = self._models.get(request["id"]), self._images.get(token)
        if backend is None or memory is None:
            raise NotReady("the model host no longer has this model or image")
        height, width, offset = request["height"], request["width"], request["offset"]
        if min(height, width) < 1 or offset < 0 or offset + height * width * 3 > len(memory):
            raise ValueError(f"no image of {height}x{width} at {offset} in a memory of {len(memory)} bytes")
        (seen,) = backend.predict([self._view(memory, height, width, offset)])
        boxes = [(d.label, d.score, d.left, d.top, d.width, d.height) for d in seen.detections]
        return [boxes, seen.inference_s]


def _answer(act: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"ok": act()}
    except Misconfigured as wrong:
        return wire.error("misconfigured", wrong.reason, wrong.field, wrong.hint)
    except NotReady as wrong:
        return wire.error("not_ready", wrong.reason, "", wrong.hint)
    except MemoryError:
        return wire.error("not_ready", "no memory left for the model")
    except ValueError as wrong:
        return wire.error("value", str(wrong))


def _settle_in(parent: int) -> None:
    """Go before the daemon when memory is short, leave it the processor, and never outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(5)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    try:
        life = os.pidfd_open(parent)
    except OSError:
        os._exit(1)
    if os.getppid() != parent:
        os._exit(1)

    def watch() -> None:
        select.select([life], [], [])
        os._exit(1)

    # The kernel's own "signal me when my parent dies" means the thread that started us, which may end early.
    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Serve one client."""
    channel_fd, parent = int(sys.argv[1]), int(sys.argv[2])
    _settle_in(parent)
    channel = socket.socket(fileno=channel_fd)
    # Heavy, and only wanted here: the parent never imports them.
    import numpy as np  # noqa: PLC0415

    from models.onnx import OnnxBackend  # noqa: PLC0415

    def view(memory: mmap.mmap, height: int, width: int, offset: int) -> npt.NDArray[np.uint8]:
        return np.ndarray((height, width, 3), np.uint8, memory, offset)

    host = Host(OnnxBackend, view)
    with suppress(BrokenPipeError, ConnectionResetError):
        channel.send(wire.pack({"ok": "ready"}))
        host.serve(channel)
    # A load that is under way sits in native code, which must not meet an interpreter that is taken down.
    os._exit(0)


if __name__ == "__main__":
    main()
