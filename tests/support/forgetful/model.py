"""What is on a disk, and what would be left of it if the power went now. Pure: no file system, no clock.

It allows what SQLite's documentation allows a disk to do. Of what was written to a file since its last fsync each
write may be kept, lost or torn at a sector, in any combination, so also a later one without an earlier one; a
write changes no byte beside it, and an fsync that succeeded loses nothing. A name that was made, moved or removed
is only sure once its folder was synced. An fsync that *failed* may leave what it was to write in memory alone: it
is still read, and no later fsync writes it (what Linux does).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at a place of a file."""

    offset: int
    data: bytes

    def sectors(self) -> Iterator[Write]:
        """The write, sector by sector."""
        at = 0
        while at < len(self.data):
            size = SECTOR - (self.offset + at) % SECTOR
            yield Write(self.offset + at, self.data[at : at + size])
            at += size


@dataclass(frozen=True, slots=True)
class Resize:
    """A file grows, with zeroes, or is cut off."""

    size: int


def _apply(content: bytearray, change: Write | Resize) -> None:
    if isinstance(change, Resize):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    if change.offset > len(content):
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data


class File:
    """A file: as it is read, as it is on the disk, and what lies between."""

    def __init__(self, mode: int, content: bytes = b"") -> None:
        self.mode = mode
        self.live = bytearray(content)
        self.bad = range(0)
        """Bytes that the disk cannot read for good."""
        self._durable = bytearray(content)
        self._pending: list[Write | Resize] = []

    def change(self, change: Write | Resize) -> None:
        """Do it, not yet on the disk."""
        _apply(self.live, change)
        self._pending.append(change)

    def sync(self) -> None:
        """Have on the disk what was changed."""
        for change in self._pending:
            _apply(self._durable, change)
        self._pending.clear()

    def forget(self) -> None:
        """An fsync failed: what was changed is read, and will never be on the disk."""
        self._pending.clear()

    def after(self, outcome: CutOutcome) -> bytes:
        """What a cut leaves."""
        content = bytearray(self._durable)
        for change in self._pending:
            for part in outcome.of(change):
                _apply(content, part)
        return bytes(content)


class Folder:
    """A folder is nothing but its name."""

    mode = 0o755


Node = File | Folder
Names = dict[str, Node]


@dataclass(frozen=True, slots=True)
class Renaming:
    """Names that change together: what each stands for from now on, None where it is gone."""

    names: dict[str, Node | None]

    def apply(self, names: Names) -> None:
        for name, node in self.names.items():
            if node is None:
                names.pop(name, None)
            else:
                names[name] = node

    def folders(self) -> set[str]:
        return {parent(name) for name in self.names}


class CutOutcome:
    """Decides at a cut. This one is the end of a process, not of the power: whatever was written stays."""

    def of(self, change: Write | Resize) -> list[Write | Resize]:
        """What is left of a change of a file."""
        return [change]

    def keeps(self, renaming: Renaming) -> bool:
        """Whether a change of names is left."""
        return True


class Forgets(CutOutcome):
    """Nothing stays that was not synced."""

    def of(self, change: Write | Resize) -> list[Write | Resize]:
        return []

    def keeps(self, renaming: Renaming) -> bool:
        return False


class Tears(CutOutcome):
    """Anything may stay, whole or in sectors; how much of it is drawn once a cut."""

    def __init__(self, draws: random.Random) -> None:
        self._draws = draws
        self._whole = draws.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        self._torn = draws.choice((0.0, 0.1, 0.5))

    def of(self, change: Write | Resize) -> list[Write | Resize]:
        if isinstance(change, Write) and self._draws.random() < self._torn:
            return [part for part in change.sectors() if self._draws.random() < 0.5]
        return [change] if self._draws.random() < self._whole else []

    def keeps(self, renaming: Renaming) -> bool:
        return self._draws.random() < self._whole


@dataclass(slots=True)
class Disk:
    """Names and what they stand for. `changes` counts what was done to it; with `freezes_at` it then stands still."""

    names: Names = field(default_factory=dict)
    changes: int = 0
    freezes_at: int | None = None
    _durable: Names = field(default_factory=dict)
    _renamings: list[Renaming] = field(default_factory=list)

    @property
    def frozen(self) -> bool:
        """Whether the power is gone."""
        return self.freezes_at is not None and self.changes >= self.freezes_at

    def put(self, name: str, node: Node) -> None:
        """Something that has always been there."""
        self.names[name] = self._durable[name] = node

    def rename(self, renaming: Renaming) -> None:
        """Make, move or remove names."""
        renaming.apply(self.names)
        self._renamings.append(renaming)

    def sync_folder(self, folder: str) -> None:
        """Have a folder's names on the disk."""
        kept = []
        for renaming in self._renamings:
            if folder in renaming.folders():
                renaming.apply(self._durable)
            else:
                kept.append(renaming)
        self._renamings = kept

    def children(self, folder: str) -> list[str]:
        """The names in a folder."""
        return [name for name in self.names if name and parent(name) == folder]

    def after(self, outcome: CutOutcome) -> dict[str, bytes]:
        """The files that a cut leaves, by name."""
        names = dict(self._durable)
        for renaming in self._renamings:
            if outcome.keeps(renaming):
                renaming.apply(names)
        return {name: node.after(outcome) for name, node in names.items() if isinstance(node, File)}


def parent(name: str) -> str:
    """The folder that a name is in; the disk's own is empty."""
    return name.rpartition("/")[0]
