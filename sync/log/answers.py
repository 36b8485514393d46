"""What is answered to those who wait for a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from sync.log.book.streams import StreamState


@dataclass(slots=True, eq=False)
class Answer:
    """What a waiting future gets once the transaction is on disk; `holder` is the stream leased for it."""

    done: asyncio.Future[Any]
    value: Any = None
    error: Exception | None = None
    holder: StreamState | None = None
