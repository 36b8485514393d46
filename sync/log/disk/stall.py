"""A word kept off the log's disk while that disk takes nothing, so that a loss is told even if we end with it.

It lies in the runtime directory, in memory: a power cut takes it too. The loop never waits for it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Final

from sync.disk import write_file

if TYPE_CHECKING:
    from pathlib import Path

_NAME: Final = "log-stalled"


class Stall:
    """The note of one log; nothing is kept where no folder was given for it.

    `left` is the log id in the note of an earlier run, which ended while its log was stalled, with a loss that
    nobody counted; None where there is none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / _NAME if folder is not None else None
        self._order = threading.Lock()
        self._stalled = False
        self.left = self._read()

    def began(self, log_id: str) -> None:
        """Records are being lost from here on. Returns at once."""
        self._stalled = True
        threading.Thread(target=self._write, args=(log_id,), name="tidegate-note", daemon=True).start()

    def told(self) -> None:
        """What `left` said is in the log: it must not be told again where the file is opened anew."""
        self.left = None
        self._forget()

    def ended(self) -> None:
        """All that was lost is in the log's ledger, what `left` told of included."""
        if not self._stalled and self.left is None:
            return
        self._stalled = False
        self.left = None
        self._forget()

    def _forget(self) -> None:
        with self._order, contextlib.suppress(OSError):
            if self._path is not None:
                self._path.unlink(missing_ok=True)

    def _read(self) -> str | None:
        if self._path is None:
            return None
        try:
            return str(json.loads(self._path.read_bytes())["log_id"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _write(self, log_id: str) -> None:
        with self._order, contextlib.suppress(OSError):
            if self._path is not None and self._stalled:
                write_file(self._path, json.dumps({"log_id": log_id}).encode())
