"""Disks that fill up: a small file system of its own on a loop device (root), and a bound on the size of files."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

_MIB = 1024 * 1024


class LoopDisk:
    """An ext4 of `size_mib`, mounted at `folder`. Needs root and a loop device."""

    def __init__(self, size_mib: int = 24) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="disk-"))
        self.folder = self._home / "mounted"
        self._image = self._home / "image"
        self._size = size_mib * _MIB

    @staticmethod
    def possible() -> bool:
        return os.geteuid() == 0 and Path("/dev/loop-control").exists()

    def __enter__(self) -> Self:
        self.folder.mkdir()
        with self._image.open("wb") as image:
            image.truncate(self._size)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(self._image)], check=True, capture_output=True, timeout=60)
        mount = ["mount", "-o", "loop", str(self._image), str(self.folder)]
        subprocess.run(mount, check=True, capture_output=True, timeout=60)
        return self

    def fill(self, leave_bytes: int = 0) -> None:
        """Leave nothing free, or so much."""
        with (self.folder / "filler").open("ab", buffering=0) as filler:
            for size in (_MIB, 4096, 512):
                try:
                    while True:
                        filler.write(bytes(size))
                except OSError:
                    continue
            filler.truncate(max(filler.tell() - leave_bytes, 0))

    def free(self) -> None:
        """Give back what `fill` took."""
        (self.folder / "filler").unlink()

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False, capture_output=True, timeout=60)
        shutil.rmtree(self._home, ignore_errors=True)


def bound_files(pid: int, most_bytes: int | None) -> None:
    """Let a process write no file beyond so many bytes; None lifts the bound again."""
    bound = "unlimited" if most_bytes is None else str(most_bytes)
    subprocess.run(["prlimit", f"--pid={pid}", f"--fsize={bound}:"], check=True, capture_output=True, timeout=60)
