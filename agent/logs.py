"""What the daemon says to the journal: one line an event, with the priority that journald understands."""

from __future__ import annotations

import logging
import os
import sys
from typing import Literal

import orjson

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class _Text(logging.Formatter):
    """Plain lines; under systemd with `<n>` in front instead of time and level, which the journal keeps itself."""

    def __init__(self, *, journal: bool) -> None:
        self._journal = journal
        super().__init__("%(name)s: %(message)s" if journal else "%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._journal:
            return text
        mark = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        # The journal takes each line for an entry of its own, so a stack needs the mark on all of its lines.
        return "\n".join(mark + line for line in text.splitlines())


class _Json(logging.Formatter):
    """One JSON object a line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry).decode()


def configure(level: Literal["debug", "info", "warning", "error"], style: Literal["text", "json"]) -> None:
    """Send our own logger to standard error; libraries speak from `warning` up. Calling again replaces the first."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if style == "json" else _Text(journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("tidegate").setLevel(level.upper())
    # Both tell at each attempt what the supervisor tells once.
    for chatty in ("aiokafka", "kafka"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
