"""The process behind a mount: the file system on the main thread, and what tests order on a unix socket."""

from __future__ import annotations

import json
import random
import socketserver
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from mfusepy import FUSE

from tests.support.forgetful.model import CutOutcome, Disk, File, Folder, Forgets, Tears
from tests.support.forgetful.operations import Layer

_FILE_MODE = 0o640


def outcome_of_cut(name: str, seed: int) -> CutOutcome:
    match name:
        case "ends":
            return CutOutcome()
        case "forgets":
            return Forgets()
        case "tears":
            return Tears(random.Random(seed))
        case _:
            raise ValueError(f"no such outcome: {name}")


class Orders:
    """Each public method is an order; its arguments and answers are JSON."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer

    def disk(self, name: str, content: str = "") -> None:
        """A new disk, with the files of a folder on it."""
        disk = Disk()
        disk.put("", Folder())
        for file in sorted(Path(content).iterdir()) if content else ():
            disk.put(file.name, File(_FILE_MODE, file.read_bytes()))
        with self._layer.changed:
            self._layer.disks[name] = disk

    def remove(self, name: str) -> None:
        """Forget a disk; whoever still has a file of it open gets errors."""
        with self._layer.changed:
            self._layer.disks.pop(name).freezes_at = 0

    def faults(self, **changes: Any) -> None:
        """Change what is wrong with the disks."""
        with self._layer.changed:
            self._layer.faults = replace(self._layer.faults, **changes)
            self._layer.changed.notify_all()

    def spoil(self, name: str, file: str, first: int, last: int) -> None:
        """Let the disk read these bytes of a file no more, whatever the file is called from now on."""
        with self._layer.changed:
            node = self._layer.disks[name].names[file]
            assert isinstance(node, File)
            node.bad = range(first, last + 1)

    def freeze(self, name: str, after: int) -> None:
        """Let a disk stand still after so many more changes."""
        with self._layer.changed:
            disk = self._layer.disks[name]
            disk.freezes_at = disk.changes + after

    def state(self, name: str) -> dict[str, Any]:
        """How often the disk was changed, whether it stands still, how many operations hang."""
        with self._layer.changed:
            disk = self._layer.disks[name]
            return {"changes": disk.changes, "frozen": disk.frozen, "hung": self._layer.hung}

    def image(self, name: str, outcome: str, seed: int, folder: str) -> None:
        """What a cut now would leave, as files in a folder. Subfolders are not taken along."""
        with self._layer.changed:
            _write(self._layer.disks[name].after(outcome_of_cut(outcome, seed)), Path(folder))


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        if "/" not in name:
            (folder / name).write_bytes(content)


def main(mounted: str, socket: str) -> None:
    layer = Layer()
    orders = Orders(layer)

    class Answering(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                order, arguments = json.loads(line)
                try:
                    answer = [True, getattr(orders, order)(**arguments)]
                except Exception as error:  # noqa: BLE001 - told to whoever ordered it
                    answer = [False, repr(error)]
                self.wfile.write(json.dumps(answer).encode() + b"\n")

    with socketserver.ThreadingUnixStreamServer(socket, Answering) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        FUSE(layer, mounted, foreground=True, auto_unmount=True, fsname="forgetful", max_idle_threads=16)
        server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
