"""A mount of disks that forget: in a process of its own, which ends and is unmounted with the block, or with us."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.support.children import spawn

_ROOT = Path(__file__).parents[3]
_WITHIN_S = 20.0


class Forgetful:
    """Disks below `folder`, one each sub-folder; see `tests.support.forgetful.server.Orders` for what they do."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="forgetful-"))
        self.folder = self._home / "disks"
        self._socket = self._home / "orders"
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    @staticmethod
    def possible() -> bool:
        """Whether there is FUSE, and we may mount."""
        return Path("/dev/fuse").exists() and os.geteuid() == 0 and shutil.which("fusermount3") is not None

    def __enter__(self) -> Self:
        self.folder.mkdir()
        command = [sys.executable, "-m", "tests.support.forgetful.server", str(self.folder), str(self._socket)]
        self._process = spawn(command, cwd=_ROOT, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + _WITHIN_S
        while not (self.folder.is_mount() and self._socket.exists()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise OSError("the file system of the test was not mounted")
            time.sleep(0.01)
        self._orders = socket.socket(socket.AF_UNIX)
        self._orders.connect(str(self._socket))
        self._answers = self._orders.makefile("rb")
        return self

    def order(self, order: str, **arguments: Any) -> Any:
        """Have something done in the file system's process; its answer.

        Raises:
            OSError: it cannot be done, with the reason.
        """
        assert self._orders is not None
        self._orders.sendall(json.dumps([order, arguments]).encode() + b"\n")
        good, answer = json.loads(self._answers.readline() or b'[false, "the file system has ended"]')
        if not good:
            raise OSError(answer)
        return answer

    def disk(self, name: str, content: Path | None = None) -> Path:
        """A new disk, with a folder's files on it: where it is."""
        self.order("disk", name=name, content=str(content or ""))
        return self.folder / name

    def faults(self, **changes: Any) -> None:
        """Change what is wrong; see `tests.support.forgetful.operations.Faults`."""
        self.order("faults", **changes)

    def well(self) -> None:
        """Nothing is wrong any more."""
        self.faults(
            fsync_delay_s=0.0,
            hangs=False,
            fsync_errno=0,
            write_errno=0,
            read_errno=0,
            forgets=False,
            read_only=False,
            flip_every=0,
            only="",
            room_bytes=None,
        )

    def __exit__(self, *_: object) -> None:
        if self._orders is not None:
            self._answers.close()
            self._orders.close()
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True, timeout=_WITHIN_S)
        # What still hangs in the process gets an error with its end, and nobody waits for ever.
        if self._process is not None:
            self._process.kill()
            self._process.wait(_WITHIN_S)
        shutil.rmtree(self._home, ignore_errors=True)
