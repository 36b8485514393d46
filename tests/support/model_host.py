"""What tests of the model host share: shared memories as cameras have them, a model that goes on loading, waiting."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.support.models import HEIGHT, WIDTH, halves, sides

PATIENCE_S = 40


def until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def asked(pid: int, threads: int = 1) -> bool:
    """Whether so many threads wait for an answer: each is blocked in its receive."""
    stacks = sys._current_frames().values()
    return sum(frame.f_code.co_name == "_hear" for frame in stacks) == threads and alive(pid)


class Memory:
    """A shared memory with one image behind a header page, as a camera has it."""

    def __init__(self, name: str, left: int, right: int) -> None:
        image = sides(left, right)
        self.fd = os.memfd_create(name)
        os.ftruncate(self.fd, 4096 + image.nbytes)
        self.show(left, right)

    def show(self, left: int, right: int) -> None:
        os.pwrite(self.fd, sides(left, right).tobytes(), 4096)


def brightest(model, memory: Memory) -> float:
    return model.predict_shared(memory.fd, 4096, HEIGHT, WIDTH).detections[0].left


class Pipe:
    """A model whose file is a pipe: it goes on loading, in the process itself, until it is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = halves(folder)
        self._file = self.folder / "model.onnx"
        self._content = self._file.read_bytes()
        self._file.unlink()
        os.mkfifo(self._file)

    def reader(self) -> int:
        """A descriptor to write to, once somebody reads the file."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return os.open(self._file, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def finish(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "wb") as file:
            os.set_blocking(descriptor, True)
            file.write(self._content)
