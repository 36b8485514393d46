"""The file system that the kernel asks: disks by their name at the top, and what goes wrong with them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mfusepy import FuseOSError, Operations

from tests.support.forgetful.model import Disk, File, Folder, Node, Renaming, Resize, Write

if TYPE_CHECKING:
    from collections.abc import Iterator


_MAPPED = "-shm"
"""SQLite maps this file into its memory, and the kernel answers a page that cannot be read with SIGBUS. On a real
disk the page is in memory already, so that reading it never fails here either."""


@dataclass(slots=True)
class Faults:
    """What is wrong with the disks now. Error numbers are 0 for none; `flip_every` of bytes read has a bit turned.

    With `hangs` no fsync and no write comes back until it is lifted. `forgets`: an fsync that fails leaves what it
    was to write in memory alone. `only` bounds errors and flips to files whose names end so.
    """

    fsync_delay_s: float = 0.0
    hangs: bool = False
    fsync_errno: int = 0
    write_errno: int = 0
    read_errno: int = 0
    forgets: bool = False
    read_only: bool = False
    flip_every: int = 0
    only: str = ""
    room_bytes: int | None = None


class Layer(Operations):
    """All disks of one mount. Each operation is atomic; one that hangs holds up no other."""

    use_ns = True

    def __init__(self) -> None:
        self.disks: dict[str, Disk] = {}
        self.faults = Faults()
        self.hung = 0
        self.changed = threading.Condition()
        self._handles: dict[int, tuple[str, Node]] = {}
        self._next_handle = 1

    # What is done to a disk ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _change(self, name: str) -> Iterator[Disk]:
        """One change of a disk, unless it stands still or takes none."""
        self._hang()
        with self.changed:
            disk = self.disks.get(name)
            if disk is None or disk.frozen:
                raise FuseOSError(errno.EIO)
            if self.faults.read_only:
                raise FuseOSError(errno.EROFS)
            yield disk
            disk.changes += 1
            if disk.frozen:
                self.changed.notify_all()

    def _hang(self) -> None:
        with self.changed:
            self.hung += 1
            self.changed.wait_for(lambda: not self.faults.hangs)
            self.hung -= 1

    def _refuse(self, error: int, path: str) -> None:
        if error and path.endswith(self.faults.only):
            raise FuseOSError(error)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        name, node = self._file(path, fh)
        with self._change(name):
            self._refuse(self.faults.write_errno, path)
            self._fit(offset + len(data) - len(node.live))
            node.change(Write(offset, bytes(data)))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        name, node = self._file(path, fh)
        with self._change(name):
            self._refuse(self.faults.write_errno, path)
            self._fit(length - len(node.live))
            node.change(Resize(length))
        return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        if mode:
            raise FuseOSError(errno.EOPNOTSUPP)
        _, node = self._file(path, fh)
        return self.truncate(path, max(offset + size, len(node.live)), fh)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        name, node = self._file(path, fh)
        time.sleep(self.faults.fsync_delay_s)
        with self._change(name):
            if self.faults.fsync_errno and path.endswith(self.faults.only):
                if self.faults.forgets:
                    node.forget()
                raise FuseOSError(self.faults.fsync_errno)
            node.sync()
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        name, inner = _split(path)
        with self._change(name) as disk:
            self._refuse(self.faults.fsync_errno, path)
            disk.sync_folder(inner)
        return 0

    def create(self, path: str, mode: int) -> int:
        name, inner = _split(path)
        with self._change(name) as disk:
            self._refuse(self.faults.write_errno, path)
            node = File(mode & 0o7777)
            disk.rename(Renaming({inner: node}))
            return self._handle(name, node)

    def mkdir(self, path: str, mode: int) -> int:
        name, inner = _split(path)
        with self._change(name) as disk:
            disk.rename(Renaming({inner: Folder()}))
        return 0

    def unlink(self, path: str) -> int:
        name, inner = _split(path)
        with self._change(name) as disk:
            if inner not in disk.names:
                raise FuseOSError(errno.ENOENT)
            disk.rename(Renaming({inner: None}))
        return 0

    def rmdir(self, path: str) -> int:
        name, inner = _split(path)
        if self.disks[name].children(inner):
            raise FuseOSError(errno.ENOTEMPTY)
        return self.unlink(path)

    def rename(self, old: str, new: str) -> int:
        (name, before), (other, after) = _split(old), _split(new)
        if name != other:
            raise FuseOSError(errno.EXDEV)
        with self._change(name) as disk:
            moved: dict[str, Node | None] = {}
            for known, node in disk.names.items():
                if known == before or known.startswith(before + "/"):
                    moved[known] = None
                    moved[after + known[len(before) :]] = node
            if not moved:
                raise FuseOSError(errno.ENOENT)
            disk.rename(Renaming(moved))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        _, node = self._node(path)
        if isinstance(node, File):
            node.mode = mode & 0o7777
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    # What is asked of it ---------------------------------------------------------------------------------

    def open(self, path: str, flags: int) -> int:
        name, node = self._node(path)
        with self.changed:
            if self.faults.read_only and flags & (os.O_WRONLY | os.O_RDWR):
                raise FuseOSError(errno.EROFS)
            return self._handle(name, node)

    def release(self, path: str, fh: int) -> int:
        with self.changed:
            self._handles.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        name, node = self._file(path, fh)
        with self.changed:
            if not path.endswith(_MAPPED):
                if name not in self.disks or self.disks[name].frozen:
                    raise FuseOSError(errno.EIO)
                self._refuse(self.faults.read_errno, path)
            if max(offset, node.bad.start) < min(offset + size, node.bad.stop):
                raise FuseOSError(errno.EIO)
            found = bytearray(node.live[offset : offset + size])
            if self.faults.flip_every and path.endswith(self.faults.only) and not path.endswith(_MAPPED):
                for at in range(-offset % self.faults.flip_every, len(found), self.faults.flip_every):
                    found[at] ^= 1 << at % 8
            return bytes(found)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        _, node = self._node(path, fh)
        owned = {"st_uid": os.getuid(), "st_gid": os.getgid(), "st_blksize": 4096}
        if isinstance(node, Folder):
            return {"st_mode": stat.S_IFDIR | node.mode, "st_nlink": 2, **owned}
        size = len(node.live)
        return {
            "st_mode": stat.S_IFREG | node.mode,
            "st_nlink": 1,
            "st_size": size,
            "st_blocks": -(-size // 512),
            **owned,
        }

    def readdir(self, path: str, fh: int) -> list[str]:
        if path == "/":
            return [".", "..", *self.disks]
        name, inner = _split(path)
        return [".", "..", *(child.rpartition("/")[2] for child in self.disks[name].children(inner))]

    def statfs(self, path: str) -> dict[str, int]:
        room = self.faults.room_bytes
        free = (1 << 30 if room is None else max(room - self._used(), 0)) // 4096
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1 << 18, "f_bfree": free, "f_bavail": free}

    # Inside ----------------------------------------------------------------------------------------------

    def _used(self) -> int:
        return sum(len(n.live) for d in self.disks.values() for n in d.names.values() if isinstance(n, File))

    def _fit(self, more_bytes: int) -> None:
        room = self.faults.room_bytes
        if room is not None and more_bytes > 0 and self._used() + more_bytes > room:
            raise FuseOSError(errno.ENOSPC)

    def _handle(self, name: str, node: Node) -> int:
        handle, self._next_handle = self._next_handle, self._next_handle + 1
        self._handles[handle] = name, node
        return handle

    def _node(self, path: str, fh: int | None = None) -> tuple[str, Node]:
        with self.changed:
            if fh and fh in self._handles:
                return self._handles[fh]
            name, inner = _split(path)
            disk = self.disks.get(name)
            node = disk.names.get(inner) if disk is not None else None
        if node is None:
            raise FuseOSError(errno.ENOENT)
        return name, node

    def _file(self, path: str, fh: int | None) -> tuple[str, File]:
        name, node = self._node(path, fh)
        if not isinstance(node, File):
            raise FuseOSError(errno.EISDIR)
        return name, node


def _split(path: str) -> tuple[str, str]:
    """The disk's name, and the name on it."""
    name, _, inner = path.lstrip("/").partition("/")
    return name, inner
