"""The last document that was applied, on disk: what the next start begins with, whatever happens in between."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import orjson

if TYPE_CHECKING:
    from pathlib import Path

Source = Literal["file", "push"]


@dataclass(frozen=True, slots=True)
class Applied:
    """An applied document. `file_revision` is that of config.yaml at the time, whichever was applied."""

    text: str
    revision: str
    source: Source
    file_revision: str
    offset: int | None = None


class LastGood:
    """One file in the state directory, replaced whole; a damaged or missing one reads as none."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "last-good.json"

    def read(self) -> Applied | None:
        """The last applied document, if there is one that can be read."""
        try:
            return Applied(**orjson.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError):
            # Nothing was ever applied, or a power cut of an earlier kernel left half a file: config.yaml stands in.
            return None

    def write(self, applied: Applied) -> None:
        """Replace it; on disk when this returns.

        Raises:
            OSError: the disk does not take it; the old one stays.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)  # at a first start the log may not have made it yet
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - Path.open takes no descriptor
            file.write(orjson.dumps(asdict(applied)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
